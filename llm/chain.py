"""The two steps: a guideline becomes a summary, the summary and its passages a checklist.

What a model writes is a proposal; `llm.result` puts it beside the unaltered source.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from llm import bounds, chunks, prompts
from llm.client import Completer, Reply
from llm.grounding import normalise
from llm.passages import Passage, split_passages
from llm.revision import NOTHING, Kept
from llm.schemas import Checklist, Summary
from llm.statements import find_convention, find_statements

MAX_CONCURRENT = 4  # calls of one job at a time; more would trip the provider's rate limit
PROMPT_VERSION = 1  # what jobs run with
R = TypeVar("R")
A = TypeVar("A")


@dataclass(frozen=True)
class StepResult:
    """What one step gave, ready to be stored as JSON.

    usage        {"calls", "prompt_tokens", "completion_tokens"}
    provenance   {"prompt": "summarize.v1", "prompt_sha256", "model", "seconds"}
    """

    value: dict[str, Any]
    usage: dict[str, int]
    provenance: dict[str, Any]


async def summarize_guidelines(
    client: Completer,
    source: str,
    *,
    deadline: float,
    request_label: str = "",
    version: int = PROMPT_VERSION,
    kept: Kept = NOTHING,
) -> StepResult:
    """Step 1: what the guideline says, each statement with the ids of its passages.

    deadline        time.monotonic() seconds; no call starts after it
    request_label   for the provider's log; each call adds its number
    version         of the prompt; `make eval` compares them
    kept            what an earlier revision's run said of passages that have not changed

    The value is {title, scope, audience, statements: [{text, passages: [id]}]}, with no statement
    twice. A text that holds no words costs no call. Raises an LLMError.
    """
    started = time.monotonic()
    prompt = prompts.load("summarize", version)
    passages = split_passages(source)
    convention = find_convention(passages)

    async def ask(chunk: list[Passage], number: int) -> Reply[Summary]:
        data = {"convention": convention, "passages": chunks.as_data(chunk)}
        return await client.complete(
            prompt=prompt,
            data=data,
            schema=Summary,
            deadline=deadline,
            request_label=_numbered(request_label, number),
        )

    asked = [passage for passage in chunks.readable(passages) if passage.id not in kept.passages]
    replies = await _all_of(ask, chunks.pack(asked))
    summaries = [*_kept_summary(kept), *(reply.value for reply in replies)]
    value = _merge_summaries(summaries, {p.id for p in passages})
    return _step_result(client, prompt, replies, value, started)


async def generate_checklist(
    client: Completer,
    source: str,
    summary: dict[str, Any],
    *,
    deadline: float,
    request_label: str = "",
    version: int = PROMPT_VERSION,
    kept: Kept = NOTHING,
) -> StepResult:
    """Step 2: what to do, each item with quotes of the source.

    summary         the value of step 1 for the same source
    deadline        time.monotonic() seconds; no call starts after it
    request_label   for the provider's log; each call adds its number
    version         of the prompt; `make eval` compares them
    kept            what an earlier revision's run said of passages that have not changed

    The model sees the passages that the summary names, and all others in which we find a normative
    statement ourselves: a lossy summary loses no requirement. The value is {items: [...]} as in
    schemas.Checklist. A text that asks nothing costs no call. Raises an LLMError.
    """
    started = time.monotonic()
    prompt = prompts.load("checklist", version)
    passages = split_passages(source)
    convention = find_convention(passages)
    wanted = chunks.wanted(passages, summary, find_statements(passages, convention))

    async def ask(chunk: list[Passage], number: int) -> Reply[Checklist]:
        data = {
            "convention": convention,
            "summary": chunks.part_of_summary(summary, {passage.id for passage in chunk}),
            "passages": chunks.as_data(chunk),
        }
        return await client.complete(
            prompt=prompt,
            data=data,
            schema=Checklist,
            deadline=deadline,
            request_label=_numbered(request_label, number),
        )

    asked = [passage for passage in wanted if passage.id not in kept.passages]
    replies = await _all_of(ask, chunks.pack(asked))
    items = [*kept.items]
    items += [item.model_dump() for reply in replies for item in reply.value.items]
    return _step_result(client, prompt, replies, {"items": items}, started)


# What it will cost

_FULL = 0.75  # of a call, on average: calls end where sections do
_FRAMED = 1.3  # bytes of the JSON that a byte of a passage becomes


def estimate(source: str) -> bounds.Tokens:
    """What both steps together need, on the high side. Each call has a bound of its own."""
    calls = max(1, math.ceil(len(source) / (chunks.MAX_CHARACTERS * _FULL)))
    data = math.ceil(len(source.encode("utf-8", "surrogatepass")) * _FRAMED)
    fixed = sum(
        bounds.overhead(prompts.load(name, 1), schema)
        for name, schema in (("summarize", Summary), ("checklist", Checklist))
    )
    each = math.ceil(data / calls)
    # Step 2 sees the passages, and what step 1 said of them.
    completion = calls * (bounds.max_output(each) + bounds.max_output(2 * each))
    return bounds.Tokens(calls * fixed + 3 * data, completion)


# The calls of one step


async def _all_of(ask: Callable[[A, int], Awaitable[R]], portions: Sequence[A]) -> list[R]:
    """Ask for all portions, a few at a time, replies in order. The first failure stops the rest."""
    free = asyncio.Semaphore(MAX_CONCURRENT)

    async def ask_when_free(portion: A, number: int) -> R:
        async with free:
            return await ask(portion, number)

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


def _numbered(request_label: str, number: int) -> str:
    return f"{request_label}.{number}" if request_label else ""


def _step_result(
    client: Completer,
    prompt: prompts.Prompt,
    replies: Sequence[Reply[Any]],
    value: dict[str, Any],
    started: float,
) -> StepResult:
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
    if kept.heading is None:
        return []
    return [Summary.model_validate({**kept.heading, "statements": [*kept.statements]})]


def _first(texts: Iterable[str]) -> str:
    return next((text.strip() for text in texts if text.strip()), "")
