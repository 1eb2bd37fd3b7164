"""The two steps: a guideline becomes a summary, the summary and its passages a checklist.

What a model writes is a proposal; `llm.result` puts it beside the unaltered source.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

from llm import chunks, prompts
from llm.calls import (
    PLAIN,
    How,
    Progress,
    StepResult,
    all_of,
    numbered,
    step_result,
)
from llm.completer import Completer, Reply
from llm.grounding import normalise
from llm.passages import Passage
from llm.reading import Reading
from llm.revision import NOTHING, Kept
from llm.schemas import Checklist, Summary, SummaryStatement
from llm.statements import Convention

PRODUCTION = prompts.labelled("production")  # versions, where nobody says which


async def summarize_guidelines(
    client: Completer,
    source: str | Reading,
    *,
    deadline: float,
    request_label: str = "",
    version: int = PRODUCTION["summarize"],
    kept: Kept = NOTHING,
    how: How = PLAIN,
) -> StepResult:
    """Step 1: what the guideline says, each statement with the ids of its passages.

    source          or its reading, where later steps are to know what this one has found in it
    deadline        time.monotonic() seconds, for the first MAX_CONCURRENT calls; see `How`
    request_label   for the provider's log; each call adds its number
    version         of the prompt; `make eval` compares them
    kept            what an earlier revision's run said of passages that have not changed
    how             the language, the time for further calls, who is told of progress

    The value is {title, scope, audience, statements: [{text, passages: [id]}]}, with no statement
    twice. A text that holds no words costs no call. Raises an LLMError.
    """
    started = time.monotonic()
    prompt = prompts.load("summarize", version)
    passages, convention = await asyncio.to_thread(_read, Reading.of(source))
    readable = chunks.readable(passages)
    asked = [passage for passage in readable if passage.id not in kept.passages]
    portions = chunks.pack(asked)
    until = how.until(deadline, len(portions))
    progress = Progress(how.on_progress, readable, asked)

    async def ask(chunk: list[Passage], number: int) -> Reply[Summary]:
        data = {"convention": convention, "passages": chunks.as_data(chunk)}
        reply = await client.complete(
            prompt=prompt,
            data=data | how.told(),
            schema=Summary,
            deadline=until,
            request_label=numbered(request_label, number),
        )
        await progress.add(chunk)
        return reply

    await progress.add()
    replies = await all_of(ask, portions, until=until)
    summaries = [*_kept_summary(kept), *(reply.value for reply in replies)]
    value = _merge_summaries(summaries, {p.id for p in passages})
    return step_result(client, prompt, replies, value, started)


async def generate_checklist(
    client: Completer,
    source: str | Reading,
    summary: dict[str, Any],
    *,
    deadline: float,
    request_label: str = "",
    version: int = PRODUCTION["checklist"],
    kept: Kept = NOTHING,
    how: How = PLAIN,
) -> StepResult:
    """Step 2: what to do, each item with quotes of the source.

    summary         the value of step 1 for the same source
    deadline        time.monotonic() seconds, for the first MAX_CONCURRENT calls; see `How`
    request_label   for the provider's log; each call adds its number
    version         of the prompt; `make eval` compares them
    kept            what an earlier revision's run said of passages that have not changed
    how             the language, the time for further calls, who is told of progress

    The model sees the passages that the summary names, and all others in which we find a normative
    statement ourselves: a lossy summary loses no requirement. The value is {items: [...]} as in
    schemas.Checklist. A text that asks nothing costs no call. Raises an LLMError.
    """
    started = time.monotonic()
    prompt = prompts.load("checklist", version)
    convention, wanted = await asyncio.to_thread(_wanted, Reading.of(source), summary)
    asked = [passage for passage in wanted if passage.id not in kept.passages]
    portions = chunks.pack(asked)
    until = how.until(deadline, len(portions))
    progress = Progress(how.on_progress, wanted, asked)

    async def ask(chunk: list[Passage], number: int) -> Reply[Checklist]:
        data = {
            "convention": convention,
            "summary": chunks.part_of_summary(summary, {passage.id for passage in chunk}),
            "passages": chunks.as_data(chunk),
        }
        reply = await client.complete(
            prompt=prompt,
            data=data | how.told(),
            schema=Checklist,
            deadline=until,
            request_label=numbered(request_label, number),
        )
        await progress.add(chunk)
        return reply

    await progress.add()
    replies = await all_of(ask, portions, until=until)
    items = [*kept.items]
    items += [item.model_dump() for reply in replies for item in reply.value.items]
    return step_result(client, prompt, replies, {"items": items}, started)


def _read(reading: Reading) -> tuple[list[Passage], Convention]:
    """In a thread, since a long guideline takes seconds, and other jobs' calls share the loop."""
    return reading.passages, reading.convention


def _wanted(reading: Reading, summary: dict[str, Any]) -> tuple[Convention, list[Passage]]:
    """In a thread, as `_read`."""
    wanted = chunks.wanted(reading.passages, summary, reading.statements)
    return reading.convention, wanted


# One summary of many


def _merge_summaries(summaries: Sequence[Summary], known: set[int]) -> dict[str, Any]:
    """One summary of all parts. A statement made twice is kept once, with all its passages."""
    merged: dict[str, dict[str, Any]] = {}
    for statement in (entry for summary in summaries for entry in summary.statements):
        text = statement.text.strip()
        entry = merged.setdefault(normalise(text).casefold(), {"text": text, "passages": []})
        new = known.intersection(statement.passages).difference(entry["passages"])
        entry["passages"] = sorted([*entry["passages"], *new])
    merged.pop("", None)
    last = max(known, default=0) + 1
    return {
        "title": _first(summary.title for summary in summaries),
        "scope": _first(summary.scope for summary in summaries),
        "audience": _first(summary.audience for summary in summaries),
        "statements": sorted(
            merged.values(), key=lambda entry: min(entry["passages"], default=last)
        ),
    }


def _kept_summary(kept: Kept) -> list[Summary]:
    """Not checked anew: the limits of one reply are not those of all replies together."""
    if kept.heading is None:
        return []
    statements = [SummaryStatement.model_construct(**entry) for entry in kept.statements]
    whole: dict[str, Any] = {**kept.heading, "statements": statements}
    return [Summary.model_construct(**whole)]


def _first(texts: Iterable[str]) -> str:
    return next((text.strip() for text in texts if text.strip()), "")
