"""A PDF as Markdown: lines by their place on the page, then blocks by size, weight and distance.

A PDF says where letters stand, not what they are. So headings are lines in larger or bold type,
paragraphs are lines close together, and what stands at the edge of page after page is a running
head. Words are never altered: a word hyphenated at a line's end keeps its hyphen and the break.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import pairwise
from time import process_time
from typing import Any

from pypdf import PageObject, PdfReader
from pypdf.errors import LimitReachedError, PyPdfError

from jobs.documents.formats import MAX_PAGES, TOO_LARGE, UNREADABLE, UNSAFE, Reading, Unreadable
from jobs.documents.markdown import Writer, one_line

MAX_HEADING = 200  # characters
EDGE = 0.12  # of the page's height, above and below, where running heads and feet stand
EDGE_LINES = 2  # at most so many of a page's first and last lines
LARGER = 1.12  # than the text around: a heading
APART = 1.45  # times the usual distance of lines: a new paragraph

_BULLET = re.compile(r"([•‣◦▪●○·–\uf0b7\uf0a7-]|o)\s+(?=\S)")
_NUMBER = re.compile(r"(\(?(?:\d{1,3}(?:\.\d{1,3}){0,5}|[a-zA-Z]|[ivx]{2,5})[.)])\s+(?=\S)")
_HEADING_NUMBER = re.compile(
    r"(?:chapter |part |section |annex )?(\d{1,3}(?:\.\d{1,3}){0,5})\.?\s", re.I
)
_PAGE_NUMBER = re.compile(
    r"[-–—|\s]*(?:page|seite|página|pagina|p\.)?\s*(?:\d{1,4}|[ivxlc]{1,6})"
    r"(?:\s*(?:of|von|de|di|sur|/)\s*\d{1,4})?[-–—|\s]*$",
    re.IGNORECASE,
)
_CONTENTS_LINE = re.compile(
    r"[^.…]{1,200}(?:[.…]\s?){4,300}\s*(?:\d{1,4}|[ivxlc]{1,6})$", re.IGNORECASE
)
_BOLD = re.compile(r"bold|black|heavy|demi", re.IGNORECASE)
_CELL = re.compile(r"\S+(?: {1,2}\S+)*")
TABLE_SECONDS = 5.0  # of work; in a file that has taken as much, rows are left as lines
NEAR = 3  # characters between where a column begins and where its cell does
MIN_ROWS = 3  # with the heads; two lines with gaps are more often a form or an address
_ENDS = (".", "!", "?", ":", ";", "”", '"')


@dataclass
class Line:
    text: str
    x: float
    y: float  # from the bottom of the page
    size: float
    bold: bool
    page: int
    cells: list[tuple[int, str]] = field(default_factory=list)  # in its layout, with their columns
    edge: bool = False  # stands where running heads and feet do


def read(content: bytes) -> Reading:
    """Raises Unreadable, or whatever pypdf raises on hostile input."""
    tables_until = process_time() + TABLE_SECONDS
    try:
        pages = [
            _lines(page, number, with_tables=process_time() < tables_until)
            for number, page in enumerate(_pages(content))
        ]
    except LimitReachedError as error:
        raise Unreadable(
            UNSAFE,
            "The PDF holds more than any ordinary document does. Print it to a new PDF, and send"
            " that.",
        ) from error
    except PyPdfError as error:
        raise Unreadable(
            UNREADABLE, "The PDF is damaged. Open it, save it anew, and send the new file."
        ) from error
    _mark_running(pages)
    kept = [[line for line in page if not line.edge] for page in pages]
    if not any(any(char.isalnum() for char in line.text) for page in kept for line in page):
        raise Unreadable(
            UNREADABLE,
            "The PDF holds no text: it looks like a scan. Run it through text recognition (OCR)"
            " and send the result.",
        )
    return Reading(*_written(kept))


def _pages(content: bytes) -> Iterator[PageObject]:
    reader = PdfReader(BytesIO(content))
    if reader.is_encrypted:
        raise Unreadable(UNREADABLE, "The PDF is protected. Save it without a password.")
    root: Any = reader.root_object["/Pages"]
    announced = root.get("/Count", 0)
    if (isinstance(announced, int) and announced > MAX_PAGES) or len(reader.pages) > MAX_PAGES:
        raise Unreadable(TOO_LARGE, f"The PDF has more than {MAX_PAGES:,} pages. Send it in parts.")
    yield from reader.pages


# --- Lines ------------------------------------------------------------------------------------


def _lines(page: PageObject, number: int, *, with_tables: bool) -> list[Line]:
    lines: list[Line] = []
    going = False  # on with the last line

    def visit(text: str, cm: list[float], tm: list[float], font: Any, size: float) -> None:
        nonlocal going
        x, y = cm[4] + tm[4] * cm[0] + tm[5] * cm[2], cm[5] + tm[5] * cm[3] + tm[4] * cm[1]
        height = abs(size * (tm[3] or tm[1]) * (cm[3] or cm[1])) or abs(size)
        bold = bool(font) and bool(_BOLD.search(str(font.get("/BaseFont", ""))))
        for part in text.splitlines(keepends=True):
            if going and lines and abs(lines[-1].y - y) < 0.6 * max(lines[-1].size, height):
                last = lines[-1]
                last.text += part.rstrip("\r\n")
                last.bold = last.bold and (bold or not part.strip())
                last.size = max(last.size, height) if part.strip() else last.size
            elif part.strip():
                lines.append(Line(part.rstrip("\r\n"), x, y, height, bold, number))
            going = not part.endswith(("\n", "\r")) or bool(lines and abs(lines[-1].y - y) < 0.1)

    places = Places()
    page.extract_text(orientations=(0,), visitor_text=visit, visitor_operand_before=places.visit)
    for line in lines:
        line.text = one_line(line.text)
    if with_tables and places.may_be_table():
        _find_cells(page, lines)
    bottom, top = float(page.mediabox.bottom), float(page.mediabox.top)
    margin = EDGE * (top - bottom)
    outermost = [*lines[:EDGE_LINES], *lines[-EDGE_LINES:]]
    for line in outermost:
        line.edge = line.y > top - margin or line.y < bottom + margin
    return [line for line in lines if line.text]


class Places:
    """Where text was begun. Where the same column begins in line after line, far from the first,
    there may be a table: laying a page out to see costs several times as much as reading it."""

    _FAR = 40.0  # points: more than from a bullet to its text

    def __init__(self) -> None:
        self._columns: dict[int, set[int]] = {}  # by height on the page

    def visit(self, operator: bytes, operands: Any, cm: list[float], tm: list[float]) -> None:
        if operator in (b"Tj", b"TJ"):
            x, y = cm[4] + tm[4] * cm[0], cm[5] + tm[5] * cm[3]
            self._columns.setdefault(round(y), set()).add(round(x))

    def may_be_table(self) -> bool:
        rows = Counter(
            x for columns in self._columns.values() for x in columns if x > min(columns) + self._FAR
        )
        return any(count >= MIN_ROWS for count in rows.values())


def _find_cells(page: PageObject, lines: list[Line]) -> None:
    """Where a line has gaps, the pieces between them. A row of a table whose cells were drawn one
    beside the other is one line; text in two columns is not, so it is never taken for a table."""
    laid_out = {}
    for text in page.extract_text(extraction_mode="layout").splitlines():
        cells = [(match.start(), one_line(match[0])) for match in _CELL.finditer(text)]
        if len(cells) > 1:
            laid_out["".join(text.split())] = cells
    for line in lines:
        if not (_BULLET.match(line.text) or _CONTENTS_LINE.search(line.text)):
            line.cells = laid_out.get("".join(line.text.split()), [])


def _mark_running(pages: list[list[Line]]) -> None:
    """Of the lines at the edges those stay `edge` that are page numbers, or stand on other pages
    as well but for their figures."""

    def bare(line: Line) -> str:
        return re.sub(r"\d+", "#", line.text).strip("# ").casefold()

    seen = Counter(key for page in pages for key in {bare(line) for line in page if line.edge})
    enough = min(3, max(2, len(pages)))
    for page in pages:
        for line in page:
            line.edge = line.edge and (
                bool(_PAGE_NUMBER.match(line.text)) or seen[bare(line)] >= enough
            )


# --- Blocks -----------------------------------------------------------------------------------


def _written(pages: list[list[Line]]) -> tuple[str, list[int]]:
    lines = [line for page in pages for line in page]
    body = _usual(lines)
    distance = _usual_distance(pages, body)
    levels = _levels(lines, body)
    writer = Writer()
    indents: list[float] = []
    for page in pages:
        writer.begin_page()
        for number, block in enumerate(_blocks(page, body, distance)):
            if table := _table(block):
                indents.clear()
                writer.table(table)
            else:
                _write(writer, block, body, levels, indents, may_continue=number == 0)
    return writer.finish()


def _table(block: list[Line]) -> list[list[str]]:
    """The rows, where the block is a table: every cell stands in one of the columns of its head."""
    if len(block) < MIN_ROWS or not all(line.cells for line in block):
        return []
    starts = [column for column, _ in block[0].cells]
    rows = []
    for line in block:
        row = [""] * len(starts)
        for column, text in line.cells:
            row[_nearest(starts, column)] = text
        rows.append(row)
    return rows


def _fits(starts: list[int], line: Line) -> bool:
    """Each cell begins where a column does, and no two in the same."""
    places = [_nearest(starts, column) for column, _ in line.cells]
    near = all(
        abs(starts[at] - column) <= NEAR for at, (column, _) in zip(places, line.cells, strict=True)
    )
    return near and len(set(places)) == len(places) > 1


def _nearest(starts: list[int], column: int) -> int:
    return min(range(len(starts)), key=lambda at: abs(starts[at] - column))


def _usual(lines: list[Line]) -> float:
    """The size that most characters have."""
    sizes: Counter[float] = Counter()
    for line in lines:
        sizes[round(line.size, 1)] += len(line.text)
    return sizes.most_common(1)[0][0]


def _usual_distance(pages: list[list[Line]], body: float) -> float:
    distances = Counter(
        round(above.y - below.y, 1)
        for page in pages
        for above, below in pairwise(page)
        if body * 0.9 < above.y - below.y < body * 2.5
    )
    return distances.most_common(1)[0][0] if distances else body * 1.2


def _levels(lines: list[Line], body: float) -> dict[float, int]:
    """The sizes of headings, the largest first: level 1, 2, 3, 4."""
    sizes = sorted({round(line.size, 1) for line in lines if _is_larger(line, body)}, reverse=True)
    return {size: min(level, 4) for level, size in enumerate(sizes, start=1)}


def _is_larger(line: Line, body: float) -> bool:
    return line.size > body * LARGER and len(line.text) <= MAX_HEADING


def _is_heading(line: Line, body: float) -> bool:
    if _is_larger(line, body):
        return any(char.isalpha() for char in line.text)
    short = len(line.text) <= 120 and not line.text.endswith((".", ":", ";", ","))
    return line.bold and short and not _BULLET.match(line.text) and line.size > body * 0.95


def _blocks(page: list[Line], body: float, distance: float) -> Iterator[list[Line]]:
    """Lines that belong together: a paragraph, an item, a heading, a table."""
    block: list[Line] = []
    at = 0
    while at < len(page):
        line, rows = page[at], _rows(page, at)
        if rows >= MIN_ROWS:
            if block:
                yield block
            yield page[at : at + rows]
            block = []
            at += rows
            continue
        at += 1
        if _CONTENTS_LINE.search(line.text):  # a table of contents repeats headings
            continue
        if block and not _goes_on(block, line, body, distance):
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def _rows(page: list[Line], at: int) -> int:
    """How many lines from here on are rows of one table."""
    starts = [column for column, _ in page[at].cells]
    end = at
    while end < len(page) and starts and _fits(starts, page[end]):
        end += 1
    return end - at


def _goes_on(block: list[Line], line: Line, body: float, distance: float) -> bool:
    last = block[-1]
    heading = _is_heading(last, body)
    if heading != _is_heading(line, body):
        return False
    gap = last.y - line.y
    if heading:
        same = abs(last.size - line.size) < 0.5 and last.bold == line.bold
        return same and 0 < gap < last.size * 1.6 and not _HEADING_NUMBER.match(line.text)
    if not 0 < gap < max(distance, body) * APART:
        return False
    if _BULLET.match(line.text) or _leaves_item(block, line):
        return False
    # "in section\n5. of": a number at a line's start begins an item only where one may.
    return not (_NUMBER.match(line.text) and last.text.endswith(_ENDS))


def _leaves_item(block: list[Line], line: Line) -> bool:
    """An item's lines hang below its text; what stands further left is no part of it."""
    first, last = block[0], block[-1]
    if not (_BULLET.match(first.text) or _NUMBER.match(first.text)):
        return False
    if len(block) > 1:
        return line.x < block[1].x - 2
    return line.x < first.x + 1 and last.text.endswith((*_ENDS, ")"))


def _write(
    writer: Writer,
    block: list[Line],
    body: float,
    levels: dict[float, int],
    indents: list[float],
    *,
    may_continue: bool,
) -> None:
    first, text = block[0], _joined(block)
    if _is_heading(first, body):
        numbered = _HEADING_NUMBER.match(first.text)
        level = levels.get(round(first.size, 1)) or len(levels) + (
            numbered[1].count(".") + 1 if numbered else 1
        )
        writer.heading(level, text)
        indents.clear()
        return
    marker = _BULLET.match(text) or _NUMBER.match(text)
    if marker:
        while indents and indents[-1] > first.x + 2:
            indents.pop()
        if not indents or first.x > indents[-1] + 2:
            indents.append(first.x)
        sign = "-" if _BULLET.match(text) else marker[1]
        writer.item(sign, text[marker.end() :], depth=len(indents) - 1)
    elif may_continue and text[:1].islower() and _is_unfinished(writer.ending):
        writer.continue_last(_joint(writer.ending), text)
    else:
        indents.clear()
        writer.paragraph(text)


def _is_unfinished(ending: str) -> bool:
    return bool(ending) and ending[:1] not in "#|" and not ending.endswith(_ENDS)


def _joined(block: list[Line]) -> str:
    text = block[0].text
    for line in block[1:]:
        text += _joint(text) + line.text
    return text


def _joint(before: str) -> str:
    """A hyphen at a line's end may be the word's own or only the line's: both stay to be seen."""
    return "\n" if before.endswith(("-", "\u2010", "\u00ad")) else " "
