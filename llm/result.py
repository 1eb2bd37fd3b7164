"""The public result: what a model said, put beside the unaltered source.

Each quote is looked up, each item held against what it cites, each requirement of the source is
covered or listed as missing.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from llm.grounding import Locator, covering, normalise
from llm.markup import plain
from llm.meaning import FLAG_KINDS, Cited, Context, check
from llm.passages import Passage, split_passages
from llm.rules import Level
from llm.statements import Statement, find_statements

MAX_COVERING = 20  # citations of one statement that the coverage map looks at
MAX_WIDENED = 4_000  # characters of a statement beside the quote that the guard looks at
_ID_LENGTH = 12  # hex digits of an item's id; 48 bits, unique among any job's items

_MATCHES = ("exact", "normalised", "fuzzy", "unsupported")
Policy = Literal["flag", "drop"]  # what becomes of an item whose meaning did not survive


def build_result(
    source: str,
    summary: dict[str, Any],
    checklist: dict[str, Any],
    provenance: dict[str, Any],
    *,
    policy: Policy = "flag",
) -> dict[str, Any]:
    """What the customer gets, checked against the source. Pure: the same in, the same out.

    summary      value of step 1
    checklist    value of step 2
    provenance   kept as it is, with the SHA-256 of the source added
    policy       "flag" keeps an item whose meaning is in doubt and says why; "drop" moves it, and
                 any item without support, to `dropped`, where it covers nothing

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
    return {
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
