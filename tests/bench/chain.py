"""What one job costs the processor in `llm/`: `python -m tests.bench.chain`.

Nobody waits for a model here: the offline engine's replies are made once, before the clock runs.
The phases are those of a worker's job, in its order, each timed alone and repeated; the median is
printed, in milliseconds of processor time per job.
"""

import argparse
import asyncio
import gc
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from llm import leaks
from llm.bounds import user_message
from llm.chain import generate_checklist, summarize_guidelines
from llm.completer import Reply
from llm.grounding import Locator
from llm.offline import engine
from llm.passages import Passage
from llm.prompts import Prompt
from llm.reading import Reading
from llm.repair import needs_repair
from llm.result import Examined
from llm.schemas import response_format
from tests.bench.documents import guideline

SAMPLE = Path(__file__).parents[2] / "deploy" / "local" / "sample-guideline.md"
SIZES = {"4kb": 4_000, "100kb": 100_000}
ENOUGH = 3.0  # seconds of repetitions for each size
ROUNDS = (3, 200)  # at least, at most

T = TypeVar("T", bound=BaseModel)
R = TypeVar("R")


@dataclass
class Recorded:
    """A `llm.client.Completer` that answers from memory, and checks replies as the client does."""

    model: str = "guidepost-offline-1"
    spent: float = 0.0  # seconds, on checking replies
    _replies: dict[tuple[str, str], str] = field(default_factory=dict)

    async def complete(
        self, *, prompt: Prompt, data: dict[str, Any], schema: type[T], **_: Any
    ) -> Reply[T]:
        message = user_message(data)
        key = schema.__name__.lower(), message
        if key not in self._replies:
            self._replies[key] = engine.answer(message, key[0])
        started = time.process_time()
        response_format(schema)
        value = schema.model_validate_json(self._replies[key])
        assert not leaks.repeats(prompt.text, value.model_dump(), data)
        self.spent += time.process_time() - started
        return Reply(value, self.model, 1, 1, 0.0, "")


class Clock:
    """Adds up the processor's seconds of each phase of one job."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def time(self, phase: str, work: Callable[[], R]) -> R:
        started = time.process_time()
        value = work()
        self.seconds[phase] += time.process_time() - started
        return value


def job(source: str, model: Recorded, clock: Clock, loop: asyncio.Runner) -> int:
    """All that a worker does for one job, save waiting; the number of items.

    A phase in brackets is a part of others, shown for itself, and not in the total.
    """
    reading = Reading(source)
    passages = clock.time("passages", lambda: reading.passages)
    clock.time("statements", lambda: reading.statements)
    model.spent = 0.0
    until = time.monotonic() + 3_600
    first = clock.time(
        "step 1", lambda: loop.run(summarize_guidelines(model, reading, deadline=until))
    )
    second = clock.time(
        "step 2", lambda: loop.run(generate_checklist(model, reading, first.value, deadline=until))
    )
    clock.seconds["(replies)"] = model.spent
    nothing = {"items": []}
    empty = clock.time("source", lambda: Examined.of(reading, first.value, nothing))
    items, locator = second.value["items"], Locator(source)
    by_id = {passage.id: passage for passage in passages}
    clock.time("(grounding)", lambda: _locate(locator, by_id, items))
    clock.time("items", lambda: [empty.judge(entry) for entry in items])
    whole = empty.revised(second.value)
    clock.time("repair?", lambda: needs_repair(whole, doubtful=False))
    result = clock.time("result", lambda: whole.result({}))
    return len(result["checklist"])


def _locate(locator: Locator, by_id: dict[int, Passage], items: list[dict[str, Any]]) -> None:
    for item in items:
        for citation in item["citations"]:
            locator.locate(citation["quote"], by_id.get(citation["passage"]))


def measured(source: str) -> tuple[int, dict[str, float]]:
    """Items of one job, and milliseconds of each phase: the median of many jobs."""
    model = Recorded()
    spent: defaultdict[str, list[float]] = defaultdict(list)
    with asyncio.Runner() as loop:
        items = job(source, model, Clock(), loop)  # here replies are made, and rules loaded
        until = time.monotonic() + ENOUGH
        for round_ in range(ROUNDS[1]):
            if round_ >= ROUNDS[0] and time.monotonic() > until:
                break
            gc.collect()
            clock = Clock()
            job(source, model, clock, loop)
            for phase, seconds in clock.seconds.items():
                spent[phase].append(seconds * 1_000)
    return items, {phase: statistics.median(times) for phase, times in spent.items()}


def text_of(size: str) -> str:
    """A part of the sample guideline, else one that is made."""
    if size == "4kb":
        return SAMPLE.read_text(encoding="utf-8")[: SIZES[size]]
    return guideline(SIZES[size])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.chain", description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    totals = []
    for size in parser.parse_args().sizes:
        items, phases = measured(text_of(size))
        total = sum(ms for phase, ms in phases.items() if not phase.startswith("("))
        print(f"{size}: {items} items")
        for phase, ms in phases.items():
            print(f"  {phase:<14}{ms:>10.2f} ms")
        print(f"  {'all':<14}{total:>10.2f} ms")
        totals.append(f"ms_{size}={total:.2f}")
    print(f"bench-chain: {' '.join(totals)}")


if __name__ == "__main__":
    main()
