"""Is what is forbidden still forbidden, and what is asked still asked?"""

import re
from collections.abc import Iterable, Iterator

from llm.casing import caseless
from llm.meaning.clauses import Clause, Part, negators
from llm.meaning.conditions import gates
from llm.meaning.evidence import Flag, Item, Source
from llm.meaning.quantities import Quantity, flipped
from llm.meaning.words import stem
from llm.rules import FORBIDDING


def negation(item: Item, source: Source) -> Iterator[Flag]:
    for clause in item.parsed.clauses:
        best = source.best_for(clause)
        if best is None or not clause.text or _turns_a_comparison(clause, item, source):
            continue
        if clause.negators and _count(clause) == _count(best) > 1:
            continue  # "not in anyone who is not ...", of which a half stands in the condition
        turned = _is_turned(clause, best) != _is_turned(best, clause)
        if turned != _has_antonym(clause, best) and not _gates_agree(clause, best):
            lost, found = best.negators, clause.negators
            yield Flag(
                "negation", lost[0] if lost else best.text, found[0] if found else clause.text
            )
    yield from _turned_conditions(item, source)
    yield from _lost_prefix(item, source)
    prohibits = item.level in FORBIDDING
    if prohibits and not any(clause.negators for clause in item.parsed.clauses):
        yield Flag("negation", item.level.replace("_", " "), item.action)


def _count(clause: Clause) -> int:
    return len(clause.negators) + sum(len(p.negators) for p in clause.conditions)


def _turned_conditions(item: Item, source: Source) -> Iterator[Flag]:
    """ "If it is not needed", where nothing cited says "not", "unless", "without" or "un-"."""
    conditions = (part for clause in item.parsed.clauses for part in clause.conditions)
    part = next((part for part in conditions if part.is_negated), None)
    if part and not (negators(source.text) or _NEGATES.search(source.text)):
        yield Flag("negation", "", f"{part.marker_words} {part.text}".strip())


_NEGATES = re.compile(r"\b(?:unless|without|except|only|until|un\w{4}|in\w{5}|lack)", re.IGNORECASE)


def _is_turned(clause: Clause, other: Clause) -> bool:
    """Negated, where "not used" against "unused" does not count."""
    if "not " not in caseless(clause.text):
        return clause.is_negated
    others = set(other.words)
    text = _NOT_WORD.sub(
        lambda m: "" if f"un{m[1].casefold()}" in others else m.group(), clause.text
    )
    return len(negators(text)) % 2 == 1


_NOT_WORD = re.compile(r"\bnot (\w{1,30})", re.IGNORECASE)
_ANTONYMS = [
    (frozenset(map(stem, one.split())), frozenset(map(stem, other.split())))
    for one, other in (
        ("accept", "reject refuse decline deny"),
        ("allow permit", "block deny"),
        ("enable activate", "disable deactivate"),
        ("lock", "unlock"),
        ("include", "exclude omit"),
        ("open", "close shut"),
        ("increase raise", "decrease reduce lower"),
        ("start begin", "stop end cease"),
        ("connect attach", "disconnect detach unplug"),
        ("grant", "revoke deny"),
        ("keep retain", "delete discard destroy"),
        ("wear", "remove"),
        ("encrypt", "decrypt"),
        ("approve", "reject"),
        ("install", "uninstall"),
    )
]
_OPPOSED = frozenset(word for one, other in _ANTONYMS for word in one | other)


def _has_antonym(mine: Clause, theirs: Clause) -> bool:
    """ "Keep closed" and "do not open": the opposite word, which undoes a negation."""
    new = (mine.does.stems & _OPPOSED) - theirs.words_with_conditions.stems
    gone = (theirs.does.stems & _OPPOSED) - mine.words_with_conditions.stems
    return bool(new and gone) and any(
        (one & new and other & gone) or (other & new and one & gone) for one, other in _ANTONYMS
    )


def _lost_prefix(item: Item, source: Source) -> Iterator[Flag]:
    """ "unused" that became "used"."""
    mine = item.parsed.words
    for clause in source.taken_up(item):
        for word in clause.words if "un" in caseless(clause.text) else ():
            base = word.removeprefix("un")
            plain = base != word and base in mine and word not in mine
            if plain and f"not {base}" not in item.parsed.text.casefold():
                yield Flag("negation", word, base)


def _turns_a_comparison(clause: Clause, item: Item, source: Source) -> bool:
    """ "must not exceed 4 g" and "give at most 4 g": one negation, one other comparison."""
    for mine in _inside(item.parsed.quantities, clause):
        for theirs in source.quantities:
            if mine.equals(theirs) and mine.comparison and mine.comparison != theirs.comparison:
                return flipped(mine.comparison) == theirs.comparison
    return False


def _inside(quantities: Iterable[Quantity], part: Part) -> Iterator[Quantity]:
    return (q for q in quantities if part.start <= q.start <= part.start + len(part.text))


def _gates_agree(mine: Clause, theirs: Clause) -> bool:
    """ "Enter only with a badge", "do not enter without one": negated once, and the same."""
    return mine.says_only != theirs.says_only and "gate" in gates(mine) & gates(theirs)
