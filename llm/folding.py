"""Texts made comparable, with the way back to their offsets: one spelling for the same signs.

Unicode's canonical composition, and of its compatibility forms only those that are another shape
of the same letter (wide, half-width, Arabic presentation forms, ligatures): a superscript or a
fraction is another number. What cannot be seen is left out: soft hyphens, joiners, direction marks.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from llm.markup import plain_with_origins

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
_PLAIN = re.compile(r"[ -~]*\Z")


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
    chars: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for at, end in _clusters(readable.text):
        first, last = readable.origins[at], readable.origins[end - 1] + 1
        for char in _shape(readable.text[at:end]):
            chars.append(char)
            starts.append(first)
            ends.append(last)
    return _joined(Folded("".join(chars), starts, ends), marked_up)


def _clusters(text: str) -> Iterator[tuple[int, int]]:
    """A sign with all marks that belong to it, invisible ones included."""
    if _PLAIN.match(text):
        yield from ((at, at + 1) for at in range(len(text)))
        return
    start = 0
    for at in range(1, len(text)):
        if not _continues(text[at]):
            yield start, at
            start = at
    if text:
        yield start, len(text)


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
    drop = set()
    for at in range(1, len(text) - 1):
        if text[at] == " " and ord(text[at - 1]) >= UNSPACED and ord(text[at + 1]) >= UNSPACED:
            drop.add(at)
        elif text[at] == "-" and text[at - 1].isalpha():
            if text[at + 1].isalpha():
                drop.add(at)
            elif text[at + 1] == " " and _line_ends(folded, at + 1, source):
                drop.update((at, at + 1))
    if not drop:
        return folded
    kept = [at for at in range(len(text)) if at not in drop]
    return Folded(
        "".join(text[at] for at in kept),
        [starts[at] for at in kept],
        [folded.ends[at] for at in kept],
    )


def _line_ends(folded: Folded, at: int, source: str) -> bool:
    """Is this blank a line break after which the word goes on?"""
    if at + 1 >= len(folded.text) or not folded.text[at + 1].islower():
        return False
    gap = source[folded.starts[at] : folded.starts[at + 1]]
    return "\n" in gap or "\r" in gap
