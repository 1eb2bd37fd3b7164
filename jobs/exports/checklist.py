"""A completed job's checklist in the words and the order that every export shows it in."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from jobs.exports.text import fit, one_line
from jobs.models import Job
from llm.language import detect

LEVELS = {
    "must": "must",
    "must_not": "must not",
    "should": "should",
    "should_not": "should not",
    "may": "may",
}
MATCHES = {
    "exact": "word for word",
    "normalised": "found but for white space and mark-up",
    "fuzzy": "nearly found",
    "unsupported": "not found in the guideline",
}
KINDS = {"modal": "obligation", "invented": "nothing cited says so"}


@dataclass(frozen=True)
class Citation:
    """A quote and where it stands in the guideline.

    start, end  in characters (code points) of the guideline; None where it was not found
    page        of the document it was read from, where it has pages
    """

    quote: str
    section: str
    start: int | None
    end: int | None
    page: int | None
    match: str
    similarity: float | None

    @property
    def found(self) -> str:
        """How the quote was found, in words."""
        words = MATCHES.get(self.match, self.match)
        return f"{words} ({self.similarity:.0%})" if self.similarity is not None else words

    @property
    def place(self) -> str:
        return place(self.section, self.page, self.start, self.end)

    @property
    def near(self) -> str:
        """The same, below its nearest heading alone."""
        return place(self.section.rpartition(" > ")[2], self.page, self.start, self.end)


@dataclass(frozen=True)
class Item:
    number: int
    id: str
    action: str
    actor: str
    level: str  # as in the result: "must_not"
    category: str
    priority: str
    condition: str
    citations: list[Citation]
    supported: bool
    doubts: list[str]  # one sentence for each flag

    @property
    def duty(self) -> str:
        return LEVELS.get(self.level, self.level)

    @property
    def in_doubt(self) -> bool:
        return bool(self.doubts) or not self.supported


@dataclass(frozen=True)
class Gap:
    """A requirement of the guideline that no item covers."""

    text: str
    levels: str
    section: str
    start: int
    end: int
    page: int | None

    @property
    def place(self) -> str:
        return place(self.section, self.page, self.start, self.end)


@dataclass(frozen=True)
class Checklist:
    """All text is fit for any file (see `jobs.exports.text`); `result` is as it was stored.

    groups           (category, items), in the order of the guideline; items are numbered through
    left_out         how many items were dropped because their meaning was in doubt
    language         of the items; quote_language of what they cite
    """

    event_id: UUID
    title: str
    created_at: datetime
    completed_at: datetime
    scope: str
    audience: str
    groups: list[tuple[str, list[Item]]]
    gaps: list[Gap]
    left_out: int
    coverage: dict[str, Any]
    language: str
    quote_language: str
    result: dict[str, Any]

    @classmethod
    def of(cls, job: Job, result: dict[str, Any]) -> "Checklist":
        """Of a job that has completed, with the result that it has."""
        known = _fit(result)
        summary, coverage = known["summary"], known["coverage"]
        groups = _groups(known["checklist"])
        items = [item for _, group in groups for item in group]
        return cls(
            event_id=job.event_id,
            title=one_line(fit(job.title)) or one_line(summary["title"]) or "Checklist",
            created_at=job.created_at,
            completed_at=job.ended_at or job.created_at,
            scope=one_line(summary["scope"]),
            audience=one_line(summary["audience"]),
            groups=groups,
            gaps=[_gap(entry) for entry in coverage["missing"]],
            left_out=len(known["dropped"]),
            coverage=coverage,
            language=detect(f"{item.action} {item.condition}" for item in items),
            quote_language=detect(c.quote for item in items for c in item.citations),
            result=result,
        )

    @property
    def items(self) -> list[Item]:
        return [item for _, group in self.groups for item in group]

    @cached_property
    def doubtful(self) -> int:
        return len(self.in_doubt)

    @property
    def in_doubt(self) -> list[Item]:
        return [item for item in self.items if item.in_doubt]

    @property
    def source_sha256(self) -> str:
        return str(self.result["provenance"]["source_sha256"])

    @property
    def made_by(self) -> list[tuple[str, str]]:
        """(step, the prompt's version and the model), in the order of the chain."""
        steps = _fit(self.result["provenance"]["steps"])
        return [
            (name, f"prompt {step['prompt']} ({step['prompt_sha256'][:12]}), model {step['model']}")
            for name, step in steps.items()
        ]

    @property
    def provenance(self) -> list[tuple[str, str]]:
        """What an auditor asks for, as (name, value)."""
        return [
            ("Job", str(self.event_id)),
            ("Submitted", moment(self.created_at)),
            ("Completed", moment(self.completed_at)),
            ("SHA-256 of the guideline", self.source_sha256),
            *((f"Step {name}", value) for name, value in self.made_by),
            ("Guidepost", str(self.result["provenance"]["app_version"])),
        ]

    @property
    def findings(self) -> list[str]:
        """What to know before relying on it, one sentence each."""
        items, gaps, coverage = len(self.items), len(self.gaps), self.coverage
        sentences = [
            f"{_count(items, 'item')}, {self.doubtful} of them marked as doubtful.",
            f"{coverage['must_covered']} of {_count(coverage['must'], 'binding statement')} of the"
            f" guideline covered; {_count(gaps, 'statement')} of any kind not covered.",
        ]
        if self.left_out:
            sentences.append(
                f"{_count(self.left_out, 'item')} left out because the meaning was in doubt: see"
                " “dropped” in the JSON export."
            )
        return sentences


def moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def instant(time: datetime) -> str:
    """RFC 3339, to the second."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def place(section: str, page: int | None, start: int | None, end: int | None) -> str:
    """Section, page and characters, as far as they are known."""
    parts = [section.replace(" > ", " › ")] if section else []  # a `>` quotes in Markdown
    if page is not None:
        parts.append(f"page {page}")
    if start is not None:
        parts.append(f"characters {start}–{end}")
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _fit(value: Any) -> Any:
    if isinstance(value, str):
        return fit(value)
    if isinstance(value, dict):
        return {key: _fit(inner) for key, inner in value.items()}
    return [_fit(inner) for inner in value] if isinstance(value, list) else value


def _groups(items: Iterable[dict[str, Any]]) -> list[tuple[str, list[Item]]]:
    by_category: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        by_category.setdefault(one_line(item["category"]) or "Other", []).append(item)
    numbered = iter(range(1, 1 + sum(map(len, by_category.values()))))
    return [
        (category, [_item(next(numbered), category, item) for item in group])
        for category, group in by_category.items()
    ]


def _item(number: int, category: str, item: dict[str, Any]) -> Item:
    return Item(
        number=number,
        id=item["id"],
        action=one_line(item["action"]),
        actor=one_line(item["actor"]),
        level=item["level"],
        category=category,
        priority=item["priority"],
        condition=one_line(item["condition"]),
        citations=[_citation(citation) for citation in item["citations"]],
        supported=item["supported"],
        doubts=[_doubt(flag) for flag in item["flags"]],
    )


def _citation(citation: dict[str, Any]) -> Citation:
    return Citation(
        quote=citation["quote"].strip(),
        section=one_line(citation["section"]),
        start=citation["start"],
        end=citation["end"],
        page=citation.get("page"),
        match=citation["match"],
        similarity=citation.get("similarity"),
    )


def _gap(entry: dict[str, Any]) -> Gap:
    return Gap(
        text=one_line(entry["text"]),
        levels=", ".join(LEVELS.get(level, level) for level in entry["levels"]),
        section=one_line(entry["section"]),
        start=entry["start"],
        end=entry["end"],
        page=entry.get("page"),
    )


def _doubt(flag: dict[str, str]) -> str:
    """The flag as a sentence."""
    kind = KINDS.get(flag["kind"], flag["kind"]).capitalize()
    lost, found = one_line(flag["lost"]), one_line(flag["found"])
    if lost and found:
        return f"{kind}: the guideline says “{lost}”, this item “{found}”."
    if lost:
        return f"{kind}: “{lost}” of the guideline is not in this item."
    return f"{kind}: “{found}” is not in what is cited." if found else f"{kind}."
