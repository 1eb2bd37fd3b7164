"""A quote that is nearly in the source: the span of words it was meant to be, and how near it is.

Our own alignment of words, since the library that does it well (rapidfuzz) is no dependency yet:
words of the quote vote for places, and the best few windows are aligned by edit distance, a word
counting as many signs as it has. Costs are bounded whatever the two texts hold.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

MIN_SIMILARITY = 0.85  # below, another sentence about the same subject begins to match
MIN_WORDS = 5  # of a quote; fewer are found everywhere
MAX_WORDS = 400  # of a quote; longer ones must be found as they are
_MAX_PLACES = 60  # places of one word that vote; "the" says nothing
_WINDOWS = 3
_SLACK = 0.25  # of the quote's length, before and after the window

_TOKEN = re.compile(r"[^\W_\u2e80-\u9fff\uac00-\ud7af]+|[\u2e80-\u9fff\uac00-\ud7af]")
# What two sentences must share to say the same: figures, negations, strength.
_DECISIVE = re.compile(
    r".*\d.*|not?|never|none|nor|cannot|without|unless|except|only|must|shall|should|may"
    r"|(?:do|does|is|are|must|should|can)nt|[tn]t|t|before|after|least|most|more|less"
)


@dataclass(frozen=True)
class Aligned:
    """Offsets in the folded source; similarity is 1 where both are the same words."""

    start: int
    end: int
    similarity: float


@dataclass(frozen=True)
class _Word:
    text: str
    start: int
    end: int


class Aligner:
    """Looks for many quotes in one folded source."""

    def __init__(self, text: str) -> None:
        self._words = _words(text)
        self._starts = [word.start for word in self._words]
        self._places: dict[str, list[int]] = {}
        for at, word in enumerate(self._words):
            self._places.setdefault(word.text, []).append(at)

    def find(self, quote: str, start: int = 0, end: int | None = None) -> Aligned | None:
        """The best place between two offsets of the folded text, if it is near enough."""
        wanted = [word.text for word in _words(quote)]
        if not MIN_WORDS <= len(wanted) <= MAX_WORDS:
            return None
        low = bisect_left(self._starts, start)
        high = len(self._words) if end is None else bisect_left(self._starts, end)
        best: Aligned | None = None
        for first in self._windows(wanted, low, high):
            found = self._align(wanted, first, low, high)
            if found and (best is None or found.similarity > best.similarity):
                best = found
        return best

    def _windows(self, wanted: Sequence[str], low: int, high: int) -> list[int]:
        """Where the quote would begin, by the votes of its rarer words."""
        votes: Counter[int] = Counter()
        width = max(2, len(wanted) // 8)
        for at, word in enumerate(wanted):
            places = self._places.get(word, [])
            first = bisect_left(places, low)
            if len(places) - first <= _MAX_PLACES or high - low <= 4 * len(wanted):
                for place in places[first : first + _MAX_PLACES]:
                    if place < high:
                        votes[(place - at) // width] += 1
        enough = max(2, len(wanted) // 4)
        joint = {bucket: votes[bucket] + votes[bucket + 1] for bucket in votes}
        ranked = sorted(joint, key=lambda bucket: (-joint[bucket], bucket))
        return [bucket * width for bucket in ranked[:_WINDOWS] if joint[bucket] >= enough]

    def _align(self, wanted: Sequence[str], first: int, low: int, high: int) -> Aligned | None:
        slack = 2 + int(len(wanted) * _SLACK)
        begin = max(low, first - slack)
        window = self._words[begin : min(high, first + len(wanted) + 2 * slack)]
        if not window:
            return None
        cost, start, end = _nearest(wanted, [word.text for word in window])
        if start >= end:
            return None
        span = window[start:end]
        size = max(sum(map(len, wanted)), sum(len(word.text) for word in span))
        similarity = round(1 - cost / size, 3)
        said = [word.text for word in span]
        if similarity < MIN_SIMILARITY or _decisive(wanted) != _decisive(said):
            return None
        return Aligned(span[0].start, span[-1].end, min(similarity, 0.999))


def _words(text: str) -> list[_Word]:
    return [_Word(m.group().casefold(), m.start(), m.end()) for m in _TOKEN.finditer(text)]


def _decisive(words: Sequence[str]) -> list[str]:
    return [word for word in words if _DECISIVE.fullmatch(word)]


def _nearest(wanted: Sequence[str], window: Sequence[str]) -> tuple[float, int, int]:
    """The cheapest stretch of the window: its cost in signs, its first word, the word after it."""
    costs: list[float] = [0.0] * (len(window) + 1)
    begins = list(range(len(window) + 1))
    for word in wanted:
        new_costs, new_begins = [costs[0] + len(word)], [0]
        for at, other in enumerate(window, start=1):
            replaced = costs[at - 1] + _difference(word, other)
            left_out = costs[at] + len(word)
            added = new_costs[at - 1] + len(other)
            cheapest = min(replaced, left_out, added)
            new_costs.append(cheapest)
            if cheapest == replaced:
                new_begins.append(begins[at - 1])
            else:
                new_begins.append(begins[at] if cheapest == left_out else new_begins[at - 1])
        costs, begins = new_costs, new_begins
    end = min(range(len(costs)), key=costs.__getitem__)
    return costs[end], begins[end], end


def _difference(one: str, other: str) -> float:
    """0 for the same word, its length for another; in between for a slip of the pen."""
    if one == other:
        return 0.0
    longer = max(len(one), len(other))
    if longer < 4 or one[0] != other[0] or abs(len(one) - len(other)) > 2:
        return float(longer)
    pairs, others = _pairs(one), _pairs(other)
    return longer * (1 - 2 * len(pairs & others) / (len(pairs) + len(others)))


def _pairs(word: str) -> set[str]:
    return {word[at : at + 2] for at in range(min(len(word), 40) - 1)}
