"""The calls of one step: a few at a time, each told of, and together one result."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from llm.completer import Completer, Reply
from llm.errors import LLMError
from llm.passages import Passage
from llm.prompts import Prompt

MAX_CONCURRENT = 4  # calls of one job at a time; more would trip the provider's rate limit
CALLS_A_SPARE = 10  # a step may repeat one call for so many: the longer, the surer some fail
MAX_PAUSE = 30.0  # seconds before such a repetition; who is asked to wait longer gives up the slot

R = TypeVar("R")
A = TypeVar("A")

OnProgress = Callable[[int, int], Awaitable[None]]  # passages done, of how many


async def nobody(done: int, total: int) -> None:
    """Of a step that nobody watches."""


@dataclass(frozen=True)
class StepResult:
    """What one step gave, ready to be stored as JSON.

    usage        {"calls", "prompt_tokens", "completion_tokens"}
    provenance   {"prompt": "summarize.v1", "prompt_sha256", "model", "seconds"}
    """

    value: dict[str, Any]
    usage: dict[str, int]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class How:
    """What holds for every step of a job.

    language       to write in, as a BCP 47 tag; "" is the guideline's own
    call_seconds   how much later a step may end for each round of calls after its first
    on_progress    is told how many of a step's passages are done, of how many
    """

    language: str = ""
    call_seconds: float = 0.0
    on_progress: OnProgress = nobody

    def told(self) -> dict[str, str]:
        """For the user message: nothing, where the guideline's own language is meant."""
        return {"language": self.language} if self.language else {}

    def until(self, deadline: float, calls: int) -> float:
        """The end of a step of so many calls; `deadline` is enough for as many as run at once."""
        rounds = -(-calls // MAX_CONCURRENT)
        return deadline + self.call_seconds * max(rounds - 1, 0)


PLAIN = How()


class Progress:
    """Counts the passages of a step, and tells of each reply."""

    def __init__(
        self, on_progress: OnProgress, wanted: Iterable[Passage], asked: Iterable[Passage]
    ):
        self._on_progress = on_progress
        self._total = len({passage.id for passage in wanted})
        self._left = {passage.id for passage in asked}

    async def add(self, done: Iterable[Passage] = ()) -> None:
        self._left.difference_update(passage.id for passage in done)
        await self._on_progress(self._total - len(self._left), self._total)


async def all_of(
    ask: Callable[[A, int], Awaitable[R]], portions: Sequence[A], *, until: float
) -> list[R]:
    """Ask for all portions, a few at a time, replies in order. The first failure stops the rest.

    ask     gets a portion and a number that no other call of the step has
    until   time.monotonic() seconds; nothing is repeated after it

    In a step of many calls, some may fail in a way that passes: one in CALLS_A_SPARE is repeated,
    since the whole step would cost more.
    """
    free = asyncio.Semaphore(MAX_CONCURRENT)
    spare = list(range(len(portions) + 1, len(portions) + 1 + len(portions) // CALLS_A_SPARE))

    async def ask_when_free(portion: A, number: int) -> R:
        async with free:
            while True:
                try:
                    return await ask(portion, number)
                except LLMError as error:
                    pause = error.retry_after or 1.0
                    too_late = time.monotonic() + pause >= until
                    if too_late or not (error.retryable and spare and pause <= MAX_PAUSE):
                        raise
                number = spare.pop(0)
                await asyncio.sleep(pause)

    tasks = [
        asyncio.ensure_future(ask_when_free(portion, number))
        for number, portion in enumerate(portions, start=1)
    ]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def unspent() -> dict[str, int]:
    """The usage of no call."""
    return {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0}


def numbered(request_label: str, number: int) -> str:
    return f"{request_label}.{number}" if request_label else ""


def step_result(
    client: Completer,
    prompt: Prompt,
    replies: Sequence[Reply[Any]],
    value: dict[str, Any],
    started: float,
) -> StepResult:
    """started   time.monotonic() seconds"""
    models = dict.fromkeys(reply.model for reply in replies) or {client.model: None}
    usage = {
        "calls": len(replies),
        "prompt_tokens": sum(reply.prompt_tokens for reply in replies),
        "completion_tokens": sum(reply.completion_tokens for reply in replies),
    }
    provenance = {
        "prompt": prompt.label,
        "prompt_sha256": prompt.sha256,
        "model": ", ".join(models),
        "seconds": round(time.monotonic() - started, 3),
    }
    return StepResult(value, usage, provenance)
