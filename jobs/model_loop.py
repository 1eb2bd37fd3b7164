"""One event loop for all the jobs of a worker process, and the clients they share."""

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from jobs.providers import Provider

if TYPE_CHECKING:
    from llm.client import Client

T = TypeVar("T")

CALL_SECONDS = 180.0
MAX_REPLY_BYTES = 4 * 1024 * 1024
MAX_CLIENTS = 64  # each keeps some connections; tenants with keys of their own have one for each


@dataclass
class _Kept:
    client: "Client"
    users: int = 0
    is_wanted: bool = True


class Clients:
    """A client for each provider, key and model, kept for the next call: the latest `size`.

    For the event loop alone. Whoever is pushed out is closed once nobody uses it.
    """

    def __init__(self, size: int = MAX_CLIENTS) -> None:
        self._size = size
        self._kept: OrderedDict[tuple[str | None, str, str], _Kept] = OrderedDict()

    @asynccontextmanager
    async def of(self, provider: Provider, model: str) -> "AsyncIterator[Client]":
        digest = hashlib.sha256(provider.api_key.encode()).hexdigest()
        name = (provider.base_url, digest, model)
        kept = self._kept.get(name)
        if kept is None:
            kept = self._kept[name] = _Kept(_client(provider, model))
        self._kept.move_to_end(name)
        kept.users += 1
        try:
            await self._push_out()
            yield kept.client
        finally:
            kept.users -= 1
            await _close_if_left(kept)

    async def _push_out(self) -> None:
        while len(self._kept) > self._size:
            _, oldest = self._kept.popitem(last=False)
            oldest.is_wanted = False
            await _close_if_left(oldest)


async def _close_if_left(kept: _Kept) -> None:
    if not kept.is_wanted and not kept.users:
        await kept.client.aclose()


def _client(provider: Provider, model: str) -> "Client":
    return load_client()(
        api_key=provider.api_key,
        base_url=provider.base_url,
        model=model,
        timeout=CALL_SECONDS,
        max_reply_bytes=MAX_REPLY_BYTES,
    )


def load_client() -> "type[Client]":
    """Loads the SDK with it: half a second and 20 MB, in processes that call models alone."""
    from llm.client import Client  # noqa: PLC0415

    return Client


class ModelLoop:
    """Runs jobs. They share its loop, its clients and their connections."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self.clients = Clients()
        threading.Thread(target=self._loop.run_forever, name="model-loop", daemon=True).start()

    def start(self, job: Coroutine[Any, Any, T]) -> "Future[T]":
        """From another thread."""
        return asyncio.run_coroutine_threadsafe(job, self._loop)

    def call(self, act: Callable[[], None]) -> None:
        """Has the loop do it soon; from any thread."""
        self._loop.call_soon_threadsafe(act)


_one_at_a_time = threading.Lock()
_made: ModelLoop | None = None


def model_loop() -> ModelLoop:
    """The one of this process, made on first use."""
    global _made
    with _one_at_a_time:
        _made = _made or ModelLoop()
        return _made
