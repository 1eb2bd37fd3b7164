"""A Word document as Markdown: headings, numbers and lists as Word counts them, tables with heads.

WordprocessingML read from the ZIP by the standard library. What Word computes when it shows a
document is computed here: the numbers of headings and items stand nowhere in its text.

Source: ECMA-376 part 1, sections 17.3 (paragraphs), 17.4 (tables), 17.7 (styles), 17.9 (numbering).
"""

import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from jobs.documents.formats import TOO_LARGE, UNREADABLE, UNSAFE, Reading, Unreadable
from jobs.documents.markdown import Grid, Writer, numeral, one_line, paragraphs_in_cell

MAX_PART_BYTES = 20_000_000  # of one part, unpacked
MAX_DEPTH = 200  # of elements
RESAVE, IN_PARTS = "Open it in Word, save it anew, and send that.", "Send it in parts."
W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
STRICT_W = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"

_HEADING_STYLE = re.compile(r"heading ([1-9])$", re.IGNORECASE)
_CONTENTS_STYLE = re.compile(r"(?:toc \d|toc heading|table of figures)$", re.IGNORECASE)
_PLACE = re.compile(r"%([1-9])")
_KINDS = {"lowerLetter": "a", "upperLetter": "A", "lowerRoman": "i", "upperRoman": "I"}
_MISSING = Element("missing")


@dataclass
class Style:
    name: str = ""
    based_on: str = ""
    outline: int | None = None
    number: str | None = None  # id of its numbering
    level: int | None = None


@dataclass
class Level:
    format: str = "decimal"
    text: str = ""
    start: int = 1


@dataclass
class Numbering:
    """One definition of numbers, with its counters: lists that share it count on."""

    levels: dict[int, Level] = field(default_factory=dict)
    counters: dict[int, int] = field(default_factory=dict)

    def next(self, at: int) -> str:
        """The marker of the next paragraph at this level: "2.1", "(a)"; "-" for a bullet."""
        level = self.levels.get(at, Level())
        self.counters[at] = self.counters.get(at, level.start - 1) + 1
        for deeper in [known for known in self.counters if known > at]:
            del self.counters[deeper]
        if level.format == "bullet":
            return "-"
        if level.format == "none":
            return ""
        return _PLACE.sub(lambda match: self._number(int(match[1]) - 1), level.text).strip()

    def _number(self, at: int) -> str:
        level = self.levels.get(at, Level())
        number = self.counters.setdefault(at, level.start)
        return numeral(number, _KINDS.get(level.format, "1"))


def read(content: bytes) -> Reading:
    """Raises Unreadable."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            document = _Document(
                _part(archive, "word/styles.xml"), _part(archive, "word/numbering.xml")
            )
            document.read(_part(archive, "word/document.xml", required=True))
    # NotImplementedError: a kind of ZIP that the standard library does not read.
    except (zipfile.BadZipFile, zlib.error, ParseError, EOFError, NotImplementedError) as error:
        raise Unreadable(UNREADABLE, f"The file is damaged. {RESAVE}") from error
    text, _ = document.writer.finish()
    if not any(map(str.isalnum, text)):
        raise Unreadable(
            UNREADABLE, "The document holds no text, perhaps only pictures of it. Send its text."
        )
    return Reading(text)


# --- Parts --------------------------------------------------------------------------------------


class _Bounded(TreeBuilder):
    """Refuses what no word processor writes: a DTD, which could define entities, and endless
    nesting."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise Unreadable(UNSAFE, f"A part of the document declares a DTD. {RESAVE}")

    def start(self, tag: str, attrs: dict[str, str]) -> Element:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unreadable(
                UNSAFE, f"Elements are nested deeper than {MAX_DEPTH} levels. {RESAVE}"
            )
        return super().start(tag, attrs)

    def end(self, tag: str) -> Element:
        self._depth -= 1
        return super().end(tag)


def _part(archive: zipfile.ZipFile, name: str, *, required: bool = False) -> Element:
    try:
        with archive.open(name) as file:
            parser = XMLParser(target=_Bounded())  # noqa: S314  (no DTD, so no entities)
            left = MAX_PART_BYTES
            while piece := file.read(65_536):
                left -= len(piece)
                if left < 0:
                    raise Unreadable(
                        TOO_LARGE,
                        f"{name} unpacks to more than {MAX_PART_BYTES:,} bytes. {IN_PARTS}",
                    )
                parser.feed(piece.replace(STRICT_W[1:-1].encode(), W[1:-1].encode()))
            root: Element = parser.close()
            return root
    except KeyError:
        if required:
            raise Unreadable(UNREADABLE, f"The file has no {name}. {RESAVE}") from None
        return _MISSING


def _child(element: Element, *path: str) -> Element:
    for name in path:
        found = element.find(W + name)
        if found is None:
            return _MISSING
        element = found
    return element


def _value(element: Element, *path: str) -> str | None:
    return _child(element, *path).get(f"{W}val")


def _number(element: Element, *path: str) -> int | None:
    value = _value(element, *path) or ""
    return int(value) if value.isdecimal() and len(value) < 6 else None


def _is_on(element: Element, *path: str) -> bool:
    found = _child(element, *path)
    return found is not _MISSING and found.get(f"{W}val") not in ("0", "false", "off")


# --- The document -------------------------------------------------------------------------------


class _Document:
    def __init__(self, styles: Element, numbering: Element) -> None:
        self.writer = Writer()
        self._styles = {
            style.get(f"{W}styleId", ""): Style(
                _value(style, "name") or "",
                _value(style, "basedOn") or "",
                _number(style, "pPr", "outlineLvl"),
                _value(style, "pPr", "numPr", "numId"),
                _number(style, "pPr", "numPr", "ilvl"),
            )
            for style in styles.iter(f"{W}style")
        }
        self._numberings = _numberings(numbering)
        self._has_title = False
        self._depths: list[int] = []  # levels of the items that are open

    def read(self, document: Element) -> None:
        for element in _blocks(_child(document, "body")):
            if element.tag == f"{W}tbl":
                self._depths.clear()
                self._read_table(element)
            else:
                self._read_paragraph(element)

    def _read_paragraph(self, paragraph: Element) -> None:
        text, bold = _text_of(paragraph)
        names = self._names(paragraph)
        if not one_line(text) or any(map(_CONTENTS_STYLE.match, names)):
            return
        marker, at = self._marker(paragraph)
        if level := self._heading_level(paragraph, names):
            self._depths.clear()
            self.writer.heading(level, f"{'' if marker == '-' else marker} {text}")
        elif marker:
            while self._depths and self._depths[-1] >= at:
                self._depths.pop()
            self._depths.append(at)
            self.writer.item(marker, _lines(text), len(self._depths) - 1)
        else:
            self._depths.clear()
            line = _lines(text)
            self.writer.paragraph(f"**{line}**" if bold and "\n" not in line else line)

    def _read_table(self, table: Element) -> None:
        """A merged cell stands in all of its places; rows marked as heads are one head."""
        grid, heads = Grid(), 0
        above: dict[int, str] = {}
        for number, row in enumerate(_children(table, "tr")):
            grid.begin_row()
            if _is_on(row, "trPr", "tblHeader") and heads == number:
                heads += 1
            column = _number(row, "trPr", "gridBefore") or 0
            grid.add("", column) if column else None
            for cell in _children(row, "tc"):
                width = min(_number(cell, "tcPr", "gridSpan") or 1, 100)
                merged = _child(cell, "tcPr", "vMerge")
                if merged is not _MISSING and merged.get(f"{W}val") != "restart":
                    text = above.get(column, "")
                else:
                    text = self._cell(cell)
                above[column] = text
                grid.add(text, width)
                column += width
        rows = grid.rows()
        if heads > 1:
            head = [
                " ".join(dict.fromkeys(filter(None, cells)))
                for cells in zip(*rows[:heads], strict=True)
            ]
            rows = [head, *rows[heads:]]
        self.writer.table(rows)

    def _cell(self, cell: Element) -> str:
        paragraphs = []
        for paragraph in cell.iter(f"{W}p"):
            text, _ = _text_of(paragraph)
            marker = self._marker(paragraph)[0] if text.strip() else ""
            paragraphs += [f"{marker} {text}" if marker else text]
        return paragraphs_in_cell(line for text in paragraphs for line in text.split("\n"))

    # What the styles say

    def _chain(self, paragraph: Element) -> Iterator[Style]:
        """The paragraph's style and what it is based on, nearest first."""
        name, seen = _value(paragraph, "pPr", "pStyle") or "", set()
        while name in self._styles and name not in seen:
            seen.add(name)
            yield self._styles[name]
            name = self._styles[name].based_on

    def _names(self, paragraph: Element) -> list[str]:
        return [style.name for style in self._chain(paragraph)]

    def _heading_level(self, paragraph: Element, names: list[str]) -> int:
        if names and names[0].lower() == "title":
            self._has_title = True
            return 1
        own = _number(paragraph, "pPr", "outlineLvl")
        outlines = [own, *(style.outline for style in self._chain(paragraph))]
        outline = next((level for level in outlines if level is not None), None)
        if outline is None:
            numbers = (_HEADING_STYLE.match(name) for name in names)
            outline = next((int(match[1]) - 1 for match in numbers if match), None)
        if outline is None or outline > 8:  # 9 is body text
            return 0
        return outline + 1 + int(self._has_title)

    def _marker(self, paragraph: Element) -> tuple[str, int]:
        """Of a paragraph that is not blank: its number or bullet, counted on; '' without one."""
        number = _value(paragraph, "pPr", "numPr", "numId")
        at = _number(paragraph, "pPr", "numPr", "ilvl")
        for style in self._chain(paragraph):
            number = style.number if number is None else number
            at = style.level if at is None else at
        numbering = self._numberings.get(number or "")
        if numbering is None:
            return "", 0
        return numbering.next(at or 0), at or 0


def _numberings(root: Element) -> dict[str, Numbering]:
    """By numId. "0" is none: it takes a style's numbering away."""
    shared = {
        abstract.get(f"{W}abstractNumId", ""): Numbering(_levels_of(abstract))
        for abstract in root.iter(f"{W}abstractNum")
    }
    found = {}
    for number in root.iter(f"{W}num"):
        numbering = shared.get(_value(number, "abstractNumId") or "")
        if numbering is None:
            continue
        overrides = list(_children(number, "lvlOverride"))
        if overrides:  # begins anew
            numbering = Numbering(dict(numbering.levels))
            for override in overrides:
                at = _level_at(override)
                known = numbering.levels.get(at, Level())
                level = _levels_of(override).get(at, known)
                start = _number(override, "startOverride")
                numbering.levels[at] = Level(
                    level.format, level.text, level.start if start is None else start
                )
        found[number.get(f"{W}numId", "")] = numbering
    return found


def _level_at(element: Element) -> int:
    at = element.get(f"{W}ilvl", "0")
    return int(at) if at.isdecimal() and len(at) < 6 else 0


def _levels_of(element: Element) -> dict[int, Level]:
    levels = {}
    for level in _children(element, "lvl"):
        start = _number(level, "start")
        levels[_level_at(level)] = Level(
            _value(level, "numFmt") or "decimal",
            (_value(level, "lvlText") or "")[:50],
            1 if start is None else start,
        )
    return levels


def _blocks(body: Element) -> Iterator[Element]:
    """Paragraphs and tables in order, also those in content controls, but no table of contents."""
    for element in body:
        if element.tag in (f"{W}p", f"{W}tbl"):
            yield element
        elif element.tag == f"{W}sdt":
            gallery = _value(element, "sdtPr", "docPartObj", "docPartGallery") or ""
            if gallery != "Table of Contents":
                yield from _blocks(_child(element, "sdtContent"))
        elif element.tag in (f"{W}ins", f"{W}customXml", f"{W}smartTag"):
            yield from _blocks(element)


def _children(element: Element, name: str) -> Iterator[Element]:
    """Also those in content controls and insertions."""
    for child in element:
        if child.tag == W + name:
            yield child
        elif child.tag in (f"{W}sdt", f"{W}sdtContent", f"{W}ins", f"{W}customXml"):
            yield from _children(child, name)


_SKIPPED = {f"{W}del", f"{W}moveFrom", f"{W}pPr", f"{W}instrText", f"{W}delText"}
_SIGNS = {f"{W}tab": " ", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "\u2011"}


def _text_of(paragraph: Element) -> tuple[str, bool]:
    """The text that is shown, and whether all of it is bold."""
    pieces: list[tuple[str, bool]] = []
    _collect(paragraph, pieces)
    shown = [bold for text, bold in pieces if text.strip()]
    return "".join(text for text, _ in pieces), bool(shown) and all(shown)


def _collect(element: Element, pieces: list[tuple[str, bool]], *, bold: bool = False) -> None:
    for child in element:
        if child.tag in _SKIPPED or child.tag.endswith("}Fallback"):
            continue
        if child.tag == f"{W}r":
            if not _is_on(child, "rPr", "vanish"):
                _collect(child, pieces, bold=_is_on(child, "rPr", "b"))
        elif child.tag == f"{W}t":
            pieces.append((child.text or "", bold))
        elif child.tag in _SIGNS:
            pieces.append((_SIGNS[child.tag], bold))
        elif child.tag != f"{W}rPr":
            _collect(child, pieces, bold=bold)


def _lines(text: str) -> str:
    return "\n".join(filter(None, map(one_line, text.split("\n"))))
