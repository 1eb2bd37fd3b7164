"""Sentences of one passage, each with its place in the source."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import nupunkt

from llm.markup import HARD_BREAK, Plain, plain_with_origins
from llm.passages import Passage

_BULLET = re.compile(r"[-*•–·]+\s+")
_CONTINUES = re.compile(r"[a-z)\]},;:%–—]|[\"'”’][)\],;.]")
_ABBREVIATION = re.compile(
    r"\b(?:e\.g|i\.e|i\.v|i\.m|s\.c|p\.o|b\.i\.d|t\.i\.d|q\.i\.d|p\.r\.n|approx|resp|vs|cf|incl|excl"
    r"|dr|mr|mrs|prof|z\.\s?b|d\.\s?h|u\.\s?a|u\.\s?u|o\.\s?g|s\.\s?o|s\.\s?u|i\.\s?d\.\s?r|z\.\s?(?:t|zt)"
    r"|bzw|ggf|evtl|vgl|gem|sog|lfd|zzgl|inkl|einschl|(?-i:Hr|Fr)|frl|p\.\s?ex|c\.-à-d|mme|mlle|env"
    r"|p\.\s?ej|sr|sra|srta|dra|uds?|aprox)\.$",
    re.IGNORECASE,
)
_NUMBER_FOLLOWS = re.compile(
    r"\b(?:nos?|figs?|sect?|sections?|para|art|ch|pp?|vol|ref|eq|min|max"
    r"|abs|nr|ziff|abb|tab|std|anm|kap|bd|zit|ch|chap|al|pág|págs|núm|párr|cap|ca)\.$",
    re.IGNORECASE,
)
_WORD_ENDS = re.compile(
    r"(?:\b([A-Za-z]?[a-z]{3,24})|\d ?(?:h|m|g|l|s|kg|mg|ml|cm|mm|km))[.!?] +(?=[A-Z])"
)
_ENDS = re.compile(r"[.!?] +(?=[A-Z])")
_LONG_ABBREVIATIONS = frozenset(
    {"approx", "resp", "incl", "excl", "dept", "prof", "sect", "figs", "paras", "vols", "corp"}
    | {"sept", "temp", "tabs", "caps", "inst", "supp", "univ", "subsect", "assn"}
    | {"bzw", "ggf", "evtl", "vgl", "gem", "sog", "lfd", "zzgl", "inkl", "einschl", "frl", "mme"}
    | {"mlle", "env", "aprox", "srta", "dra", "sra", "uds"}
)
_MAX_JOIN = 1_500  # characters; a bracket left open must not swallow the rest of a document


@dataclass(frozen=True)
class Sentence:
    """text is without mark-up; start and end are the verbatim quote's offsets in the source."""

    text: str
    start: int
    end: int


def split_sentences(passage: Passage) -> list[Sentence]:
    """Cut a passage into sentences. A soft line break does not end one, a table cell does."""
    readable = plain_with_origins(passage.text, table_row=passage.kind == "table_row")
    return [
        _locate(readable, passage, start, end)
        for fragment_start, fragment_end in _fragments(readable.text)
        for start, end in _sentence_spans(readable.text, fragment_start, fragment_end)
    ]


def _locate(readable: Plain, passage: Passage, start: int, end: int) -> Sentence:
    first, last = readable.span(start, end, passage.text)
    if passage.kind == "table_row":  # the border of a cell is no part of the quote
        first += len(passage.text[first:last]) - len(passage.text[first:last].lstrip("|"))
        last -= len(passage.text[first:last]) - len(passage.text[first:last].rstrip("|"))
    return Sentence(readable.text[start:end], passage.start + first, passage.start + last)


def _fragments(text: str) -> list[tuple[int, int]]:
    """The parts between hard breaks, without the bullets that authors type into cells."""
    spans, at = [], 0
    for part in text.split(HARD_BREAK):
        bullet = _BULLET.match(part.lstrip())
        start = at + len(part) - len(part.lstrip()) + (bullet.end() if bullet else 0)
        end = at + len(part.rstrip())
        if start < end:
            spans.append((start, end))
        at += len(part) + 1
    return spans


def _sentence_spans(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """What nupunkt finds, minus its splits after an abbreviation or inside brackets."""
    spans: list[tuple[int, int]] = []
    for found in _split_after_words(text, start, end):
        first, last = _strip(text, *found)
        if first >= last:
            continue
        if spans and _is_one_sentence(text, spans[-1], first):
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    return spans


def _split_after_words(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Split where nupunkt takes a word for a legal abbreviation: "Staff must rest. Guests wait"."""
    for found in _tokenizer().span_tokenize(text[start:end]):
        at, last = start + found[0], start + found[1]
        ends = _WORD_ENDS.finditer(text, at, last) if _ENDS.search(text, at, last) else ()
        for word in ends:
            if (word[1] or "").lower() not in _LONG_ABBREVIATIONS:
                yield at, word.end()
                at = word.end()
        yield at, last


def _is_one_sentence(text: str, before: tuple[int, int], next_start: int) -> bool:
    head = text[before[0] : before[1]]
    if _CONTINUES.match(text, next_start) or _ABBREVIATION.search(head[-12:]):
        return True
    if _NUMBER_FOLLOWS.search(head[-12:]) and text[next_start].isdigit():
        return True
    return len(head) < _MAX_JOIN and head.count("(") > head.count(")")


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


@cache
def _tokenizer() -> nupunkt.PunktSentenceTokenizer:
    """Loading the model takes some 20 ms; it is read-only afterwards."""
    return nupunkt.load("default")
