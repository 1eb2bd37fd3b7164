"""Which passages go into which call: few enough for a model to see all, cut where sections end."""

from collections import deque
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from typing import Any

from llm.limits import MAX_CHARACTERS
from llm.markup import plain
from llm.passages import Passage
from llm.statements import Statement

_ENOUGH = 40  # characters at the end of a list's introduction that tell it from others
_OPEN = 8  # introductions of a section that a list may be looked up in


def readable(passages: Iterable[Passage]) -> list[Passage]:
    """Headings travel as the `section` of the other passages; code states nothing."""
    return [passage for passage in passages if passage.kind not in ("code", "heading")]


def wanted(
    passages: Sequence[Passage], summary: dict[str, Any], statements: Iterable[Statement]
) -> list[Passage]:
    """The passages of step 2: those of the summary, and those in which we find a statement."""
    ids = {statement.passage_id for statement in statements}
    ids.update(number for entry in summary["statements"] for number in entry["passages"])
    return with_introductions(passages, ids)


def with_introductions(passages: Sequence[Passage], wanted: Iterable[int]) -> list[Passage]:
    """Passages by id, in order, and with a list's item what introduces the list."""
    ids = set(wanted)
    ids |= introductions(passages, ids)
    return [passage for passage in readable(passages) if passage.id in ids]


def introductions(passages: Iterable[Passage], ids: Container[int]) -> set[int]:
    """The ids of what introduces the lists that these passages stand in: an item is read, and
    cited, with it.
    """
    found: set[int] = set()
    opened: deque[tuple[int, str]] = deque(maxlen=_OPEN)  # id and end, the latest first
    for passage in passages:
        if passage.kind == "heading":
            opened.clear()
        elif passage.stem and passage.id in ids:
            end = passage.stem[-_ENOUGH:]
            found.update([known for known, tail in opened if _ends_alike(tail, end)][:1])
        if passage.text.rstrip("*_ ").endswith(":"):
            opened.appendleft((passage.id, plain(passage.text)[-_ENOUGH:]))
    return found


def _ends_alike(one: str, other: str) -> bool:
    """A list's stem may be a part of what introduces it, or hold what introduces an outer list."""
    length = min(len(one), len(other))
    return one[len(one) - length :] == other[len(other) - length :]


def pack(passages: Iterable[Passage]) -> list[list[Passage]]:
    """Pack passages into calls; a call ends where a section does, if that leaves it half full."""
    chunks: list[list[Passage]] = []
    chunk: list[Passage] = []
    size = 0
    for passage in _in_parts(passages):
        if chunk and size + _size(passage) > MAX_CHARACTERS:
            at = _last_section_start(chunk, passage)
            chunks.append(chunk[:at])
            chunk = chunk[at:]
            size = sum(map(_size, chunk))
        chunk.append(passage)
        size += _size(passage)
    return [*chunks, chunk] if chunk else chunks


def _size(passage: Passage) -> int:
    return len(passage.text) + len(passage.stem) + len(passage.section)


def _last_section_start(chunk: list[Passage], following: Passage) -> int:
    if chunk[-1].section != following.section:
        return len(chunk)
    for at in range(len(chunk) - 1, 0, -1):
        if chunk[at].section != chunk[at - 1].section:
            half_full = sum(map(_size, chunk[:at])) >= MAX_CHARACTERS // 2
            return at if half_full else len(chunk)
    return len(chunk)


def _in_parts(passages: Iterable[Passage]) -> Iterable[Passage]:
    """A passage too long for one call becomes several with its id, cut between sentences."""
    for passage in passages:
        at = 0
        while len(passage.text) - at > MAX_CHARACTERS:
            end = _cut(passage.text, at, at + MAX_CHARACTERS)
            yield _part(passage, at, end)
            at = end
        yield _part(passage, at, len(passage.text)) if at else passage


def _cut(text: str, start: int, limit: int) -> int:
    middle = (start + limit) // 2
    for mark in (". ", ".\n", "\n", " "):
        at = text.rfind(mark, middle, limit)
        if at > 0:
            return at + len(mark)
    return limit


def _part(passage: Passage, start: int, end: int) -> Passage:
    at = passage.start
    return replace(passage, start=at + start, end=at + end, text=passage.text[start:end])


def as_data(passages: Iterable[Passage]) -> list[dict[str, Any]]:
    return [{"id": p.id, "section": p.section, "stem": p.stem, "text": p.text} for p in passages]


def part_of_summary(summary: dict[str, Any], ids: set[int]) -> dict[str, Any]:
    """The summary as one call of step 2 sees it: what it says about that call's passages."""
    about = [entry for entry in summary["statements"] if ids.intersection(entry["passages"])]
    return {**summary, "statements": about}
