"""The source, unaltered, cut into numbered passages: paragraphs, list items, table rows.

Reads Markdown, plain text and the HTML that Markdown authors wrap around it, one line at a time,
and looks at each line a bounded number of times: the cost is linear in the length of the text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from llm import asciidoc
from llm.markup import plain
from llm.verbs import leading_verb

Kind = Literal["paragraph", "list_item", "table_row", "code", "heading"]

MAX_STEM = 600  # characters; a longer "introduction" is a paragraph that happens to end in ':'
MAX_HEADING = 120  # characters of a heading that no mark-up announces
_MAX_DEPTH = 6  # parts of a heading's number
_BOLD_LEVEL = 7  # a line in bold is a heading below all that Markdown numbers
_TAB = 4  # columns

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_ATX = re.compile(r"[ ]{0,3}(#{1,6})(?=[ \t]|$|<)")
_SETEXT = re.compile(r"[ ]{0,3}(?:(=+)|-{2,})[ \t]*$")
_RULE = re.compile(r"[ \t]*(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
_FENCE = re.compile(r"[ \t>]*(?:(`{3,})[^`]*|(~{3,}).*)$")
_BULLET = re.compile(r"(?:[*+\-•‣◦▪●○–·]|[o\uf0b7](?=\t|[ ]{2}))(?=[ \t]|$)")
_NUMBER = re.compile(
    r"\(?(?:\d{1,3}(?:\.\d{1,3}){0,5}|[a-zA-Z]|[ivxIVX]{2,5})[.)](?=[ \t]|$)"
    r"|\d{1,3}(?:\.\d{1,3}){1,5}(?=[ \t])"
)
_CHECKBOX = re.compile(r"\[[ xX]?\][ \t]+")
_QUOTE = re.compile(r"[ ]{0,3}>[> \t]*")
_PLAIN_NUMBERED_HEADING = re.compile(r"(\d{1,3}(?:\.\d{1,3}){0,5})\.?[ \t]+\S")
_BOLD_LINE = re.compile(r"(\*\*|__)(?!\s)[^*]{1,110}\1(?:<[^<>]*>)*$|\*\*_[^*_]{1,110}_\*\*$")
_OBLIGATION = re.compile(
    r"\b(?:must|shall|should|may|never|always|do not|don't|required|ensure)\b", re.IGNORECASE
)
# "The Supplier shall:" needs no outer introduction.
_OWN_SENTENCE = re.compile(r"[A-Z][^.:]{1,200}\b(?:must|shall|should|may)\b", re.IGNORECASE)
_CAPTION = re.compile(r"(?:table|figure|fig\.|example|note|warning|caution)\b", re.IGNORECASE)
_SENTENCE_START = re.compile(r"[.!?][\"')\]]?\s+(?=[\"'(\[]?[A-Z0-9])")
_INTRODUCES = re.compile(
    r"\b(?:following|as follows|include|including|such as|these are|are)\W*$", re.IGNORECASE
)

# HTML that begins a new block. A form's controls show what a page looks like, as code does.
_BLOCK_TAG = re.compile(
    r"<(/?)(li|ol|ul|p|div|section|article|blockquote|tr|td|th|table|thead|tbody|tfoot|dl|dt|dd"
    r"|h[1-6]|hr)(?:[\s/][^<>]*)?>",
    re.IGNORECASE,
)
_RAW_TAG = re.compile(r"[ \t]*<(pre|script|style|textarea)\b", re.IGNORECASE)
_FORM_TAG = re.compile(
    r"[ \t]*<(?:fieldset|form|label|input|legend|button|select|option)\b", re.IGNORECASE
)
_COMMENT = re.compile(r"[ \t]*<!--")
_ONLY_TAGS = re.compile(r"\s*(?:<[^<>]*>\s*|!\[[^\[\]]*\]\([^()\s]*\)\s*){1,50}$")


@dataclass(frozen=True)
class Passage:
    """One piece of the source. `text == source[start:end]`; offsets count characters.

    id        from 1, in the order of the source
    section   the headings it stands under, without mark-up, joined by " > "
    stem      the sentence that introduces its list, outer lists first; column heads of a table
    """

    id: int
    start: int
    end: int
    text: str
    section: str
    stem: str
    kind: Kind


def split_passages(source: str) -> list[Passage]:
    """Cut a guideline into passages that never overlap, in order; front matter is left out."""
    splitter = _Splitter(source)
    splitter.read_all()
    return splitter.passages


@dataclass(frozen=True)
class _Line:
    """One line, or the part of it between two block tags of HTML. Ends before the line break."""

    start: int
    end: int
    text: str

    @property
    def blank(self) -> bool:
        return not self.text.strip()

    @property
    def indent(self) -> int:
        columns = 0
        for char in self.text:
            if char not in " \t":
                break
            columns += 1 if char == " " else _TAB - columns % _TAB
        return columns


@dataclass
class _List:
    """An open list: where its markers stand, what introduces it, the item read last.

    depth   parts of its numbers: 2 for "1.4"; 0 for bullets
    style   of its markers, see _style
    """

    indent: int
    stem: str
    depth: int = 0
    style: str = ""
    last_marker: str = ""
    last_item: str = ""


@dataclass
class _Block:
    """The passage being read, until a line ends it."""

    kind: Kind
    start: int
    end: int
    stem: str = ""
    lines: int = 1
    in_quote: bool = False


@dataclass
class _Splitter:
    source: str
    passages: list[Passage] = field(default_factory=list)
    headings: list[tuple[int, str]] = field(default_factory=list)
    lists: list[_List] = field(default_factory=list)
    block: _Block | None = None
    intro: str = ""  # the paragraph read last: it may introduce a list or a table
    html_lists: list[str] = field(default_factory=list)
    section: str = ""

    def read_all(self) -> None:
        lines = _lines(self.source)
        at = _skip_front_matter(lines)
        texts = [line.text for line in lines]
        is_asciidoc = asciidoc.is_asciidoc(texts)
        while at < len(lines):
            if is_asciidoc and not lines[at].blank:
                at = self._read_asciidoc(lines, texts, at)
            else:
                at = self._read(lines, at)
        self._close()

    # Each reader returns the number of the next line to read.

    def _read(self, lines: list[_Line], at: int) -> int:
        line = lines[at]
        if line.blank:
            self._close()
            return at + 1
        code_end = _code_end(lines, at)
        if code_end > at:
            self._close()
            self._emit("code", line.start, lines[code_end - 1].end)
            return code_end
        table_end = _table_end(lines, at)
        if table_end > at:
            return self._read_table(lines, at, table_end)
        if not self._read_heading(lines, at) and not self._read_underline(line):
            self._read_text(line)
        return at + 1

    def _read_asciidoc(self, lines: list[_Line], texts: list[str], at: int) -> int:
        found, line = asciidoc.element(texts, at), lines[at]
        start = line.start + found.offset
        if found.kind == "text":
            if self.block:
                self._continue(self.block, line, line.start)
            else:
                self._start_paragraph(line, line.start, in_quote=False)
                if self.block and not self.block.stem:
                    self.block.stem = asciidoc.rule_label(texts, at)
            return found.end
        self._close()
        if found.kind == "heading":
            self._open_heading(found.level, line, start)
        elif found.kind == "code":
            self._emit("code", line.start, lines[found.end - 1].end)
        elif found.kind == "item":
            self._open_list(0, found.marker, found.marker)
            self.block = _Block("list_item", start, line.end, self.lists[-1].stem)
        elif found.kind == "table":
            self._read_asciidoc_table(lines, texts, at, found.end)
        return found.end

    def _read_asciidoc_table(self, lines: list[_Line], texts: list[str], at: int, end: int) -> None:
        """Cells may have lines of their own; so many of them as there are columns make a row."""
        if end - at < 3:
            return
        first, width = lines[at + 1].start, asciidoc.table_columns(texts, at)
        content = self.source[first : lines[end - 2].end]
        cells = [(first + a, first + b) for a, b in asciidoc.table_cells(content)]
        stem = ""
        if asciidoc.table_has_head(texts, at):
            stem = " | ".join(plain(self.source[a:b]) for a, b in cells[:width])
            cells = cells[width:]
        for number in range(0, len(cells), width):
            row = cells[number : number + width]
            self._emit("table_row", row[0][0], row[-1][1], stem)
        self.intro = ""
        self.lists.clear()

    def _read_underline(self, line: _Line) -> bool:
        """A line of === or ---: under one line of text a heading, elsewhere the end of a block."""
        if _SETEXT.match(line.text) and self._underlines_heading(line):
            return True
        if _RULE.match(line.text):
            self._close()
            return True
        return False

    def _read_heading(self, lines: list[_Line], at: int) -> bool:
        line = lines[at]
        atx = _ATX.match(line.text)
        if atx:
            self._close()
            self._open_heading(len(atx[1]), line, line.start + atx.end())
            return True
        if self._takes_headings(line) and _may_be_heading(lines, at):
            level = _unmarked_heading_level(line.text.strip(), _next_text(lines, at))
            if level:
                self._open_heading(level, line, line.start)
                return True
        return False

    def _takes_headings(self, line: _Line) -> bool:
        """Between blocks, and not in a list: "2." is an item after "1.", a heading after "1.4"."""
        number = _PLAIN_NUMBERED_HEADING.match(line.text.strip())
        depth = _depth(number[1]) if number else _MAX_DEPTH
        return self.block is None and all(depth < open_list.depth for open_list in self.lists)

    def _underlines_heading(self, line: _Line) -> bool:
        """A line of === or --- under a paragraph of one line makes that line a heading."""
        block = self.block
        if block is None or block.kind != "paragraph" or block.lines != 1 or block.in_quote:
            return False
        self.block = None
        level = 1 if "=" in line.text else 2
        self._open_heading(level, _Line(block.start, block.end, ""), block.start)
        return True

    def _open_heading(self, level: int, line: _Line, start: int) -> None:
        text = self.source[start : line.end]
        title = plain(text.rstrip().rstrip("#")).strip() or plain(text)
        while self.headings and self.headings[-1][0] >= level:
            self.headings.pop()
        if title:
            self.headings.append((level, title.replace("\n", " ")))
        self.section = " > ".join(title for _, title in self.headings)
        self.lists.clear()
        self.intro = ""
        self._emit("heading", start, line.end)

    def _read_table(self, lines: list[_Line], at: int, end: int) -> int:
        """A row is a passage; it knows its caption and the heads of its columns."""
        self._close()
        heads = " | ".join(cell for cell in plain_cells(lines[at].text) if cell)
        caption = self.intro if len(self.intro) <= MAX_HEADING else ""
        stem = f"{caption.rstrip(':')}: {heads}" if caption else heads
        for row in lines[at + 2 : end]:
            text = row.text
            start = row.start + len(text) - len(text.lstrip(" \t|"))
            self._emit("table_row", start, row.start + len(text.rstrip(" \t|")), stem)
        self.intro = ""
        self.lists.clear()
        return end

    def _read_text(self, line: _Line) -> None:
        tag = _BLOCK_TAG.match(line.text.strip())
        if tag and tag.end() == len(line.text.strip()):
            self._read_block_tag(tag)
            return
        if self.html_lists and "li" in self.html_lists[-1]:
            if self.block:
                self._continue(self.block, line, line.start)
            else:
                self._start_html_item(line)
            return
        quote = _QUOTE.match(line.text)
        content = line.start + (quote.end() if quote else 0)
        marker = self._marker(line, content)
        if marker:
            self._start_item(line, content, content + marker)
        elif self.block:
            self._continue(self.block, line, content)
        else:
            self._start_paragraph(line, content, in_quote=quote is not None)

    def _continue(self, block: _Block, line: _Line, content: int) -> None:
        if line.end > content:
            block.end = line.end
        block.lines += 1

    def _start_paragraph(self, line: _Line, content: int, *, in_quote: bool) -> None:
        """A new paragraph ends all lists unless its indentation puts it inside an item."""
        while self.lists and line.indent <= self.lists[-1].indent:
            self.lists.pop()
        stem = self.lists[-1].stem if self.lists else ""
        self.block = _Block("paragraph", content, line.end, stem, in_quote=in_quote)

    def _marker(self, line: _Line, content: int) -> int:
        """Characters of indentation and list marker; 0 where no item starts."""
        text = self.source[content : line.end]
        indented = len(text) - len(text.lstrip())
        marker = _BULLET.match(text, indented) or _NUMBER.match(text, indented)
        if marker is None or marker.end() >= len(text.rstrip()):
            return 0
        if (
            self.block
            and not self.lists
            and not _may_interrupt(marker.group(), self._tail(self.block))
        ):
            return 0
        after = marker.end()
        after += len(text) - after - len(text[after:].lstrip())
        box = _CHECKBOX.match(text, after)
        return box.end() if box else after

    def _tail(self, block: _Block) -> str:
        return self.source[max(block.start, block.end - 40) : block.end]

    def _start_item(self, line: _Line, content: int, start: int) -> None:
        self._close()
        indent = line.indent if content == line.start else 0
        while self.lists and self.lists[-1].indent > indent:
            self.lists.pop()
        text = self.source[content : line.end].strip()
        number = _PLAIN_NUMBERED_HEADING.match(text)
        self._open_list(
            indent, *self._style(text.split(None, 1)[0]), depth=_depth(number[1]) if number else 0
        )
        self.block = _Block("list_item", start, line.end, self.lists[-1].stem)

    def _open_list(self, indent: int, style: str, marker: str, depth: int = 0) -> None:
        """The list that an item with this marker stands in becomes the innermost one.

        At one indentation, another kind of marker goes one list deeper ("(a)" after "2.1 The
        Supplier shall:"), and a kind seen before goes back to its list.
        """
        here = [n for n, known in enumerate(self.lists) if known.indent == indent]
        back = [n for n in here if self.lists[n].style == style]
        deeper = bool(here) and not back and self.lists[-1].last_item.rstrip("*_ ").endswith(":")
        if back:
            del self.lists[back[-1] + 1 :]
        elif not here or deeper:
            self.lists.append(_List(indent, self._list_stem(), depth, style))
        else:
            del self.lists[here[0] + 1 :]
        self.lists[-1].last_marker = marker

    def _style(self, marker: str) -> tuple[str, str]:
        """(what the markers of one list have in common, this marker): "(i)" is roman after ":"."""
        core = marker.strip("().")
        if core[:1].isdigit():
            return re.sub(r"\d+", "1", marker), marker
        if not core.isalpha() or not core.isascii():
            return "-", marker
        follows = any(
            ord(open_list.last_marker.strip("().")[-1:] or "0") + 1 == ord(core[-1])
            for open_list in self.lists
            if len(core) == 1
        )
        roman = not follows and not core.lower().strip("ivx")
        return marker.replace(core, "i" if roman else "a"), marker

    def _list_stem(self) -> str:
        """What introduces the list that starts here: the paragraph before, or the outer item."""
        if not self.lists:
            return "" if self.intro.endswith(".") else _introduction(self.intro)
        outer = self.lists[-1]
        introduction = _introduction(outer.last_item)
        if introduction.endswith(":") and _OWN_SENTENCE.match(introduction):
            return introduction
        stems = (outer.stem, introduction)
        return " ".join(part for part in stems if part)[-MAX_STEM:]

    # HTML lists: the tags say what indentation says in Markdown.

    def _read_block_tag(self, tag: re.Match[str]) -> None:
        closing, name = tag[1] == "/", tag[2].lower()
        self._close()
        if name in ("ol", "ul"):
            self._read_list_tag(closing=closing, name=name)
        elif name == "li" and self.html_lists:
            self.html_lists[-1] = self.html_lists[-1].removesuffix(" li") + (
                "" if closing else " li"
            )
        elif name in ("p", "div") and not closing and not self.html_lists:
            self.lists.clear()

    def _read_list_tag(self, *, closing: bool, name: str) -> None:
        if not closing:
            if not self.html_lists:
                self.lists.clear()
            self.lists.append(_List(len(self.html_lists), self._list_stem()))
            self.html_lists.append(name)
        elif self.html_lists:
            self.html_lists.pop()
            if self.lists:
                self.lists.pop()

    def _start_html_item(self, line: _Line) -> None:
        stem = self.lists[-1].stem if self.lists else ""
        self.block = _Block("list_item", line.start, line.end, stem)

    # Passages come out here and nowhere else.

    def _close(self) -> None:
        block, self.block = self.block, None
        if block is None:
            return
        text = self._emit(block.kind, block.start, block.end, block.stem)
        if block.kind == "list_item" and self.lists:
            self.lists[-1].last_item = text
        elif text and not self.lists:
            self.intro = text

    def _emit(self, kind: Kind, start: int, end: int, stem: str = "") -> str:
        """Keep a passage if it has anything to read; return that, without mark-up."""
        piece = self.source[start:end]
        start += len(piece) - len(piece.lstrip())
        end = start + len(piece.strip())
        readable = piece if kind == "code" else plain(piece)
        if not any(char.isalnum() for char in readable):
            return ""
        passage = Passage(
            len(self.passages) + 1, start, end, self.source[start:end], self.section, stem, kind
        )
        self.passages.append(passage)
        return readable


def plain_cells(row: str) -> list[str]:
    return [plain(cell).replace("\n", " ") for cell in row.strip().strip("|").split("|")]


def _lines(source: str) -> list[_Line]:
    """All lines; a line with block tags of HTML becomes several, each tag one of its own."""
    return [
        piece
        for match in _LINE.finditer(source)
        for piece in _split_at_block_tags(match.start(), match.group().rstrip("\r\n"))
    ]


def _split_at_block_tags(start: int, text: str) -> Iterator[_Line]:
    if "<" not in text or "|" in text[:2]:  # a cell of a Markdown table may hold HTML
        yield _Line(start, start + len(text), text)
        return
    at = 0
    for tag in _BLOCK_TAG.finditer(text):
        if text[at : tag.start()].strip():
            yield _Line(start + at, start + tag.start(), text[at : tag.start()])
        yield _Line(start + tag.start(), start + tag.end(), tag.group())
        at = tag.end()
    if at == 0 or text[at:].strip():
        yield _Line(start + at, start + len(text), text[at:])


def _skip_front_matter(lines: list[_Line]) -> int:
    """The number of the first line after a YAML block at the very beginning."""
    if not lines or lines[0].text.lstrip("\ufeff").rstrip() != "---":
        return 0
    for number, line in enumerate(lines[1:], start=1):
        if line.text.rstrip() in ("---", "..."):
            return number + 1
        if line.blank and number == 1:
            return 0
    return 0


def _code_end(lines: list[_Line], at: int) -> int:
    """The line after the code that starts here; `at` itself where none does."""
    text = lines[at].text
    fence = _FENCE.match(text)
    if fence:
        return _fence_end(lines, at, fence[1] or fence[2])
    if "<" not in text:
        return at
    raw = _RAW_TAG.match(text)
    if raw:
        return _find_line(lines, at, f"</{raw[1].lower()}")
    if _COMMENT.match(text):
        return _find_line(lines, at, "-->")
    return _next_blank(lines, at) if _FORM_TAG.match(text) else at


def _fence_end(lines: list[_Line], at: int, fence: str) -> int:
    """A fence that is never closed hides nothing: only its own line is code."""
    for number in range(at + 1, len(lines)):
        text = lines[number].text.strip(" \t>")
        if text.startswith(fence) and not text.strip(fence[0]):
            return number + 1
    return at + 1


def _find_line(lines: list[_Line], at: int, needle: str) -> int:
    """The line after the one that holds `needle`, at most 2,000 lines on; else the next blank."""
    for number in range(at, min(len(lines), at + 2000)):
        if needle in lines[number].text.lower():
            return number + 1
    return _next_blank(lines, at)


def _next_blank(lines: list[_Line], at: int) -> int:
    while at < len(lines) and not lines[at].blank:
        at += 1
    return at


def _table_end(lines: list[_Line], at: int) -> int:
    """The line after a Markdown table that starts here; `at` itself where none does."""
    if at + 1 >= len(lines) or "|" not in lines[at].text:
        return at
    border = lines[at + 1].text.strip()
    if "-" not in border or "|" not in border or border.strip("|-: \t"):
        return at
    end = at + 2
    while end < len(lines) and "|" in lines[end].text:
        end += 1
    return end


def _may_be_heading(lines: list[_Line], at: int) -> bool:
    """A line on its own, or a numbered one right above the text it announces."""
    if at and not lines[at - 1].blank and not _ONLY_TAGS.match(lines[at - 1].text):
        return False
    if at + 1 >= len(lines) or lines[at + 1].blank:
        return True
    text, following = lines[at].text.strip(), lines[at + 1].text.strip()
    numbered = _PLAIN_NUMBERED_HEADING.match(text)
    if numbered is None or leading_verb(text[numbered.end() - 1 :]):
        return False
    deeper = _PLAIN_NUMBERED_HEADING.match(following)
    return _depth(deeper[1]) > _depth(numbered[1]) if deeper else following[0].isupper()


def _next_text(lines: list[_Line], at: int) -> str:
    for line in lines[at + 1 : at + 10]:
        if not line.blank:
            return line.text.strip()
    return ""


def _unmarked_heading_level(text: str, following: str) -> int:
    """How deep a heading this line is, standing alone and without '#'; 0 where it is text."""
    if len(text) > MAX_HEADING or text[-1] in ".!?:;," or not following:
        return 0
    if _BOLD_LINE.match(text):
        title = text.strip("*_")
        ordinary = _CAPTION.match(title) and not title.lower().startswith("example")
        return 0 if ordinary or _OBLIGATION.search(title) or title[-1] in ".!?:" else _BOLD_LEVEL
    if _OBLIGATION.search(text) and not text.isupper():
        return 0
    numbered = _PLAIN_NUMBERED_HEADING.match(text)
    if numbered and len(text.split()) <= 9:
        sibling = _PLAIN_NUMBERED_HEADING.match(following)
        is_list = sibling is not None and _depth(sibling[1]) <= _depth(numbered[1]) == 1
        return 0 if is_list else _depth(numbered[1]) + 1  # below a title in capitals
    capitals = text.isupper() and len(text) > 3 and not _RULE.match(text)
    return 1 if capitals and not _BULLET.match(text) and not numbered else 0


def _depth(number: str) -> int:
    return number.count(".") + 1


def _may_interrupt(marker: str, before: str) -> bool:
    """May this marker start a list in the middle of a paragraph? "in section\\n5. of" may not."""
    if before.rstrip().endswith((":", ";")):
        return True
    return marker in ("*", "+", "-", "•", "1.", "1)", "a)", "(a)", "(1)", "a.")


def _introduction(text: str) -> str:
    """The last sentence of a paragraph or outer item, if it introduces what follows."""
    text = text.strip()
    if not text:
        return ""
    sentences = _SENTENCE_START.split(text[-MAX_STEM:])
    last = sentences[-1].strip()
    if last.endswith(":") or last.endswith((" –", " —")) or _INTRODUCES.search(last):
        return last.replace("\n", " ")
    short = len(text.split()) <= 10 and len(sentences) == 1 and not text.endswith("?")
    return text.replace("\n", " ") if short and not _OBLIGATION.search(text) else ""
