"""A page of HTML as Markdown: what its author says, without what its site puts around it."""

from html.parser import HTMLParser

import nh3

from jobs.documents.formats import UNREADABLE, UNSAFE, Reading, Unreadable
from jobs.documents.markdown import Grid, Writer, numeral, one_line, paragraphs_in_cell

MAX_DEPTH = 200  # of open elements; more is no page that anybody wrote

# Their content is not the author's text. `header` is, inside of an article.
GONE = {
    *("script", "style", "noscript", "template", "nav", "footer", "aside", "form", "button"),
    *(
        "select",
        "textarea",
        "svg",
        "math",
        "iframe",
        "object",
        "audio",
        "video",
        "canvas",
        "dialog",
    ),
    *("head", "title"),
}
HEADINGS = {f"h{level}": level for level in range(1, 7)}
BLOCKS = {
    *("p", "div", "section", "article", "main", "header", "blockquote", "pre", "figure", "address"),
    *("dl", "dt", "dd", "details", "summary", "figcaption", "caption", "hr", "body", "html"),
}
TABLE = {"table", "thead", "tbody", "tfoot", "tr", "td", "th"}
STRONG = {"b", "strong"}
KEPT = {*HEADINGS, *BLOCKS, *TABLE, *STRONG, "ul", "ol", "li", "br"}
VOID = {"br", "hr"}
BREAK = "\x00"  # of a line; clean HTML holds none
MAX_SPAN = 100  # columns or rows of one cell that are believed
HIDDEN_ROLES = {"navigation", "banner", "contentinfo", "search", "complementary", "menu", "menubar"}
ATTRIBUTES = {
    "*": {"role", "hidden", "aria-hidden"},
    "ol": {"start", "type"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
}


def read(content: bytes) -> Reading:
    """Raises Unreadable. UTF-8: the door has seen to that."""
    source = content.decode("utf-8-sig", errors="replace")
    clean = nh3.clean(
        source,
        tags=KEPT,
        clean_content_tags=GONE,
        attributes=ATTRIBUTES,
        generic_attribute_prefixes=None,
        link_rel=None,
    )
    page = Page()
    page.feed(clean)
    page.close()
    text = page.finish()
    if not any(map(str.isalnum, text)):
        raise Unreadable(
            UNREADABLE, "The page holds no text of its own: perhaps scripts load it. Send its text."
        )
    return Reading(text)


class Page(HTMLParser):
    """Reads clean HTML, well-formed as nh3 writes it, from event to event."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._writer = Writer()
        self._open: list[str] = []
        self._hidden_at = 0  # depth at which an element began that is not shown
        self._text: list[tuple[str, bool]] = []  # with: is it bold?
        self._lists: list[tuple[str, int, str]] = []  # tag, number of the next item, type
        self._marker: str | None = None  # of the item that has begun and has no text yet
        self._tables: list[Grid] = []
        self._cell: list[str] | None = None  # paragraphs of the cell that is open
        self._spans = (1, 1)

    def finish(self) -> str:
        self._flush()
        return self._writer.finish()[0]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in VOID:
            self.handle_data(BREAK) if tag == "br" else self._flush()
            return
        self._open.append(tag)
        if len(self._open) > MAX_DEPTH:
            raise Unreadable(
                UNSAFE, f"Elements are nested deeper than {MAX_DEPTH} levels. Send its text."
            )
        if not self._hidden_at and self._is_hidden(tag, dict(attrs)):
            self._flush()
            self._hidden_at = len(self._open)
        if self._hidden_at:
            return
        if tag not in STRONG:
            self._flush()
            self._begin(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID or tag not in self._open:
            return
        while self._open[-1] != tag:
            self._open.pop()
        if self._hidden_at:
            if len(self._open) <= self._hidden_at:
                self._hidden_at = 0
            self._open.pop()
            return
        if tag not in STRONG:
            self._flush()
            self._end(tag)
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if not self._hidden_at:
            self._text.append((data, not STRONG.isdisjoint(self._open)))

    def _is_hidden(self, tag: str, attributes: dict[str, str | None]) -> bool:
        around = tag == "header" and not {"article", "main"}.intersection(self._open)
        return (
            around
            or "hidden" in attributes
            or attributes.get("aria-hidden") == "true"
            or attributes.get("role") in HIDDEN_ROLES
        )

    def _begin(self, tag: str, attributes: dict[str, str | None]) -> None:
        if tag in ("ul", "ol"):
            start = attributes.get("start") or "1"
            number = int(start) if start.isdecimal() and len(start) < 6 else 1
            self._lists.append((tag, number, attributes.get("type") or "1"))
        elif tag == "li" and self._lists:
            name, number, kind = self._lists[-1]
            self._marker = "-" if name == "ul" else f"{numeral(number, kind)}."
            self._lists[-1] = (name, number + 1, kind)
        elif tag == "table":
            self._tables.append(Grid())
        elif tag == "tr" and len(self._tables) == 1:
            self._tables[0].begin_row()
        elif tag in ("td", "th") and len(self._tables) == 1:
            self._cell = []
            self._spans = (self._span(attributes, "colspan"), self._span(attributes, "rowspan"))

    def _end(self, tag: str) -> None:
        if tag in ("ul", "ol") and self._lists:
            self._lists.pop()
            if not self._lists:
                self._writer.end_list()
        elif tag == "li":
            self._marker = None
        elif tag in ("td", "th") and len(self._tables) == 1 and self._cell is not None:
            self._tables[0].add(paragraphs_in_cell(self._cell), *self._spans)
            self._cell = None
        elif tag == "table" and self._tables:
            table = self._tables.pop()
            if not self._tables:
                self._writer.table(table.rows())

    def _span(self, attributes: dict[str, str | None], name: str) -> int:
        value = attributes.get(name) or "1"
        return min(max(int(value), 1), MAX_SPAN) if value.isdecimal() and len(value) < 5 else 1

    def _flush(self) -> None:
        """What was read since the last block is a block of its own."""
        pieces = [(text, bold) for text, bold in self._text if text.strip(BREAK + " \t\r\n")]
        raw = "".join(text for text, _ in self._text)
        self._text.clear()
        if not pieces:
            return
        if "pre" in self._open:
            text = raw.replace(BREAK, "\n").strip("\r\n")
        else:
            text = "\n".join(map(one_line, raw.strip(BREAK).split(BREAK)))
        if self._cell is not None:
            self._cell.extend(text.split("\n"))
            return
        level = next((HEADINGS[tag] for tag in self._open if tag in HEADINGS), 0)
        if level:
            self._writer.heading(level, text)
            return
        if all(bold for _, bold in pieces) and "\n" not in text:
            text = f"**{text}**"  # a line in bold may be a heading
        if self._lists and self._marker is not None:
            self._writer.item(self._marker, text, len(self._lists) - 1)
            self._marker = None
        elif "li" in self._open:
            self._writer.continue_item(text, len(self._lists))
        else:
            self._writer.paragraph(text)
