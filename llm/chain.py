"""The two steps: a guideline becomes a summary, the summary and its passages a checklist.

What a model writes is a proposal. `build_result` puts it beside the unaltered source: each quote
is looked up, each requirement of the source is covered or listed as missing.
"""

import asyncio
import hashlib
import math
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from llm import bounds, prompts
from llm.client import Completer, Reply
from llm.gaps import as_report, find_gaps
from llm.grounding import Locator, covering, normalise
from llm.markup import plain
from llm.meaning import FLAG_KINDS, Cited, Context, check
from llm.passages import Passage, split_passages
from llm.revision import NOTHING, Kept
from llm.rules import Level
from llm.schemas import Checklist, Summary
from llm.statements import Statement, find_convention, find_statements

MAX_CHARACTERS = 12_000  # of passages in one call: about 3,000 tokens, where recall is still good
MAX_CONCURRENT = 4  # calls of one job at a time; more would trip the provider's rate limit
PROMPT_VERSION = 1  # where nobody says which; jobs are pinned to the label `production`
MAX_COVERING = 20  # citations of one statement that the coverage map looks at
MAX_WIDENED = 4_000  # characters of a statement beside the quote that the guard looks at
_ID_LENGTH = 12  # hex digits of an item's id; 48 bits, unique among any job's items

_MATCHES = ("exact", "normalised", "fuzzy", "unsupported")
Policy = Literal["flag", "drop"]  # what becomes of an item whose meaning did not survive
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
        data = {"convention": convention, "passages": _as_data(chunk)}
        return await client.complete(
            prompt=prompt,
            data=data,
            schema=Summary,
            deadline=deadline,
            request_label=_numbered(request_label, number),
        )

    asked = [passage for passage in _readable(passages) if passage.id not in kept.passages]
    replies = await _all_of(ask, _chunks(asked))
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
    wanted = _wanted(passages, summary, find_statements(passages, convention))

    async def ask(chunk: list[Passage], number: int) -> Reply[Checklist]:
        data = {
            "convention": convention,
            "summary": _part_of_summary(summary, {passage.id for passage in chunk}),
            "passages": _as_data(chunk),
        }
        return await client.complete(
            prompt=prompt,
            data=data,
            schema=Checklist,
            deadline=deadline,
            request_label=_numbered(request_label, number),
        )

    asked = [passage for passage in wanted if passage.id not in kept.passages]
    replies = await _all_of(ask, _chunks(asked))
    items = [*kept.items]
    items += [item.model_dump() for reply in replies for item in reply.value.items]
    return _step_result(client, prompt, replies, {"items": items}, started)


# What it will cost

_FULL = 0.75  # of a call, on average: calls end where sections do
_FRAMED = 1.3  # bytes of the JSON that a byte of a passage becomes


def estimate(source: str) -> bounds.Tokens:
    """What both steps together need, on the high side. Each call has a bound of its own."""
    calls = max(1, math.ceil(len(source) / (MAX_CHARACTERS * _FULL)))
    data = math.ceil(len(source.encode("utf-8", "surrogatepass")) * _FRAMED)
    fixed = sum(
        bounds.overhead(prompts.load(name, 1), schema)
        for name, schema in (("summarize", Summary), ("checklist", Checklist))
    )
    each = math.ceil(data / calls)
    # Step 2 sees the passages, and what step 1 said of them.
    completion = calls * (bounds.max_output(each) + bounds.max_output(2 * each))
    return bounds.Tokens(calls * fixed + 3 * data, completion)


# Which passages go into which call


def _readable(passages: Iterable[Passage]) -> list[Passage]:
    """Headings travel as the `section` of the other passages; code states nothing."""
    return [passage for passage in passages if passage.kind not in ("code", "heading")]


def _wanted(
    passages: Sequence[Passage], summary: dict[str, Any], statements: Iterable[Statement]
) -> list[Passage]:
    """The passages of step 2 in order, and with a list's item the paragraph that introduces it."""
    ids = {statement.passage_id for statement in statements}
    ids.update(number for entry in summary["statements"] for number in entry["passages"])
    introduction: Passage | None = None
    for passage in _readable(passages):
        if passage.kind == "paragraph":
            introduction = passage if passage.text.rstrip("*_ ").endswith(":") else None
        elif passage.id in ids and passage.stem and introduction:
            ids.add(introduction.id)
    return [passage for passage in _readable(passages) if passage.id in ids]


def _chunks(passages: Iterable[Passage]) -> list[list[Passage]]:
    """Pack passages into calls; a call ends where a section does, if that leaves it half full."""
    chunks: list[list[Passage]] = []
    chunk: list[Passage] = []
    size = 0
    for passage in _in_parts(passages):
        if chunk and size + _size(passage) > MAX_CHARACTERS:
            at = _last_section_start(chunk, passage)
            chunks.append(chunk[:at])
            chunk = chunk[at:]
            size = sum(map(_size, chunk))
        chunk.append(passage)
        size += _size(passage)
    return [*chunks, chunk] if chunk else chunks


def _size(passage: Passage) -> int:
    return len(passage.text) + len(passage.stem) + len(passage.section)


def _last_section_start(chunk: list[Passage], following: Passage) -> int:
    if chunk[-1].section != following.section:
        return len(chunk)
    for at in range(len(chunk) - 1, 0, -1):
        if chunk[at].section != chunk[at - 1].section:
            half_full = sum(map(_size, chunk[:at])) >= MAX_CHARACTERS // 2
            return at if half_full else len(chunk)
    return len(chunk)


def _in_parts(passages: Iterable[Passage]) -> Iterable[Passage]:
    """A passage too long for one call becomes several with its id, cut between sentences."""
    for passage in passages:
        at = 0
        while len(passage.text) - at > MAX_CHARACTERS:
            end = _cut(passage.text, at, at + MAX_CHARACTERS)
            yield _part(passage, at, end)
            at = end
        yield _part(passage, at, len(passage.text)) if at else passage


def _cut(text: str, start: int, limit: int) -> int:
    middle = (start + limit) // 2
    for mark in (". ", ".\n", "\n", " "):
        at = text.rfind(mark, middle, limit)
        if at > 0:
            return at + len(mark)
    return limit


def _part(passage: Passage, start: int, end: int) -> Passage:
    return Passage(
        passage.id,
        passage.start + start,
        passage.start + end,
        passage.text[start:end],
        passage.section,
        passage.stem,
        passage.kind,
    )


def _as_data(passages: Iterable[Passage]) -> list[dict[str, Any]]:
    return [{"id": p.id, "section": p.section, "stem": p.stem, "text": p.text} for p in passages]


def _part_of_summary(summary: dict[str, Any], ids: set[int]) -> dict[str, Any]:
    """The summary as one call of step 2 sees it: what it says about that call's passages."""
    about = [entry for entry in summary["statements"] if ids.intersection(entry["passages"])]
    return {**summary, "statements": about}


# The calls of one step


async def _all_of(ask: Callable[[A, int], Awaitable[R]], chunks: Sequence[A]) -> list[R]:
    """Ask for all chunks, a few at a time, replies in order. The first failure stops the rest."""
    free = asyncio.Semaphore(MAX_CONCURRENT)

    async def ask_when_free(chunk: A, number: int) -> R:
        async with free:
            return await ask(chunk, number)

    tasks = [
        asyncio.ensure_future(ask_when_free(chunk, number))
        for number, chunk in enumerate(chunks, start=1)
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


# The public result


def build_result(
    source: str,
    summary: dict[str, Any],
    checklist: dict[str, Any],
    provenance: dict[str, Any],
    *,
    policy: Policy = "flag",
    report: bool = False,
) -> dict[str, Any]:
    """What the customer gets, checked against the source. Pure: the same in, the same out.

    summary      value of step 1
    checklist    value of step 2
    provenance   kept as it is, with the SHA-256 of the source added
    policy       "flag" keeps an item whose meaning is in doubt and says why; "drop" moves it, and
                 any item without support, to `dropped`, where it covers nothing
    report       adds `report`: conflicts and gaps of the guideline itself, see llm/gaps

    Returns {summary, checklist, dropped, coverage, grounding, provenance}. Offsets count characters
    of the source; those of an unsupported citation are None. Items are in the order of the source,
    those that nothing in the source supports come last.
    """
    passages = split_passages(source)
    statements = find_statements(passages)
    places = _Places(source, passages, statements, summary["audience"])
    every = _unique_in_order(places.item(item) for item in checklist["items"])
    dropped = [item for item in every if policy == "drop" and _is_doubtful(item)]
    items = [item for item in every if item not in dropped] if dropped else every
    citations = [citation for item in items for citation in item["citations"]]
    result = {
        "summary": {
            **{key: summary[key] for key in ("title", "scope", "audience")},
            "statements": [places.statement(entry) for entry in summary["statements"]],
        },
        "checklist": items,
        "dropped": dropped,
        "coverage": _coverage(statements, items),
        "grounding": {**_grounding(citations), "flags": _flag_counts(items)},
        "provenance": {
            **provenance,
            "source_sha256": hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest(),
        },
    }
    if report:
        gaps = find_gaps(source, passages, statements, audience=summary["audience"])
        result["report"] = as_report(gaps)
    return result


def _is_doubtful(item: dict[str, Any]) -> bool:
    return bool(item["flags"]) or not item["supported"]


class _Places:
    """Looks up quotes and passage ids in one source, and holds items against what they cite."""

    def __init__(
        self,
        source: str,
        passages: list[Passage],
        statements: list[Statement],
        audience: str,
    ) -> None:
        self._source = source
        self._locator = Locator(source)
        self._passages = passages
        self._by_id = {passage.id: passage for passage in passages}
        self._starts = [passage.start for passage in passages]
        self._statements = statements
        self._statement_starts = [statement.start for statement in statements]
        self._audience = audience if normalise(audience).casefold() in self._folded() else ""
        self._cited: dict[tuple[int, int], Cited] = {}
        self._contexts: dict[frozenset[str], Context] = {}

    def statement(self, entry: dict[str, Any]) -> dict[str, Any]:
        named = (self._by_id.get(number) for number in entry["passages"])
        return {
            "text": entry["text"],
            "passages": [
                {"start": passage.start, "end": passage.end, "section": passage.section}
                for passage in named
                if passage
            ],
        }

    def item(self, item: dict[str, Any]) -> dict[str, Any]:
        """One item with its citations looked up: supported if it has some and all are found."""
        found = [self._citation(citation) for citation in item["citations"]]
        citations = list({_citation_key(citation): citation for citation in found}.values())
        supported = bool(citations) and all(c["match"] != "unsupported" for c in citations)
        plain_fields = ("action", "actor", "level", "category", "priority", "condition")
        return {
            "id": _item_id(item["level"], citations, item["action"]),
            **{key: item[key] for key in plain_fields},
            "citations": citations,
            "supported": supported,
            "flags": self._flags(item, citations),
        }

    def _folded(self) -> str:
        return normalise(self._source).casefold()

    def _flags(
        self, item: dict[str, Any], citations: Iterable[dict[str, Any]]
    ) -> list[dict[str, str]]:
        """What did not survive; an item that quotes nothing we found is marked unsupported."""
        spans = dict.fromkeys((c["start"], c["end"]) for c in citations if c["start"] is not None)
        cited = [self._cite(start, end) for start, end in spans]
        flags = check(
            item["action"],
            item["actor"],
            item["level"],
            item["condition"],
            cited,
            self._context(frozenset(c.section for c in cited)),
        )
        return [flag.as_dict() for flag in flags]

    def _cite(self, start: int, end: int) -> Cited:
        """The quote, widened to whole statements: half a quote would hide the other half."""
        found = self._statements_in(start, end)
        first = min([start, *(max(s.start, start - MAX_WIDENED) for s in found)])
        last = max([end, *(min(s.end, end + MAX_WIDENED) for s in found)])
        if (first, last) not in self._cited:
            passage = self._passage_at(start)
            levels: tuple[Level, ...] = tuple(
                dict.fromkeys(level for statement in found for level in statement.levels)
            )
            self._cited[first, last] = Cited(
                self._source[first:last],
                levels,
                _stem_of(passage),
                passage.section if passage else "",
            )
        return self._cited[first, last]

    def _statements_in(self, start: int, end: int) -> list[Statement]:
        """Statements do not overlap, so that their ends are in order as their starts are."""
        at = max(0, bisect_right(self._statement_starts, start) - 1)
        found = []
        while at < len(self._statements) and self._statements[at].start < end:
            if self._statements[at].end > start:
                found.append(self._statements[at])
            at += 1
        return found

    def _context(self, sections: frozenset[str]) -> Context:
        """Who may be meant by a sentence that names nobody: its sections and the audience say."""
        if sections not in self._contexts:
            nearby = " . ".join(p.text for p in self._passages if p.section in sections)
            self._contexts[sections] = Context(self._audience, nearby)
        return self._contexts[sections]

    def _citation(self, citation: dict[str, Any]) -> dict[str, Any]:
        match = self._locator.locate(citation["quote"], self._by_id.get(citation["passage"]))
        if match.start is None:
            place = {"start": None, "end": None, "quote": citation["quote"], "section": ""}
        else:
            place = {
                "start": match.start,
                "end": match.end,
                "quote": self._source[match.start : match.end],
                "section": self._section_at(match.start),
            }
        return {**place, "match": match.kind, "similarity": match.similarity}

    def _section_at(self, start: int) -> str:
        passage = self._passage_at(start)
        return passage.section if passage else ""

    def _passage_at(self, start: int) -> Passage | None:
        at = bisect_right(self._starts, start) - 1
        return self._passages[at] if at >= 0 else None


def _stem_of(passage: Passage | None) -> str:
    """What a sentence cannot be understood without; for one in a table: the row's first cell."""
    if passage is None:
        return ""
    if passage.kind == "table_row":
        return f"{passage.stem} | {plain(passage.text.strip('| ').partition('|')[0])}"
    return passage.stem


def _citation_key(citation: dict[str, Any]) -> str:
    return f"{citation['start']}:{citation['end']}:{citation['quote']}"


def _item_id(level: str, citations: Iterable[dict[str, Any]], action: str) -> str:
    parts = [level, *map(_citation_key, citations), plain(action)]
    digest = hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:_ID_LENGTH]


def _unique_in_order(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items with the same level, citations and action are one."""
    unique: dict[str, dict[str, Any]] = {}
    for item in items:
        unique.setdefault(item["id"], item)
    return sorted(unique.values(), key=_first_place)


def _first_place(item: dict[str, Any]) -> float:
    starts = [c["start"] for c in item["citations"] if c["start"] is not None]
    return min(starts, default=float("inf"))


def _coverage(statements: Sequence[Statement], items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each statement is covered, missing or not actionable; what is cited is covered in any case.

    A norm that nobody carries out ("This Act shall be known as ...") is no gap in a checklist: it
    counts among the statements, not among what must be covered.
    """
    cited = [
        (c["start"], c["end"], item["id"])
        for item in items
        for c in item["citations"]
        if c["start"] is not None
    ]
    found = covering(statements, [(s, e) for s, e, _ in cited], at_most=MAX_COVERING)
    pairs = list(zip(statements, found, strict=True))
    due = [(s, hits) for s, hits in pairs if hits or s.actionable]
    binding = [hits for s, hits in due if {"must", "must_not"}.intersection(s.levels)]
    return {
        "statements": len(statements),
        "covered": sum(bool(hits) for _, hits in pairs),
        "must": len(binding),
        "must_covered": sum(map(bool, binding)),
        "missing": [_quoted(statement) for statement, hits in due if not hits],
        "not_actionable": [_quoted(s) for s, hits in pairs if not hits and not s.actionable],
        "covered_by": [
            {
                "start": statement.start,
                "end": statement.end,
                "levels": list(statement.levels),
                "items": list(dict.fromkeys(cited[number][2] for number in hits)),
            }
            for statement, hits in pairs
            if hits
        ],
    }


def _quoted(statement: Statement) -> dict[str, Any]:
    return {
        "text": statement.text,
        "levels": list(statement.levels),
        "start": statement.start,
        "end": statement.end,
        "section": statement.section,
    }


def _flag_counts(items: Iterable[dict[str, Any]]) -> dict[str, int]:
    kinds = [flag["kind"] for item in items for flag in item["flags"]]
    return {kind: kinds.count(kind) for kind in FLAG_KINDS}


def _grounding(citations: Sequence[dict[str, Any]]) -> dict[str, int]:
    kinds = [citation["match"] for citation in citations]
    counts = {kind: kinds.count(kind) for kind in _MATCHES}
    return {"citations": len(kinds), **counts}
