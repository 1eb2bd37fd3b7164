"""The public result: what a model said, put beside the unaltered source.

Each quote is looked up, each item held against what it cites, each requirement of the source is
covered or listed as missing.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Literal

from llm.duplicates import merged
from llm.gaps import Finding, as_report, find_gaps
from llm.grounding import Locator, covering, normalise
from llm.identity import identify
from llm.markup import plain
from llm.meaning import FLAG_KINDS, Cited, Context, check, check_translated, is_translated
from llm.passages import Passage
from llm.reading import Reading
from llm.rules import BINDING, Level
from llm.statements import Statement

MAX_COVERING = 20  # citations of one statement that the coverage map looks at
MAX_WIDENED = 4_000  # characters of a statement beside the quote that the guard looks at

_MATCHES = ("exact", "normalised", "fuzzy", "unsupported")
Policy = Literal["flag", "drop"]  # what becomes of an item whose meaning did not survive


def build_result(
    source: str,
    summary: dict[str, Any],
    checklist: dict[str, Any],
    provenance: dict[str, Any],
    *,
    policy: Policy = "flag",
    language: str = "",
    report: bool = False,
) -> dict[str, Any]:
    """What the customer gets, checked against the source. Pure: the same in, the same out.

    summary      value of step 1
    checklist    value of step 2
    provenance   kept as it is, with the SHA-256 of the source added
    policy       "flag" keeps an item whose meaning is in doubt and says why; "drop" moves it, and
                 any item without support, to `dropped`, where it covers nothing
    language     that the items were asked for in, as a BCP 47 tag; "" is the source's own
    report       adds `report`: conflicts and gaps of the guideline itself, see llm/gaps

    Returns {summary, checklist, dropped, coverage, grounding, provenance}. Offsets count characters
    of the source; those of an unsupported citation are None. Items are in the order of the source,
    those that nothing in the source supports come last.
    """
    examined = Examined.of(source, summary, checklist, language=language)
    return examined.result(provenance, policy=policy, report=report)


def is_doubtful(item: dict[str, Any]) -> bool:
    return bool(item["flags"]) or not item["supported"]


class Examined:
    """A checklist beside its source: what each item is worth, and what no item covers.

    items   for each entry of the checklist, in its order, what the public result says of it
    """

    def __init__(self, places: "_Places", summary: dict[str, Any], checklist: dict[str, Any]):
        self._places, self.summary, self.checklist = places, summary, checklist
        self.items = [places.item(item) for item in checklist["items"]]

    @classmethod
    def of(
        cls,
        source: str | Reading,
        summary: dict[str, Any],
        checklist: dict[str, Any],
        *,
        language: str = "",
    ) -> "Examined":
        """As `build_result`, which is this and its `result`."""
        return cls(_Places(Reading.of(source), summary["audience"], language), summary, checklist)

    def revised(self, checklist: dict[str, Any]) -> "Examined":
        """Another checklist for the same source; entries of both are not looked at again."""
        return Examined(self._places, self.summary, checklist)

    def judge(self, entry: dict[str, Any]) -> dict[str, Any]:
        """What the public result would say of one more entry."""
        return self._places.item(entry)

    @property
    def passages(self) -> list[Passage]:
        return self._places.passages

    @property
    def statements(self) -> list[Statement]:
        return self._places.statements

    def passage_at(self, start: int) -> Passage | None:
        return self._places.passage_at(start)

    def statements_at(self, item: dict[str, Any]) -> list[Statement]:
        """Those that the citations of an examined item touch."""
        return [
            statement
            for start, end in _spans([item])
            for statement in self._places.statements_in(start, end)
        ]

    def missing(self) -> list[Statement]:
        """What an item should cite, and none does."""
        found = _hits(self.statements, _spans(self.items), at_most=1)
        pairs = zip(self.statements, found, strict=True)
        return [statement for statement, hits in pairs if not hits and statement.actionable]

    def result(
        self, provenance: dict[str, Any], *, policy: Policy = "flag", report: bool = False
    ) -> dict[str, Any]:
        """The public result, see `build_result`."""
        every = identify(merged(self.items))
        items = [item for item in every if policy == "flag" or not is_doubtful(item)]
        dropped = [item for item in every if policy == "drop" and is_doubtful(item)]
        citations = [citation for item in items for citation in item["citations"]]
        source = self._places.source
        result = {
            "summary": {
                **{key: self.summary[key] for key in ("title", "scope", "audience")},
                "statements": [self._places.statement(e) for e in self.summary["statements"]],
            },
            "checklist": items,
            "dropped": dropped,
            "coverage": _coverage(self.statements, items),
            "grounding": {**_grounding(citations), "flags": _flag_counts(items)},
            "provenance": {
                **provenance,
                "source_sha256": hashlib.sha256(
                    source.encode("utf-8", "surrogatepass")
                ).hexdigest(),
            },
        }
        if report:
            result["report"] = as_report(self._gaps())
        return result

    def _gaps(self) -> list[Finding]:
        audience = self._places.audience
        return find_gaps(self._places.source, self.passages, self.statements, audience=audience)


class _Places:
    """Looks up quotes and passage ids in one source, and holds items against what they cite."""

    def __init__(self, reading: Reading, audience: str, language: str) -> None:
        self.source = reading.source
        self.passages = reading.passages
        self._speaks = reading.language
        self.statements = reading.statements
        self._locator = Locator(reading.source)
        self._by_id = {passage.id: passage for passage in self.passages}
        self._starts = [passage.start for passage in self.passages]
        self._statement_starts = [statement.start for statement in self.statements]
        # Whom the text itself names: a model may have made somebody up.
        self.audience = audience if self._says(audience) else ""
        asked = language.partition("-")[0].lower()
        self._asked = "" if asked == self._speaks else asked  # "": the source's language
        self._sections: dict[str, list[Passage]] = {}
        for passage in self.passages:
            self._sections.setdefault(passage.section, []).append(passage)
        self._items: dict[str, dict[str, Any]] = {}
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
        key = repr(item)
        if key not in self._items:
            self._items[key] = self._item(item)
        return self._items[key]

    def _item(self, item: dict[str, Any]) -> dict[str, Any]:
        found = [self._citation(citation) for citation in item["citations"]]
        citations = list({_citation_key(citation): citation for citation in found}.values())
        supported = bool(citations) and all(c["match"] != "unsupported" for c in citations)
        plain_fields = ("action", "actor", "level", "category", "priority", "condition")
        return {
            **{key: item[key] for key in plain_fields},
            "citations": citations,
            "supported": supported,
            "flags": self._flags(item, citations),
        }

    def _says(self, words: str) -> bool:
        folded = self._locator.folded.text.casefold() if words else ""
        return normalise(words).casefold() in folded

    def _flags(
        self, item: dict[str, Any], citations: Iterable[dict[str, Any]]
    ) -> list[dict[str, str]]:
        """What did not survive; an item that quotes nothing we found is marked unsupported."""
        spans = dict.fromkeys((c["start"], c["end"]) for c in citations if c["start"] is not None)
        cited = [self._cite(start, end) for start, end in spans]
        text = f"{item['action']} {item['condition']}"
        if self._asked and is_translated(text, cited, self._speaks, self._asked):
            flags = check_translated(
                item["action"], item["level"], item["condition"], cited, self._asked
            )
        else:
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
        found = self.statements_in(start, end)
        first = min([start, *(max(s.start, start - MAX_WIDENED) for s in found)])
        last = max([end, *(min(s.end, end + MAX_WIDENED) for s in found)])
        if (first, last) not in self._cited:
            passage = self.passage_at(start)
            levels: tuple[Level, ...] = tuple(
                dict.fromkeys(level for statement in found for level in statement.levels)
            )
            self._cited[first, last] = Cited(
                self.source[first:last],
                levels,
                _stem_of(passage),
                passage.section if passage else "",
            )
        return self._cited[first, last]

    def statements_in(self, start: int, end: int) -> list[Statement]:
        """Statements do not overlap, so that their ends are in order as their starts are."""
        at = max(0, bisect_right(self._statement_starts, start) - 1)
        found = []
        while at < len(self.statements) and self.statements[at].start < end:
            if self.statements[at].end > start:
                found.append(self.statements[at])
            at += 1
        return found

    def _context(self, sections: frozenset[str]) -> Context:
        """Who may be meant by a sentence that names nobody: its sections and the audience say."""
        if sections not in self._contexts:
            near = (p for section in sections for p in self._sections.get(section, ()))
            nearby = " . ".join(p.text for p in sorted(near, key=attrgetter("start")))
            self._contexts[sections] = Context(self.audience, nearby)
        return self._contexts[sections]

    def _citation(self, citation: dict[str, Any]) -> dict[str, Any]:
        match = self._locator.locate(citation["quote"], self._by_id.get(citation["passage"]))
        if match.start is None:
            place = {"start": None, "end": None, "quote": citation["quote"], "section": ""}
        else:
            place = {
                "start": match.start,
                "end": match.end,
                "quote": self.source[match.start : match.end],
                "section": self._section_at(match.start),
            }
        return {**place, "match": match.kind, "similarity": match.similarity}

    def _section_at(self, start: int) -> str:
        passage = self.passage_at(start)
        return passage.section if passage else ""

    def passage_at(self, start: int) -> Passage | None:
        at = bisect_right(self._starts, start) - 1
        return self.passages[at] if at >= 0 else None


def _stem_of(passage: Passage | None) -> str:
    """What a sentence cannot be understood without; for one in a table: the row's first cell."""
    if passage is None:
        return ""
    if passage.kind == "table_row":
        return f"{passage.stem} | {plain(passage.text.strip('| ').partition('|')[0])}"
    return passage.stem


def _citation_key(citation: dict[str, Any]) -> str:
    return f"{citation['start']}:{citation['end']}:{citation['quote']}"


def _coverage(statements: Sequence[Statement], items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each statement is covered, missing or not actionable; what is cited is covered in any case.

    A norm that nobody carries out ("This Act shall be known as ...") is no gap in a checklist: it
    counts among the statements, not among what must be covered.
    """
    spans = _spans(items)
    cited = [i["id"] for i in items for c in i["citations"] if c["start"] is not None]
    found = _hits(statements, spans, at_most=MAX_COVERING)
    pairs = list(zip(statements, found, strict=True))
    due = [(s, hits) for s, hits in pairs if hits or s.actionable]
    binding = [hits for s, hits in due if BINDING.intersection(s.levels)]
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
                "items": list(dict.fromkeys(cited[number] for number in hits)),
            }
            for statement, hits in pairs
            if hits
        ],
    }


def _hits(
    statements: Sequence[Statement], spans: Sequence[tuple[int, int]], *, at_most: int
) -> list[list[int]]:
    """As `covering`; and what a passage says twice, word for word, is covered once it is quoted: a
    quote is found where the sentence stands first.
    """
    found = covering(statements, spans, at_most=at_most)
    pairs = list(zip(statements, found, strict=True))
    said = {(s.passage_id, s.text): hits for s, hits in pairs if hits}
    return [hits or said.get((s.passage_id, s.text), []) for s, hits in pairs]


def _spans(items: Iterable[dict[str, Any]]) -> list[tuple[int, int]]:
    """Where the items' citations stand, item by item."""
    citations = (citation for item in items for citation in item["citations"])
    return [(c["start"], c["end"]) for c in citations if c["start"] is not None]


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
