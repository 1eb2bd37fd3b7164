"""The repair: what step 2 has left out or got wrong, asked for once more.

A repair is a bonus. It adds items for statements that none covers, and may replace an item that is
in doubt; what it says is examined like everything else, and taken only where it is better.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
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
    unspent,
)
from llm.completer import Completer, Reply
from llm.errors import AuthRefused, LLMError, QuotaExhausted
from llm.grounding import covers
from llm.limits import MAX_REPAIRS
from llm.passages import Passage
from llm.result import Examined, is_doubtful
from llm.revision import NOTHING, Kept
from llm.rules import BINDING
from llm.schemas import Repair
from llm.statements import Statement, find_convention


@dataclass
class _Request:
    """One call: passages, statements of them that nothing covers, entries of the checklist."""

    passages: list[Passage]
    missing: list[Statement] = field(default_factory=list)
    doubtful: list[int] = field(default_factory=list)

    @property
    def worth(self) -> tuple[int, int]:
        """Where not all can be asked for: what binds is asked for first."""
        binding = sum(bool(BINDING.intersection(s.levels)) for s in self.missing)
        return binding, len(self.missing) + len(self.doubtful)


def needs_repair(found: Examined, *, doubtful: bool, kept: Kept = NOTHING) -> bool:
    """Is there anything to ask for? See `repair_checklist`."""
    return bool(_requests(found, doubtful=doubtful, kept=kept))


async def repair_checklist(
    client: Completer,
    found: Examined,
    *,
    deadline: float,
    doubtful: bool = False,
    request_label: str = "",
    version: int = prompts.labelled("production")["repair"],
    kept: Kept = NOTHING,
    how: How = PLAIN,
) -> StepResult:
    """A better checklist for the same source; the rest as for `llm.chain.generate_checklist`.

    found      the checklist of step 2 beside its source
    doubtful   ask also for the items whose meaning is in doubt, or whose quotes are not there
    kept       what an earlier revision's run said: it has asked for what its passages lack

    An answer to a missing statement is taken if it cites that statement and all its quotes stand in
    the source; a corrected item if it cites a statement that the item was about, and is in less
    doubt than that. So nothing gets worse. The value is {items}, as of step 2. A call that is
    declined for good is left out, and `provenance` has its code as `failed`; raises an LLMError
    where trying again, or a person, can help.
    """
    started = time.monotonic()
    prompt = prompts.load("repair", version)
    requests = await asyncio.to_thread(_requests, found, doubtful=doubtful, kept=kept)
    convention = find_convention(found.passages)
    asked = [passage for request in requests for passage in request.passages]
    progress = Progress(how.on_progress, asked, asked)
    until = how.until(deadline, len(requests))
    failed: list[str] = []

    async def ask(request: _Request, number: int) -> Reply[Repair] | None:
        data = {"convention": convention, **_as_data(found, request)}
        try:
            reply = await client.complete(
                prompt=prompt,
                data=data | how.told(),
                schema=Repair,
                deadline=until,
                request_label=numbered(request_label, number),
            )
        except LLMError as error:
            if error.retryable or isinstance(error, QuotaExhausted | AuthRefused):
                raise
            failed.append(error.code)
            return None
        await progress.add(request.passages)
        return reply

    await progress.add()
    answers = list(zip(requests, await all_of(ask, requests, until=until), strict=True))
    replies = [reply for _, reply in answers if reply]
    value = await asyncio.to_thread(_taken, found, [(q, r.value) for q, r in answers if r])
    step = step_result(client, prompt, replies, value, started)
    if failed:
        step.provenance["failed"] = failed[0]
    return step


def unrepaired(found: Examined, version: int, code: str) -> StepResult:
    """What stands in for a repair that was given up: the checklist as it was, and why."""
    prompt = prompts.load("repair", version)
    provenance = {"prompt": prompt.label, "prompt_sha256": prompt.sha256, "failed": code}
    return StepResult(found.checklist, unspent(), provenance)


# What is asked for


def _requests(found: Examined, *, doubtful: bool, kept: Kept) -> list[_Request]:
    """At most MAX_REPAIRS, in the order of the source."""
    missing = [s for s in found.missing() if s.passage_id not in kept.passages]
    doubts = [at for at, item in enumerate(found.items) if doubtful and is_doubtful(item)]
    places = {at: _place(found, at) for at in doubts}
    places = {at: place for at, place in places.items() if place not in kept.passages}
    wanted = {statement.passage_id for statement in missing} | set(places.values())
    passages = chunks.with_introductions(found.passages, wanted)
    requests = [_Request(chunk) for chunk in chunks.pack(passages)]
    by_id: dict[int, list[_Request]] = {}
    for request in requests:
        for passage in request.passages:
            by_id.setdefault(passage.id, []).append(request)
    for statement in missing:
        if holding := _holding(by_id.get(statement.passage_id, ()), statement):
            holding.missing.append(statement)
    for at, place in places.items():
        for request in by_id.get(place, ())[:1]:
            request.doubtful.append(at)
    asking = [request for request in requests if request.missing or request.doubtful]
    chosen = sorted(asking, key=lambda request: request.worth, reverse=True)[:MAX_REPAIRS]
    return [request for request in asking if any(request is one for one in chosen)]


def _holding(requests: Sequence[_Request], statement: Statement) -> _Request | None:
    """A passage may be cut in parts: the request with the part in which the statement begins."""
    for request in requests:
        for part in request.passages:
            if part.id == statement.passage_id and part.start <= statement.start < part.end:
                return request
    return None


def _place(found: Examined, at: int) -> int:
    """The passage that an item is about: where its first quote was found, else what it names."""
    starts = (citation["start"] for citation in found.items[at]["citations"])
    start = next((start for start in starts if start is not None), None)
    if start is not None and (passage := found.passage_at(start)):
        return passage.id
    named = found.checklist["items"][at]["citations"]
    return named[0]["passage"] if named else 0


def _as_data(found: Examined, request: _Request) -> dict[str, Any]:
    return {
        "summary": {key: found.summary[key] for key in ("title", "scope", "audience")},
        "missing": [
            {"passage": s.passage_id, "text": s.text, "levels": list(s.levels)}
            for s in request.missing
        ],
        "doubtful": [_as_doubt(found, at) for at in request.doubtful],
        "passages": chunks.as_data(request.passages),
    }


def _as_doubt(found: Examined, at: int) -> dict[str, Any]:
    item = found.items[at]
    return {
        "number": at,
        "item": found.checklist["items"][at],
        "lost": item["flags"],
        "not_found": [c["quote"] for c in item["citations"] if c["match"] == "unsupported"],
    }


# What is taken of the answers


def _taken(found: Examined, answers: Sequence[tuple[_Request, Repair]]) -> dict[str, Any]:
    items = list(found.checklist["items"])
    added: list[dict[str, Any]] = []
    for request, answer in answers:
        for corrected in answer.corrected:
            entry = corrected.item.model_dump()
            if corrected.number in request.doubtful and _is_better(found, corrected.number, entry):
                items[corrected.number] = entry
                request.doubtful.remove(corrected.number)  # one answer each: the first good one
        for item in answer.items:
            entry = item.model_dump()
            if _covers_any(found.judge(entry), request.missing):
                added.append(entry)
    return {"items": [*items, *added]}


def _is_better(found: Examined, at: int, entry: dict[str, Any]) -> bool:
    """Supported, with fewer flags, and about the same: a good item about something else would
    take away what this one covers."""
    old, new = found.items[at], found.judge(entry)
    if not new["supported"]:
        return False
    about = [s for s in found.statements_at(old) if _cites(old, s)]
    if about and not _covers_any(new, about):
        return False
    return _doubt(new) < _doubt(old)


def _doubt(item: dict[str, Any]) -> tuple[bool, int]:
    return not item["supported"], len(item["flags"])


def _covers_any(item: dict[str, Any], statements: Sequence[Statement]) -> bool:
    return item["supported"] and any(_cites(item, statement) for statement in statements)


def _cites(item: dict[str, Any], statement: Statement) -> bool:
    places = [(c["start"], c["end"]) for c in item["citations"] if c["start"] is not None]
    return any(covers(start, end, statement) for start, end in places)
