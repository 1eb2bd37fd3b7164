"""Texts made comparable, with the way back to their offsets: one spelling for the same signs.

Unicode's canonical composition, and of its compatibility forms only those that are another shape
of the same letter (wide, half-width, Arabic presentation forms, ligatures): a superscript or a
fraction is another number. What cannot be seen is left out: soft hyphens, joiners, direction marks.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from llm.markup import is_plain, plain_with_origins

_SAME = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′`´", "'"),
        **dict.fromkeys("“”„‟″«»「」『』", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys("\u00a0\u2007\u202f\u3000", " "),
    }
)
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u0640\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]"
)
_SHAPES = ("<wide>", "<narrow>", "<initial>", "<medial>", "<final>", "<isolated>", "<noBreak>")
_LIGATURES = range(0xFB00, 0xFB50)
_JAMO = range(0x1160, 0x1200)  # vowels and finals, which compose with the sign before
_MARKS = ("Mn", "Mc", "Me")
_HALF_WIDTH_MARKS = "\uff9e\uff9f"  # voiced signs of half-width Katakana, letters to Unicode
UNSPACED = 0x2E80  # from here on: scripts that put no blanks between words
_BLANK_BETWEEN = re.compile("(?<=[\u2e80-\U0010ffff]) (?=[\u2e80-\U0010ffff])")
# Signs that stand for themselves or for one other sign, and belong to no sign before them: ASCII,
# Latin letters with and without accents, typographic dashes and quotes.
_ONE = "\x00-\x7f\xa0-\xac\xae-\u017f\u2010-\u2027"
_ONE_EACH = re.compile(f"[{_ONE}]*")
_AS_ONE = {**_SAME, ord("\n"): " "}
_OTHER = re.compile("[" + "".join(map(re.escape, map(chr, _AS_ONE))) + "]")
# A sign before others that need a look may be the one that they belong to.
_RUNS = re.compile(f"(?P<one_each>[{_ONE}]+(?![^{_ONE}]))|[{_ONE}]?[^{_ONE}]+")


@dataclass(frozen=True)
class Folded:
    """text[i] stands for source[starts[i]:ends[i]]; both lists never decrease."""

    text: str
    starts: list[int]
    ends: list[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where text[start:end] stands in the unaltered source."""
        return self.starts[start], self.ends[end - 1]

    def window(self, start: int, end: int) -> tuple[int, int]:
        """The part of `text` that source[start:end] became."""
        return bisect_left(self.starts, start), bisect_left(self.starts, end)


def fold(marked_up: str) -> Folded:
    """Remove mark-up and the differences that two copies of one text may show."""
    readable = plain_with_origins(marked_up)
    text, origins = readable.text, readable.origins
    if _ONE_EACH.fullmatch(text):
        folded = Folded(_as_one(text), origins, [at + 1 for at in origins])
        return _joined(folded, marked_up)
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for run in _RUNS.finditer(text):
        if run.lastgroup == "one_each":
            pieces.append(_as_one(run.group()))
            starts.extend(origins[run.start() : run.end()])
            ends.extend(at + 1 for at in origins[run.start() : run.end()])
            continue
        for at, end in _clusters(text, *run.span()):
            shaped = _shape(text[at:end])
            pieces.append(shaped)
            starts.extend([origins[at]] * len(shaped))
            ends.extend([origins[end - 1] + 1] * len(shaped))
    return _joined(Folded("".join(pieces), starts, ends), marked_up)


def folded_text(marked_up: str) -> str:
    """The text of `fold`, sooner: most quotes have no mark-up and no sign that needs a look."""
    if not (is_plain(marked_up) and _ONE_EACH.fullmatch(marked_up)):
        return fold(marked_up).text
    text = _as_one(marked_up.strip())
    if "-" not in text:
        return text
    inside = (at for at in _hyphens(text) if text[at + 1].isalpha())
    return "".join(text[part] for part in _between(inside, len(text)))


def _as_one(text: str) -> str:
    """`translate` asks for each sign of a text that is not all ASCII; few are another's."""
    if text.isascii():
        return text.translate(_AS_ONE)
    return _OTHER.sub(lambda match: match.group().translate(_AS_ONE), text)


def _clusters(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A sign with all marks that belong to it, invisible ones included."""
    for at in range(start + 1, end):
        if not _continues(text[at]):
            yield start, at
            start = at
    yield start, end


def _continues(char: str) -> bool:
    if char < "\u0300" and char != "\u00ad":
        return False
    return (
        unicodedata.category(char) in _MARKS
        or char in _HALF_WIDTH_MARKS
        or ord(char) in _JAMO
        or bool(_INVISIBLE.match(char))
    )


def _shape(cluster: str) -> str:
    if cluster.isascii():
        return " " if cluster == "\n" else cluster.translate(_SAME)
    visible = unicodedata.normalize("NFC", _INVISIBLE.sub("", cluster))
    shaped = "".join(map(_without_shape, visible))
    return unicodedata.normalize("NFC", shaped).translate(_SAME)


def _without_shape(char: str) -> str:
    if ord(char) in _LIGATURES or unicodedata.decomposition(char).startswith(_SHAPES):
        return unicodedata.normalize("NFKC", char).strip() or " "
    return char


def _joined(folded: Folded, source: str) -> Folded:
    """Hyphens within words go, with a line break after them; so do blanks between unspaced signs.

    "infor-\nmation" is "information", and as nobody knows whether "long-\nterm" is written with
    its hyphen, "long-term" is the same as "longterm".
    """
    text, starts = folded.text, folded.starts
    drop = {match.start() for match in _BLANK_BETWEEN.finditer(text)}
    for at in _hyphens(text):
        if text[at + 1].isalpha():
            drop.add(at)
        elif text[at + 1] == " " and _line_ends(folded, at + 1, source):
            drop.update((at, at + 1))
    if not drop:
        return folded
    kept = _between(sorted(drop), len(text))
    return Folded(
        "".join(text[part] for part in kept),
        [at for part in kept for at in starts[part]],
        [at for part in kept for at in folded.ends[part]],
    )


def _hyphens(text: str) -> Iterator[int]:
    """Those behind a letter, with something behind them."""
    at = text.find("-", 1)
    while 0 < at < len(text) - 1:
        if text[at - 1].isalpha():
            yield at
        at = text.find("-", at + 1)


def _between(places: Iterable[int], length: int) -> list[slice]:
    """What is left of so many signs without those at these places, which are in order."""
    kept, begin = [], 0
    for at in places:
        kept.append(slice(begin, at))
        begin = at + 1
    return [*kept, slice(begin, length)]


def _line_ends(folded: Folded, at: int, source: str) -> bool:
    """Is this blank a line break after which the word goes on?"""
    if at + 1 >= len(folded.text) or not folded.text[at + 1].islower():
        return False
    gap = source[folded.starts[at] : folded.starts[at + 1]]
    return "\n" in gap or "\r" in gap
