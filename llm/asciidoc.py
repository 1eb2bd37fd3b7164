"""What a line of AsciiDoc is, for the passages: looked at alone and a few lines around it.

Follows the AsciiDoc syntax reference (docs.asciidoctor.org/asciidoc/latest/syntax-quick-reference).
What is shown rather than said (listings, literal blocks, examples, quotations) becomes code.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MAX_LOOK = 400  # lines at the beginning that decide what a document is written in
MIN_SIGNS = 2

_HEADING = re.compile(r"(={1,6})[ \t]+(?=\S)")
_ATTRIBUTE = re.compile(r":!?[\w-]+!?:(?:[ \t]|$)")
_BLOCK_ATTRIBUTES = re.compile(r"\[[^\]\n]*\]$|\[\[[^\]\n]*\]\]$")
_TITLE = re.compile(r"\.(?=[^\s.])")
_DIRECTIVE = re.compile(r"(?:include|ifdef|ifndef|ifeval|endif|image|toc|video|audio)::")
_DELIMITER = re.compile(r"(-{4,}|\.{4,}|={4,}|_{4,}|\*{4,}|\+{4,}|/{4,}|--|`{3,})$")
_ITEM = re.compile(r"[ \t]*(\*{1,5}|\.{1,5}|-)[ \t]+(?:\[[ *x]\][ \t]+)?(?=\S)")
_TABLE = re.compile(r"[|,:!]===$")
_ADMONITION = re.compile(r"\[(?:NOTE|TIP|IMPORTANT|WARNING|CAUTION)\b")
# "[rule,id=CI-01]", "[.requirement]": what the block below is, by the author's own mark.
_RULE_BLOCK = re.compile(
    r"\[(?:role=)?[\"'.]{0,2}(?:(?P<rule>rule|requirement|req|policy|control|must)"
    r"|(?P<advice>recommendation|recommended|guideline|advice|should))\b",
    re.IGNORECASE,
)
_CELL_STYLE = re.compile(r"(?:(?<=\s)|^)(?:\d+(?:\.\d+)?[+*])?[<^>]?(?:\.[<^>])?[adehlms]?$")
_COLUMNS = re.compile(r"cols=\"?(?:(\d+)\*|([^\"\]]*))")
_SIGN = re.compile(
    r"={1,6}[ \t]+\S|:[\w-]+:(?:[ \t]|$)|\[\[[^\]\n]+\]\]$|\|===$|(?:include|ifdef|image|toc)::"
    r"|\[(?:source|NOTE|TIP|IMPORTANT|WARNING|CAUTION|quote|abstract|cols)\b"
)

Kind = Literal["heading", "skip", "code", "item", "table", "text"]


@dataclass(frozen=True)
class Element:
    """What begins at a line.

    end      the number of the line after it
    offset   characters of that line before its content
    level    of a heading
    marker   of an item: "*", "**", "."
    """

    kind: Kind
    end: int
    offset: int = 0
    level: int = 0
    marker: str = ""


def is_asciidoc(texts: Sequence[str]) -> bool:
    """Do the first lines show signs of AsciiDoc, and none of Markdown's headings?"""
    head = texts[:MAX_LOOK]
    if any(re.match(r"#{1,6}[ \t]+\S|```", text) for text in head):
        return False
    return sum(bool(_SIGN.match(text)) for text in head) >= MIN_SIGNS


def element(texts: Sequence[str], at: int) -> Element:
    text = texts[at].rstrip()
    heading = _HEADING.match(text)
    if heading:
        level = len(heading[1])
        end = _next_blank(texts, at) if level == 1 else at + 1  # author, revision, attributes
        return Element("heading", end, heading.end(), level)
    if _TABLE.match(text):
        return Element("table", _closing(texts, at))
    if _DELIMITER.match(text):
        return _block(texts, at)
    if _is_silent(text):
        return Element("skip", at + 1)
    item = _ITEM.match(text)
    if item:
        return Element("item", at + 1, item.end(), marker=item[1])
    return Element("text", at + 1)


def _is_silent(text: str) -> bool:
    """Lines that steer the processor, titles of blocks, comments, breaks."""
    steers = _ATTRIBUTE.match(text) or _BLOCK_ATTRIBUTES.match(text) or _DIRECTIVE.match(text)
    return bool(
        steers or _TITLE.match(text) or text.startswith("//") or text in ("+", "'''", "<<<")
    )


def _block(texts: Sequence[str], at: int) -> Element:
    """A delimited block: its content is read if it is said, and left out if it is only shown."""
    mark = texts[at].rstrip()
    if mark[0] == "*" or mark == "--":
        return Element("skip", at + 1)
    if mark[0] == "=" and _is_said(texts, at):
        return Element("skip", at + 1)
    end = _closing(texts, at)
    return Element("skip" if mark[0] == "/" else "code", end)


def _is_said(texts: Sequence[str], at: int) -> bool:
    """Is this ==== the border of an admonition, or the end of a block whose beginning was read?"""
    if _is_announced(texts, at):
        return True
    mark = texts[at].rstrip()
    for number in range(at - 1, max(-1, at - MAX_LOOK), -1):
        if texts[number].rstrip() == mark:
            return _is_announced(texts, number)
    return False


def _is_announced(texts: Sequence[str], at: int) -> bool:
    """Do the lines above a block say that it is an admonition or a rule?"""
    above = _attributes(texts, at)
    return any(_ADMONITION.match(text) or _RULE_BLOCK.match(text) for text in above)


def rule_label(texts: Sequence[str], at: int) -> str:
    """ "Rule:" or "Recommendation:" for the first line of a block that is marked as one."""
    border = at - 1 if at and _DELIMITER.match(texts[at - 1].rstrip()) else at
    for text in _attributes(texts, border):
        found = _RULE_BLOCK.match(text)
        if found:
            return "Rule:" if found["rule"] else "Recommendation:"
    return ""


def _attributes(texts: Sequence[str], at: int) -> list[str]:
    """The lines of attributes and titles right above a block."""
    first = at
    while first and at - first < 4 and re.match(r"[\[.]\S", texts[first - 1]):
        first -= 1
    return list(texts[first:at])


def _closing(texts: Sequence[str], at: int) -> int:
    """The line after the one that closes a block; a block never closed hides only its border."""
    mark = texts[at].rstrip()
    for number in range(at + 1, len(texts)):
        if texts[number].rstrip() == mark:
            return number + 1
    return at + 1


def _next_blank(texts: Sequence[str], at: int) -> int:
    while at < len(texts) and texts[at].strip():
        at += 1
    return at


def table_cells(content: str) -> list[tuple[int, int]]:
    """The spans of the cells of a table, their borders not included."""
    borders = [match.start() for match in re.finditer(r"(?<!\\)\|", content)]
    ends = [*borders[1:], len(content)] if borders else []
    cells = [(start + 1, end) for start, end in zip(borders, ends, strict=True)]
    return [(start, _without_style(content, start, end)) for start, end in cells]


def _without_style(content: str, start: int, end: int) -> int:
    """The end of a cell without what the next one says about its style: the "a" of "a|"."""
    if end == len(content):
        return end
    style = _CELL_STYLE.search(content[max(start, end - 12) : end])
    return end - len(style.group()) if style else end


def table_columns(texts: Sequence[str], at: int) -> int:
    """How many columns the table at this line has: by its attributes, else by its first line."""
    for text in _attributes(texts, at):
        columns = _COLUMNS.search(text)
        if columns:
            return int(columns[1]) if columns[1] else columns[2].count(",") + 1
    first = next((text for text in texts[at + 1 : at + 5] if text.strip()), "")
    return max(1, first.count("|"))


def table_has_head(texts: Sequence[str], at: int) -> bool:
    """The first line stands alone, or the attributes say so."""
    if any("header" in text for text in _attributes(texts, at)):
        return True
    return at + 2 < len(texts) and bool(texts[at + 1].strip()) and not texts[at + 2].strip()
