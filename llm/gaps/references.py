"""References to sections, appendices, tables and figures that this document does not have.

A number exists where a line begins with it, as headings, captions and numbered clauses do. A
document that numbers nothing of a kind may number it when it is printed: then nothing is reported.
"""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from llm.gaps.findings import MAX_PLACES, Finding, Place, place
from llm.gaps.wording import Wording, for_language
from llm.markup import plain
from llm.passages import Passage
from llm.sentences import split_sentences
from llm.statements import find_language

Target = Literal["section", "appendix", "table", "figure"]
BESIDE = 90  # characters before and after a reference that may name another document
MIN_NUMBERED = 3  # headings or clauses with a number, before a missing one means anything

# What may stand before a heading's number: mark-up, and the word for what it numbers.
_LINE_START = re.compile(
    r"^[ \t>#*_=|.:\-]{0,20}(?:<[^<>\n]{0,200}>[ \t]{0,4}){0,3}[*_]{0,3}"
    r"(?:(?P<word>[A-Za-zÄÖÜäöüÉéèíóú]{3,14}\.?)[ \t\u00a0]{1,3})?"
    r"(?:§[ \t\u00a0]{0,2})?\(?"
    r"(?P<number>(?:[A-Z][.-]?)?\d{1,3}(?:[.-]\d{1,3}){0,5}|[A-Z](?![\w'’]))(?![\w%])(?P<end>[.):])?",
    re.MULTILINE,
)
_ANCHOR = re.compile(
    r"\b(?:id|name)\s{0,3}=\s{0,3}[\"']?([^\"'\s<>]{1,100})|\{#([^}\s]{1,100})|\[\[([^\]\s,]{1,100})"
)
_CAPTION = re.compile(
    r"(?:[>|]|!\[)[ \t*_]{0,5}(?P<word>[A-Za-zÄÖÜäöü]{3,11}\.?)[ \t\u00a0]{1,3}"
    r"(?P<number>(?:[A-Z][.-]?)?\d{1,3}(?:[.-]\d{1,3}){0,2})(?![\w%])"
)
_IMAGE = re.compile(r"!\[|<img\b|\bimage::", re.IGNORECASE)
_LINKED = re.compile(r"[^\[\]\n]{0,60}\]{1,2}\((?P<to>[^()\s]{1,300})")
_LINKED_ELSEWHERE = re.compile(r"[^\[\]\n]{0,60}\](?:\[|:)")  # "[Section 4][]", "[Section 4]: url"
_AFTER_A_LINK = re.compile(
    r"\]\([^#()\s][^()\s]{0,80}\)[\s,]{1,3}$"
)  # "[The manual](m.html), section 4"
_SQUEEZE = re.compile(r"[\W_]+")
_TARGETS: tuple[Target, ...] = ("section", "appendix", "table", "figure")
_MAX_SECTION = 99  # "Section 508" is one of a law


@dataclass(frozen=True)
class _Document:
    """What there is to refer to."""

    numbers: frozenset[str]
    letters: frozenset[str]
    captions: dict[str, frozenset[str]]
    anchors: frozenset[str]
    has_tables: bool
    has_images: bool


def find_dangling(source: str, passages: Sequence[Passage]) -> Iterator[Finding]:
    """One finding for each target that is missing, with the sentences that refer to it."""
    wording = for_language(find_language(passages))
    document = _read(source, passages, wording)
    places: dict[tuple[Target, str], list[Place]] = defaultdict(list)
    for passage in passages:
        if passage.kind in ("code", "heading"):
            continue
        missing = [
            (target, number, start, end)
            for target, number, start, end in _references(passage, wording)
            if len(places.get((target, number), ())) < MAX_PLACES
            and not _exists(target, number, document)
            and _means_this_document(source, start, end, document, wording)
        ]
        sentences = split_sentences(passage) if missing else []
        starts = [sentence.start for sentence in sentences]
        for target, number, start, end in missing:
            at = max(0, bisect_right(starts, start) - 1)
            first, last = sentences[at].start, max(sentences[at].end, end)
            places[target, number].append(
                place(source, first, last, passage.section, around=(start, end))
            )
    for (target, number), found in places.items():
        unique = {p.start: p for p in found}
        yield Finding(
            "reference",
            "medium",
            f"There is no {target} {number} in this text. Correct the reference, name the document"
            " that has it, or add what is missing.",
            tuple(unique.values())[:MAX_PLACES],
        )


def _references(passage: Passage, wording: Wording) -> Iterator[tuple[Target, str, int, int]]:
    for target, pattern in wording.references.items():
        for match in pattern.finditer(passage.text):
            groups = match.groupdict()
            number = groups.get("number") or groups.get("sign") or ""
            start = passage.start + match.start()
            if match.start() == 0 and target in ("table", "figure", "appendix"):
                continue  # a caption
            yield target, number, start, passage.start + match.end()  # type: ignore[misc]


def _means_this_document(
    source: str, start: int, end: int, document: _Document, wording: Wording
) -> bool:
    """Not "section 4 of the Act", "[SP 800-63B], Section 4" or a link to another page."""
    behind = source[end : end + BESIDE].partition("\n")[0]
    if _LINKED_ELSEWHERE.match(source, end):
        return False
    if _AFTER_A_LINK.search(source[max(0, start - BESIDE) : start]):
        return False
    link = _LINKED.match(source, end)
    if link:
        return link["to"].startswith("#") and _squeezed(link["to"]) not in document.anchors
    said = wording.reference_text
    if said["own"].match(behind):
        return True
    before = plain(source[max(0, start - BESIDE) : start].rpartition("\n")[2])
    return not said["elsewhere_after"].match(behind) and not said["elsewhere_before"].search(before)


def _exists(target: Target, number: str, document: _Document) -> bool:
    """Is it there, or is the document not the kind that would show it?"""
    captions = document.captions[target]
    if number in captions or f"{target}{_squeezed(number)}" in document.anchors:
        return True
    if target == "section":
        if int(number.partition(".")[0]) > _MAX_SECTION:
            return True
        return number in document.numbers or len(document.numbers) < MIN_NUMBERED
    if target == "appendix":
        return number in document.letters or f"{number}.1" in document.numbers
    shown = document.has_tables if target == "table" else document.has_images
    return shown and not captions  # it may be the one without a caption


def _read(source: str, passages: Sequence[Passage], wording: Wording) -> _Document:
    numbers: set[str] = set()
    items: set[str] = set()  # "4." may be the fourth item of some list
    letters: set[str] = set()
    headings = {p.start for p in passages if p.kind == "heading"}
    captions: dict[str, set[str]] = {target: set() for target in _TARGETS}
    for match in _LINE_START.finditer(source):
        number, word = match["number"], match["word"] or ""
        _note(number, word, captions, wording)
        if number[0].isalpha() and (word or len(number) > 1 or match["end"]):
            letters.add(number[0])
        in_heading = word or "." in number or match.start("number") in headings
        (numbers if in_heading else items).update(_with_parents(number))
    if sum("." not in number for number in numbers) < MIN_NUMBERED:
        numbers |= items
    for match in _CAPTION.finditer(source):
        _note(match["number"], match["word"], captions, wording)
    anchors = {_squeezed("".join(filter(None, m.groups()))) for m in _ANCHOR.finditer(source)}
    anchors |= {_squeezed(plain(p.text)) for p in passages if p.kind == "heading"}
    return _Document(
        frozenset(numbers),
        frozenset(letters),
        {target: frozenset(found) for target, found in captions.items()},
        frozenset(anchors),
        any(p.kind == "table_row" for p in passages) or "<table" in source.lower(),
        bool(_IMAGE.search(source)),
    )


def _note(number: str, word: str, captions: dict[str, set[str]], wording: Wording) -> None:
    for target, pattern in wording.references.items() if word else ():
        if pattern.match(f"{word} {number}"):
            captions[target].add(number)


def _with_parents(number: str) -> Iterator[str]:
    """ "5.1.2" is in 5.1 and in 5."""
    while number:
        yield number
        number = number.rpartition(".")[0]


def _squeezed(text: str) -> str:
    return _SQUEEZE.sub("", text).casefold()
