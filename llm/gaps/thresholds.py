"""Duties that hang on a threshold nobody has set: "regularly", "in good time", "sufficient"."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from llm.gaps.findings import MAX_PLACES, Finding, Place, Severity, place
from llm.gaps.wording import Wording, for_language
from llm.meaning.clauses import parse
from llm.meaning.quantities import TIMES, Quantity, find_quantities
from llm.meaning.words import readable
from llm.passages import Passage
from llm.rules import BINDING, FORBIDDING, Language
from llm.statements import Statement

MAX_TEXT = 4_000  # characters of a sentence that are looked at
_PURPOSE = re.compile(r"\W*(?:In order )?to\b[^,]{1,200},", re.IGNORECASE)
_OPEN = {
    "often": ("how often", "an interval, such as “every 6 months”"),
    "when": ("by when", "a time, such as “within 2 working days”"),
    "much": ("how much", "a number, or what it is measured by"),
}


def find_vague(
    source: str, statements: Sequence[Statement], passages: Sequence[Passage]
) -> Iterator[Finding]:
    """One finding for each vague word, with the duties that hang on it.

    A duty that says the number as well, in this sentence or in the next one of its passage, or says
    where it is defined, is not vague.
    """
    places: dict[tuple[str, str], list[Place]] = defaultdict(list)
    is_binding: set[tuple[str, str]] = set()
    rows = {passage.id for passage in passages if passage.kind == "table_row"}
    for number, statement in enumerate(statements):
        if not statement.actionable or statement.levels == ("may",):
            continue
        following = statements[number + 1] if number + 1 < len(statements) else None
        more = _text(following) if _goes_on(statement, following, rows) else ""
        for word, opened in _vague_words(statement, more):
            key = (word, opened)
            if statement.levels[0] in BINDING:
                is_binding.add(key)
            places[key].append(place(source, statement.start, statement.end, statement.section))
    for key, found in places.items():
        severity: Severity = "medium" if key in is_binding else "low"
        yield _finding(*key, severity, found)


def _text(statement: Statement | None) -> str:
    return readable(statement.text)[:MAX_TEXT] if statement else ""


def _goes_on(statement: Statement, following: Statement | None, rows: set[int]) -> bool:
    return (
        following is not None
        and following.passage_id == statement.passage_id
        and statement.passage_id not in rows
    )


def _vague_words(statement: Statement, more: str) -> Iterator[tuple[str, str]]:
    language = statement.language
    wording, text = for_language(language), _text(statement)
    for opened, pattern in wording.vague.items():
        if opened != "much" and statement.levels[0] in FORBIDDING:
            continue  # "need not be changed periodically"
        found = pattern.finditer(text)
        match = next((m for m in found if not _in_condition(text, m.start(), language)), None)
        if match and not _is_settled(text, match.start(), match.end(), more, opened, wording):
            yield " ".join(match.group().lower().split()), opened


def _in_condition(text: str, at: int, language: Language) -> bool:
    """ "If it fails frequently, call the engineer", "To stop it quickly, pull the plug"."""
    if language != "en":
        return False
    purpose = _PURPOSE.match(text)
    if purpose and at < purpose.end():
        return True
    conditions = (part for clause in parse(text).clauses for part in clause.conditions)
    return any(part.start <= at < part.start + len(part.text) for part in conditions)


def _is_settled(text: str, start: int, end: int, more: str, opened: str, wording: Wording) -> bool:
    """Does the sentence, or the next one, say what the word leaves open?"""
    if wording.says("settled", text[max(0, start - 60) :]):
        return True
    quantities = _quantities(f"{text} {more}", wording)
    if opened == "much":
        near = _quantities(text[max(0, start - 80) : end + 80], wording)
        return any(q.dimension or q.comparison for q in near)
    return any(q.dimension in TIMES for q in quantities)


def _quantities(text: str, wording: Wording) -> list[Quantity]:
    found = find_quantities(wording.with_known_quantities(text))
    return [quantity for quantity in found if not quantity.is_soft]


def _finding(word: str, opened: str, severity: Severity, places: list[Place]) -> Finding:
    what, instead = _OPEN[opened]
    depends = "A duty depends" if len(places) == 1 else f"{len(places)} duties depend"
    message = f"{depends} on “{word}”, which leaves open {what}. Give {instead}."
    return Finding("vague", severity, message, tuple(places[:MAX_PLACES]))
