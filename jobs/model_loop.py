"""One event loop and one model client for all the jobs of a worker process."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import cache
from typing import Any, TypeVar

from django.conf import settings

from llm.client import Client

T = TypeVar("T")

CALL_SECONDS = 180.0
MAX_REPLY_BYTES = 4 * 1024 * 1024


class ModelLoop:
    """Runs the chain's coroutines. Threads share its loop, its client and its connections."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self.client = Client(
            api_key=settings.OPENAI_API_KEY or "offline",
            base_url=settings.OPENAI_BASE_URL
            or (None if settings.OPENAI_API_KEY else settings.OFFLINE_MODEL_URL),
            model=settings.OPENAI_MODEL,
            timeout=CALL_SECONDS,
            max_reply_bytes=MAX_REPLY_BYTES,
        )
        threading.Thread(target=self._loop.run_forever, name="model-loop", daemon=True).start()

    def start(self, step: Callable[[Client], Coroutine[Any, Any, T]]) -> "Future[T]":
        """Starts `step(client)`. Cancelling the future closes its HTTP requests at once."""
        return asyncio.run_coroutine_threadsafe(step(self.client), self._loop)


@cache
def model_loop() -> ModelLoop:
    """Made on first use: importing the SDK costs a second, and only workers need it."""
    return ModelLoop()
