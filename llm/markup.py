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
_NOT_PLAIN = re.compile(r"[^\S ]|  |[<&`*_~\\|\[\]]")
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


def plain(marked_up: str) -> str:
    return plain_with_origins(marked_up).text


def plain_with_origins(marked_up: str, *, table_row: bool = False) -> Plain:
    """Remove mark-up but remember where each character stood.

    table_row   cell borders become hard breaks, so that two cells never form one sentence
    """
    if not _NOT_PLAIN.search(marked_up):
        text = marked_up.strip()
        start = marked_up.index(text)
        return Plain(text, list(range(start, start + len(text))))
    replaced = _replacements(marked_up, table_row=table_row)
    chars: list[str] = []
    origins: list[int] = []
    for at, char in enumerate(marked_up):
        for new in replaced.get(at, char):
            _append(chars, origins, new, at, is_break=at in replaced and new == HARD_BREAK)
    while chars and chars[-1].isspace():
        chars.pop()
        origins.pop()
    return Plain("".join(chars), origins)


def _append(chars: list[str], origins: list[int], new: str, at: int, *, is_break: bool) -> None:
    """Add one character; white space collapses, and a hard break wins over a blank."""
    if new.isspace():
        new = HARD_BREAK if is_break else " "
        if not chars:
            return
        if chars[-1].isspace():
            if is_break:
                chars[-1], origins[-1] = new, at
            return
    chars.append(new)
    origins.append(at)


def _replacements(marked_up: str, *, table_row: bool) -> dict[int, str]:
    """Offset to what stands there instead; '' where a character is only mark-up."""
    new: dict[int, str] = {}
    code = _code_spans(marked_up, new)
    for link in _LINK.finditer(marked_up):
        text_start, text_end = link.span("text")
        _blank(new, link.start(), text_start)
        _blank(new, text_end, link.end())
        if link.group().startswith("!"):  # an image's description is not the author's sentence
            _blank(new, text_start, text_end)
    for tag in _TAG.finditer(marked_up):
        _blank(new, *tag.span())
        if _BREAK_TAG.match(tag.group()):
            new[tag.start()] = HARD_BREAK
    for entity in _ENTITY.finditer(marked_up):
        _blank(new, *entity.span())
        new[entity.start()] = html.unescape(entity.group())
    for run in _EMPHASIS.finditer(marked_up):
        if run.start() not in code and _is_emphasis(marked_up, *run.span()):
            _blank(new, *run.span())
    for rule in (_ESCAPE, _QUOTE_PREFIX):
        for match in rule.finditer(marked_up):
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
