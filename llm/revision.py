"""What an earlier run has said about passages that are still there, so that nobody asks again.

A passage is the same if its text (but for blanks and line breaks), the headings it stands under,
what introduces it and its kind are: that is all that a model reads of it. So a heading with a new
name makes new passages of all below it.

Whatever an earlier run said is taken over if all that it refers to is the same. What also refers to
something else is not; then all passages that it referred to are asked about again, together.
"""

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from llm.chunks import introductions, readable
from llm.grounding import normalise
from llm.passages import Passage, split_passages
from llm.statements import find_convention

_SAID = ("action", "actor", "level", "category", "priority", "condition")
_HEADING = ("title", "scope", "audience")


@dataclass(frozen=True)
class Kept:
    """Of an earlier revision's run, with the passage ids of the new source.

    passages     ids that no call needs to ask about
    heading      {"title", "scope", "audience"} of the earlier summary; None if nothing is kept
    statements   entries of a summary's value: {"text", "passages"}
    items        entries of a checklist's value, as in schemas.Checklist
    """

    passages: frozenset[int] = frozenset()
    heading: dict[str, str] | None = None
    statements: tuple[dict[str, Any], ...] = ()
    items: tuple[dict[str, Any], ...] = ()


NOTHING = Kept()


def keep(old_source: str, old_result: dict[str, Any], new_source: str) -> Kept:
    """What holds for the new source as well.

    old_result   of `result.build_result`, for the old source; its offsets say what it refers to

    A text that follows another convention than before (its first capital MUST may make it one of
    RFC 2119) keeps nothing: the same words ask for something else. Linear in both texts.
    """
    old, new = split_passages(old_source), split_passages(new_source)
    if find_convention(old) != find_convention(new):
        return NOTHING
    earlier = _Earlier(old_source, old, new_source, new)
    summary = old_result["summary"]
    items = [
        (item, [(c["start"], c["end"]) for c in item["citations"]])
        for item in [*old_result["checklist"], *old_result["dropped"]]
    ]
    statements = [
        (entry, [(place["start"], place["end"]) for place in entry["passages"]])
        for entry in summary["statements"]
    ]
    again = introductions(new, {passage.id for passage in earlier.unknown})
    for _, spans in [*items, *statements]:
        again |= earlier.to_ask_again(spans)
    passages = frozenset(earlier.same.values()) - again
    if not passages.intersection(p.id for p in readable(new)):
        return NOTHING
    return Kept(
        passages=passages,
        heading=_heading(summary, old_source, new_source),
        statements=tuple(
            {"text": entry["text"], "passages": sorted(set(ids))}
            for entry, ids in earlier.still_said(statements, passages)
        ),
        items=tuple(_item(item, ids) for item, ids in earlier.still_said(items, passages)),
    )


def same_passages(old: Iterable[Passage], new: Iterable[Passage]) -> dict[int, int]:
    """Old id to new id. Of passages that are alike the first is the first, and so on."""
    waiting: defaultdict[tuple[str, ...], deque[int]] = defaultdict(deque)
    for passage in new:
        waiting[_key(passage)].append(passage.id)
    found = {}
    for passage in old:
        alike = waiting.get(_key(passage))
        if alike:
            found[passage.id] = alike.popleft()
    return found


def _key(passage: Passage) -> tuple[str, ...]:
    return passage.kind, passage.section, passage.stem, _collapsed(passage.text)


def _collapsed(text: str) -> str:
    return " ".join(text.split())


Spans = Sequence[tuple[int | None, int | None]]


class _Earlier:
    """The earlier text beside the new one."""

    def __init__(
        self, old_source: str, old: list[Passage], new_source: str, new: list[Passage]
    ) -> None:
        self._old_source, self._new_source = old_source, new_source
        self._old = old
        self._starts = [passage.start for passage in old]
        self._new_by_id = {passage.id: passage for passage in new}
        self.same = same_passages(old, new)
        self._followed = {p.id for p, following in pairwise(old) if self._is_followed(p, following)}
        known = set(self.same.values())
        self.unknown = [passage for passage in new if passage.id not in known]

    def to_ask_again(self, spans: Spans) -> set[int]:
        """The new ids of what is left of the passages, if not all of it is as it was."""
        if self._now(spans) is not None:
            return set()
        cited = (p for start, end in spans if start is not None for p in self._at(start, end))
        return {self.same[passage.id] for passage in cited if passage.id in self.same}

    def still_said(
        self, said: Iterable[tuple[dict[str, Any], Spans]], passages: frozenset[int]
    ) -> Iterable[tuple[dict[str, Any], list[int]]]:
        """What holds, with the new id for each span.

        What only refers to passages that are asked about again will be said again, or not.
        """
        for entry, spans in said:
            ids = self._now(spans)
            if ids and passages.intersection(ids):
                yield entry, ids

    def _now(self, spans: Spans) -> list[int] | None:
        """The new id of the passage that each span begins in; None if any has changed, or was
        nowhere."""
        ids = []
        for start, end in spans:
            cited = self._at(start, end) if start is not None else []
            if not cited or not self._is_same(cited):
                return None
            ids.append(self.same[cited[0].id])
        return ids

    def _is_same(self, cited: list[Passage]) -> bool:
        """All of them, one after the other, with the same between them."""
        if any(passage.id not in self.same for passage in cited):
            return False
        return self._followed.issuperset(passage.id for passage in cited[:-1])

    def _is_followed(self, passage: Passage, following: Passage) -> bool:
        """Whether the next one is still the next, and what stands between them is the same."""
        one, other = self.same.get(passage.id), self.same.get(following.id)
        if one is None or other != one + 1:
            return False
        then = self._old_source[passage.end : following.start]
        now = self._new_source[self._new_by_id[one].end : self._new_by_id[other].start]
        return _collapsed(then) == _collapsed(now)

    def _at(self, start: int, end: int | None) -> list[Passage]:
        """The passages that the span touches."""
        at = max(bisect_right(self._starts, start) - 1, 0)
        touched = []
        while at < len(self._old) and self._old[at].start < (end or start):
            if self._old[at].end > start:
                touched.append(self._old[at])
            at += 1
        return touched


def _heading(summary: dict[str, Any], old_source: str, new_source: str) -> dict[str, str]:
    """Words of the old text that the new one lacks are left to whoever reads what has changed."""
    old, new = normalise(old_source), normalise(new_source)

    def is_gone(words: str) -> bool:
        return words in old and words not in new

    return {name: "" if is_gone(normalise(summary[name])) else summary[name] for name in _HEADING}


def _item(item: dict[str, Any], ids: Sequence[int]) -> dict[str, Any]:
    citations = [
        {"passage": passage, "quote": citation["quote"]}
        for passage, citation in zip(ids, item["citations"], strict=True)
    ]
    return {**{name: item[name] for name in _SAID}, "citations": citations}
