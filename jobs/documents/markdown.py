"""Blocks of a document written as Markdown, in the few forms that `llm.passages` reads."""

from collections.abc import Iterable, Sequence

from jobs.documents.formats import TOO_LARGE, Unreadable

MAX_CELLS = 50_000  # of all tables: merged cells are repeated, so a small file could ask for many
INDENT = "   "  # makes a list the inner one of "- " and of "1. " alike


class Grid:
    """The cells of a table as a grid, in which a merged cell stands in each of its places."""

    def __init__(self) -> None:
        self._rows: list[dict[int, str]] = []
        self._below: dict[int, tuple[int, str]] = {}  # by column: rows still to fill, with what
        self._column = 0
        self._cells = 0

    def begin_row(self) -> None:
        self._rows.append({})
        self._column = 0
        for column, (left, text) in list(self._below.items()):
            self._put(column, text)
            if left == 1:
                del self._below[column]
            else:
                self._below[column] = (left - 1, text)

    def add(self, text: str, columns: int = 1, rows: int = 1) -> None:
        if not self._rows:
            self.begin_row()
        while self._column in self._rows[-1]:
            self._column += 1
        for column in range(self._column, self._column + columns):
            self._put(column, text)
            if rows > 1:
                self._below[column] = (rows - 1, text)
        self._column += columns

    def rows(self) -> list[list[str]]:
        width = max((max(row, default=-1) for row in self._rows), default=-1) + 1
        return [[row.get(column, "") for column in range(width)] for row in self._rows]

    def _put(self, column: int, text: str) -> None:
        self._cells += 1
        if self._cells > MAX_CELLS:
            raise Unreadable(
                TOO_LARGE, f"The tables have more than {MAX_CELLS:,} cells. Send it in parts."
            )
        self._rows[-1][column] = text


class Writer:
    """Collects blocks, with a blank line between them except within a list."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._last_was_item = False
        self.page_starts: list[int] = []

    def heading(self, level: int, text: str) -> None:
        if text := one_line(text):
            self._block(f"{'#' * min(max(level, 1), 6)} {text}")

    def paragraph(self, text: str) -> None:
        if text.strip():
            self._block(text.strip())

    def item(self, marker: str, text: str, depth: int = 0) -> None:
        """A list's item, under the one before if that is an item too."""
        if text.strip():
            before = "\n" if self._last_was_item else "\n\n"
            self._append(f"{INDENT * depth}{marker} {text.strip()}", before)
            self._last_was_item = True

    def end_list(self) -> None:
        """The next item is of another list."""
        self._last_was_item = False

    def continue_item(self, text: str, depth: int) -> None:
        """Another paragraph of the item before."""
        if text.strip():
            self._block(INDENT * depth + text.strip())

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """The first row holds the heads of the columns. A single column or row is no table."""
        rows = [row for row in rows if any(cell.strip() for cell in row)]
        width = max(map(len, rows), default=0)
        if width < 2 or len(rows) < 2:
            for row in rows:
                self.paragraph("\n\n".join(cell.strip() for cell in row if cell.strip()))
            return
        lines = [_row([*row, *[""] * (width - len(row))]) for row in rows]
        lines.insert(1, f"|{' --- |' * width}")
        self._block("\n".join(lines))

    def continue_last(self, joint: str, text: str) -> None:
        """Goes on with the block written last, on the next page."""
        self._append(text.strip(), joint)

    def begin_page(self) -> None:
        """What is written next stands on a new page."""
        self.page_starts.append(-1)

    @property
    def ending(self) -> str:
        return self._parts[-1] if self._parts else ""

    def finish(self) -> tuple[str, list[int]]:
        """The text and where its pages start: an empty page where the next one does."""
        text = "".join(self._parts)
        starts, following = list(self.page_starts), len(text)
        for number in range(len(starts) - 1, -1, -1):
            following = starts[number] = starts[number] if starts[number] >= 0 else following
        return text + "\n" if text else "", starts

    def _block(self, text: str) -> None:
        self._append(text, "\n\n")
        self._last_was_item = False

    def _append(self, text: str, before: str) -> None:
        if self._parts:
            self._parts.append(before)
            self._length += len(before)
        if self.page_starts and self.page_starts[-1] < 0:
            self.page_starts[-1] = self._length
        self._parts.append(text)
        self._length += len(text)


def numeral(number: int, kind: str) -> str:
    """As HTML and Word count: "1", "a", "A", "i" or "I"."""
    if kind in ("a", "A"):
        letter = chr(ord("a") + (number - 1) % 26) * min((number - 1) // 26 + 1, 9)
        return letter if kind == "a" else letter.upper()
    if kind in ("i", "I") and 0 < number < 4000:
        return roman(number) if kind == "i" else roman(number).upper()
    return str(number)


def roman(number: int) -> str:
    values = (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1)
    signs = ("m", "cm", "d", "cd", "c", "xc", "l", "xl", "x", "ix", "v", "iv", "i")
    text = ""
    for value, sign in zip(values, signs, strict=True):
        count, number = divmod(number, value)
        text += sign * count
    return text


def one_line(text: str) -> str:
    return " ".join(text.split())


def paragraphs_in_cell(paragraphs: Iterable[str]) -> str:
    """Several paragraphs in one cell: sentences of their own."""
    return "<br>".join(filter(None, map(one_line, paragraphs)))


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(one_line(cell).replace("|", "&#124;") for cell in cells) + " |"
