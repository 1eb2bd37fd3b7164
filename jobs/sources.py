"""A guideline cut where citations and gaps begin and end, so that each piece knows who cites it."""

import itertools
from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field

from jobs.exports.checklist import Checklist

MOST = 20  # spans named for one piece: where more overlap, a page would be all names


@dataclass(frozen=True)
class Span:
    """Characters `start` to `end` of the guideline, and the id of whatever is there: an item's
    number and citation as "i3-1", or a gap's as "g1"."""

    start: int
    end: int
    by: str


@dataclass(frozen=True)
class Piece:
    """by: the ids of the spans that cover it, none for what nobody cites. anchors: those that begin
    here."""

    text: str
    by: list[str] = field(default_factory=list)
    anchors: list[str] = field(default_factory=list)


def cut(text: str, spans: Iterable[Span]) -> list[Piece]:
    """All of the text, in order. Spans may overlap; those that are outside of it are ignored."""
    inside = [span for span in spans if 0 <= span.start < span.end <= len(text)]
    opening: dict[int, list[str]] = {}
    closing: dict[int, list[str]] = {}
    for span in inside:
        opening.setdefault(span.start, []).append(span.by)
        closing.setdefault(span.end, []).append(span.by)
    edges = sorted({0, len(text), *opening, *closing})
    pieces, open_now = [], list[str]()  # in order, as thousands may be open at once
    for start, end in itertools.pairwise(edges):
        for by in closing.get(start, []):
            del open_now[bisect_left(open_now, by)]
        fresh = opening.get(start, [])
        for by in fresh:
            insort(open_now, by)
        pieces.append(Piece(text[start:end], open_now[:MOST], sorted(fresh)))
    return pieces


def spans_of(checklist: Checklist) -> list[Span]:
    """Where its citations were found, and what it does not cover."""
    of_items = [
        Span(citation.start, citation.end, f"i{item.number}-{n}")
        for item in checklist.items
        for n, citation in enumerate(item.citations, 1)
        if citation.start is not None and citation.end is not None
    ]
    of_gaps = [Span(gap.start, gap.end, f"g{n}") for n, gap in enumerate(checklist.gaps, 1)]
    return of_items + of_gaps
