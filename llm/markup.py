"""Mark-up removed from Markdown and HTML, with the way back to the original offsets.

Every rule is a regex without nested repetition, so that hostile text costs linear time.
"""

import html
import re
from dataclasses import dataclass

HARD_BREAK = "\n"  # the only line feed in plain text: <br>, or the border of a table cell

_CODE_SPAN = re.compile(r"`{1,3}[^`\n]{1,400}`{1,3}")
_LINK = re.compile(
    r"!?\[(?P<text>[^\[\]]{0,400}|\[[^\[\]]{0,400}\])\]"
    r"\((?:[^()\n]|\([^()\n]{0,200}\)){0,400}\)"
)
# Only names that HTML has: "<name>" may be a place-holder and "<90" is a number.
_TAG = re.compile(
    r"<!--[^<>]*>|</?(?:a|abbr|article|aside|b|blockquote|body|br|button|caption|center|cite|code"
    r"|col|colgroup|dd|del|details|dfn|div|dl|dt|em|fieldset|figcaption|figure|font|footer|form"
    r"|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|kbd|label|legend|li|link|main|mark|meta"
    r"|nav|ol|option|p|pre|q|s|samp|section|select|small|span|strike|strong|sub|summary|sup"
    r"|table|tbody|td|textarea|tfoot|th|thead|title|tr|tt|u|ul|var)(?:[\s/][^<>]*)?>",
    re.IGNORECASE,
)
_BREAK_TAG = re.compile(r"<br\b", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,12}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
_EMPHASIS = re.compile(r"\*+|_+|~~+")
_ESCAPE = re.compile(r"\\(?=[!-/:-@\[-`{-~])")
# All blanks but the one, each by itself: one set of signs is searched for many times as fast.
_NOT_PLAIN = re.compile(
    r"[\t-\r\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000<&`*_~\\|\[\]]"
)
_RUN = re.compile(r"(?P<blank>\s+)|\S+(?: \S+)*")  # single blanks stay as they are
_QUOTE_PREFIX = re.compile(r"(?<=[\r\n])[ \t]{0,3}>[> \t]*")


@dataclass(frozen=True)
class Plain:
    """Readable text and, for each of its characters, the place it came from.

    text      mark-up removed, white space collapsed, at both ends stripped
    origins   origins[i] is the offset in the marked-up text of text[i]
    """

    text: str
    origins: list[int]

    def span(self, start: int, end: int, marked_up: str) -> tuple[int, int]:
        """The original span of text[start:end], with the mark-up that touches it."""
        first, last = self.origins[start], self.origins[end - 1] + 1
        before = self.origins[start - 1] + 1 if start else 0
        after = self.origins[end] if end < len(self.origins) else len(marked_up)
        while first > before and not marked_up[first - 1].isspace():
            first -= 1
        while last < after and not marked_up[last].isspace():
            last += 1
        return first, last


def is_plain(text: str) -> bool:
    """Is there nothing to remove but blanks at both ends?"""
    return "  " not in text and not _NOT_PLAIN.search(text)


def plain(marked_up: str) -> str:
    if is_plain(marked_up):
        return marked_up.strip()
    return plain_with_origins(marked_up).text


def plain_with_origins(marked_up: str, *, table_row: bool = False) -> Plain:
    """Remove mark-up but remember where each character stood.

    table_row   cell borders become hard breaks, so that two cells never form one sentence
    """
    if is_plain(marked_up):
        text = marked_up.strip()
        start = marked_up.index(text)
        return Plain(text, list(range(start, start + len(text))))
    readable = _Readable()
    at = 0
    replaced = _replacements(marked_up, table_row=table_row)
    for place in sorted(replaced):
        if at < place:
            readable.add_text(marked_up[at:place], at)
        for char in replaced[place]:
            readable.add(char, place)
        at = place + 1
    readable.add_text(marked_up[at:], at)
    return readable.stripped()


class _Readable:
    """Plain text in the making, a run of signs at a time: white space collapses."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._origins: list[int] = []

    def add_text(self, text: str, origin: int) -> None:
        """Text of the source, which stands there."""
        for run in _RUN.finditer(text):
            if run.lastgroup == "blank":
                self._add_blank(" ", origin + run.start())
            else:
                self._pieces.append(run.group())
                self._origins.extend(range(origin + run.start(), origin + run.end()))

    def add(self, char: str, origin: int) -> None:
        """What stands in place of the source's sign."""
        if char.isspace():
            self._add_blank(HARD_BREAK if char == HARD_BREAK else " ", origin)
        else:
            self._pieces.append(char)
            self._origins.append(origin)

    def _add_blank(self, blank: str, origin: int) -> None:
        """A hard break wins over a blank; the text begins with neither."""
        if not self._pieces:
            return
        if not self._pieces[-1].isspace():
            self._pieces.append(blank)
            self._origins.append(origin)
        elif blank == HARD_BREAK:
            self._pieces[-1], self._origins[-1] = blank, origin

    def stripped(self) -> Plain:
        if self._pieces and self._pieces[-1].isspace():
            self._pieces.pop()
            self._origins.pop()
        return Plain("".join(self._pieces), self._origins)


def _replacements(marked_up: str, *, table_row: bool) -> dict[int, str]:
    """Offset to what stands there instead; '' where a character is only mark-up."""
    new: dict[int, str] = {}
    code = _code_spans(marked_up, new) if "`" in marked_up else set()
    for link in _LINK.finditer(marked_up) if "](" in marked_up else ():
        text_start, text_end = link.span("text")
        _blank(new, link.start(), text_start)
        _blank(new, text_end, link.end())
        if link.group().startswith("!"):  # an image's description is not the author's sentence
            _blank(new, text_start, text_end)
    for tag in _TAG.finditer(marked_up) if "<" in marked_up else ():
        _blank(new, *tag.span())
        if _BREAK_TAG.match(tag.group()):
            new[tag.start()] = HARD_BREAK
    for entity in _ENTITY.finditer(marked_up) if "&" in marked_up else ():
        _blank(new, *entity.span())
        new[entity.start()] = html.unescape(entity.group())
    for run in _EMPHASIS.finditer(marked_up):
        if run.start() not in code and _is_emphasis(marked_up, *run.span()):
            _blank(new, *run.span())
    for sign, rule in (("\\", _ESCAPE), (">", _QUOTE_PREFIX)):
        for match in rule.finditer(marked_up) if sign in marked_up else ():
            _blank(new, *match.span())
    if table_row:
        new.update((at, HARD_BREAK) for at, char in enumerate(marked_up) if char == "|")
    return new


def _code_spans(marked_up: str, new: dict[int, str]) -> set[int]:
    """Drop the back ticks; return the offsets in between, which hold no emphasis."""
    inside: set[int] = set()
    for span in _CODE_SPAN.finditer(marked_up):
        ticks = len(span.group()) - len(span.group().lstrip("`"))
        _blank(new, span.start(), span.start() + ticks)
        tail = len(span.group()) - len(span.group().rstrip("`"))
        _blank(new, span.end() - tail, span.end())
        inside.update(range(span.start() + ticks, span.end() - tail))
    return inside


def _is_emphasis(marked_up: str, start: int, end: int) -> bool:
    """A run of * or _ that leans on one side: not '2 * 3', not snake_case, not a lone star."""
    before = marked_up[start - 1] if start else " "
    after = marked_up[end] if end < len(marked_up) else " "
    if before.isspace() and after.isspace():
        return False
    return not (before.isalnum() and after.isalnum())


def _blank(new: dict[int, str], start: int, end: int) -> None:
    for at in range(start, end):
        new[at] = ""
