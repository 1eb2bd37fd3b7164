"""Duties that nobody has: "must be reviewed", and nothing near says by whom."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from llm.gaps.findings import MAX_PLACES, Finding, place
from llm.gaps.wording import Wording, for_language
from llm.meaning.words import readable, roles
from llm.passages import Passage
from llm.statements import Statement, find_language

MAX_TEXT = 2_000  # characters of a sentence that are looked at
_WORD = re.compile(r"[^\W\d_]+")


def find_missing_actors(
    source: str, statements: Sequence[Statement], passages: Sequence[Passage], audience: str
) -> Iterator[Finding]:
    """One finding for each section, unless the document says whom it is for.

    audience   of the document, as its summary has it; "" where it does not say
    """
    wording = for_language(find_language(passages))
    if audience.strip() or _says_for_whom(passages, wording):
        return
    beside = _named_sections(passages, wording)
    orphans: dict[str, list[Statement]] = defaultdict(list)
    for statement in statements:
        if statement.section not in beside and _is_orphan(statement):
            orphans[statement.section].append(statement)
    for section, found in orphans.items():
        yield _finding(source, section, found)


def _finding(source: str, section: str, found: Sequence[Statement]) -> Finding:
    duties = f"{len(found)} duties name" if len(found) > 1 else "A duty names"
    where = f" in “{section.rpartition(' > ')[2]}”" if section else ""
    return Finding(
        "actor",
        "low",
        f"{duties} nobody who carries it out{where}. Say who does it.",
        tuple(place(source, s.start, s.end, section) for s in found[:MAX_PLACES]),
    )


def _is_orphan(statement: Statement) -> bool:
    if not statement.actionable or statement.levels[0] != "must":
        return False
    wording = for_language(statement.language)
    text = readable(statement.text)[:MAX_TEXT]
    passive = wording.text["passive"].search(text)
    if passive is None or wording.says("agent", text[passive.start() :]):
        return False
    return not _names_somebody(f"{text} {statement.stem} {statement.section}", wording)


def _names_somebody(text: str, wording: Wording) -> bool:
    said = {word.casefold() for word in _WORD.findall(text)}
    return bool(said & wording.who) or bool(roles(text))


def _named_sections(passages: Sequence[Passage], wording: Wording) -> set[str]:
    """Sections that name somebody anywhere: a reader takes it to be them."""
    return {
        passage.section
        for passage in passages
        if passage.kind != "code" and _names_somebody(passage.text, wording)
    }


def _says_for_whom(passages: Sequence[Passage], wording: Wording) -> bool:
    """ "This policy applies to all employees", in whatever section."""
    return any(
        wording.says("audience", passage.text[:MAX_TEXT])
        and _names_somebody(passage.text[:MAX_TEXT], wording)
        for passage in passages
        if passage.kind in ("paragraph", "list_item")
    )
