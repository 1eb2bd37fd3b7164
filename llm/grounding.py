"""Is a quote in the source? Found by comparing characters; no model is asked."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice, takewhile
from typing import Literal

from llm.alignment import Aligner
from llm.folding import UNSPACED, Folded, fold, folded_text
from llm.passages import Passage
from llm.statements import Statement

Kind = Literal["exact", "normalised", "fuzzy", "unsupported"]

MIN_QUOTE = 4  # letters and digits; less than that is found in any text and supports nothing
MIN_INSIDE = 20  # characters of a quote inside a statement that are enough to cover it
MIN_SHARE = 0.5  # of a statement that a quote must overlap to cover it


@dataclass(frozen=True)
class Match:
    """Where the quote stands; both offsets are None where it is unsupported.

    similarity   of a fuzzy match, from alignment.MIN_SIMILARITY to 1; None for all others
    """

    start: int | None
    end: int | None
    kind: Kind
    similarity: float | None = None


UNSUPPORTED = Match(None, None, "unsupported")


def normalise(text: str) -> str:
    """What two texts must share to be the same quote: not mark-up, blanks, shapes of signs."""
    return folded_text(text)


class Locator:
    """Finds many quotes in one source, and normalises that source only if it has to."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._aligner: Aligner | None = None

    def locate(self, quote: str, passage: Passage | None) -> Match:
        quote = quote.strip()
        if sum(1 for _ in islice(filter(str.isalnum, quote), MIN_QUOTE)) < MIN_QUOTE:
            whole = passage is not None and quote != "" and quote == passage.text
            if not whole:
                return UNSUPPORTED
        if passage is not None:
            match = self._exact(quote, passage.start, passage.end)
            if match:
                return match
        match = self._exact(quote, 0, len(self._source))
        if match:
            return match
        if passage is not None:
            match = self._normalised(quote, passage.start, passage.end)
        match = match or self._normalised(quote, 0, len(self._source))
        return match or self._nearly(quote, passage) or UNSUPPORTED

    def _exact(self, quote: str, start: int, end: int) -> Match | None:
        at = self._source.find(quote, start, end)
        while at >= 0:
            if not _cuts_a_word(self._source, at, at + len(quote)):
                return Match(at, at + len(quote), "exact")
            at = self._source.find(quote, at + 1, end)
        return None

    def _normalised(self, quote: str, start: int, end: int) -> Match | None:
        wanted = normalise(quote)
        if not wanted:
            return None
        folded = self.folded
        low, high = folded.window(start, end)
        at = folded.text.find(wanted, low, high)
        while at >= 0:
            first, last = folded.span(at, at + len(wanted))
            inside = start <= first and last <= end
            if inside and self._is_same(first, last, wanted):
                return Match(first, last, "normalised")
            at = folded.text.find(wanted, at + 1, high)
        return None

    def _nearly(self, quote: str, passage: Passage | None) -> Match | None:
        """A word left out or misspelt; its numbers and negations must be the source's."""
        folded = self.folded
        if self._aligner is None:
            self._aligner = Aligner(folded.text)
        wanted, found = normalise(quote), None
        if passage is not None:
            found = self._aligner.find(wanted, *folded.window(passage.start, passage.end))
        found = found or self._aligner.find(wanted)
        if found is None:
            return None
        return Match(*folded.span(found.start, found.end), "fuzzy", found.similarity)

    def _is_same(self, first: int, last: int, wanted: str) -> bool:
        """Mark-up is read in context, so a part may read differently than it did in the whole."""
        cut = _cuts_a_word(self._source, first, last)
        return not cut and normalise(self._source[first:last]) == wanted

    @cached_property
    def folded(self) -> Folded:
        return fold(self._source)


def covers(start: int, end: int, statement: Statement) -> bool:
    """Does a citation of source[start:end] show that this statement was taken up?"""
    shared = min(end, statement.end) - max(start, statement.start)
    if shared <= 0:
        return False
    inside = statement.start <= start and end <= statement.end
    if inside and end - start >= MIN_INSIDE:
        return True
    return shared >= MIN_SHARE * (statement.end - statement.start)


def covering(
    statements: Sequence[Statement], spans: Sequence[tuple[int, int]], *, at_most: int
) -> list[list[int]]:
    """For each statement, the numbers of the citations that cover it, the earliest first.

    at_most   a citation of half the document would otherwise be named with each of its statements
    """
    ordered = sorted((start, end, number) for number, (start, end) in enumerate(spans))
    longest = max((end - start for start, end, _ in ordered), default=0)
    result, first = [], 0
    for statement in statements:
        while first < len(ordered) and ordered[first][0] + longest < statement.start:
            first += 1
        near = takewhile(partial(_begins_before, statement.end), islice(ordered, first, None))
        hits = (number for start, end, number in near if covers(start, end, statement))
        result.append(list(islice(hits, at_most)))
    return result


def _begins_before(end: int, span: tuple[int, int, int]) -> bool:
    return span[0] < end


def _cuts_a_word(source: str, start: int, end: int) -> bool:
    """Would "able to" be found in "unable to", or a letter without its accent?"""
    return _joined(source, start) or _joined(source, end)


def _joined(source: str, at: int) -> bool:
    if at <= 0 or at >= len(source):
        return False
    before, after = source[at - 1], source[at]
    if unicodedata.combining(after) or unicodedata.category(after) in ("Mn", "Mc"):
        return True
    if ord(before) >= UNSPACED or ord(after) >= UNSPACED:
        return False
    return before.isalnum() and after.isalnum()
