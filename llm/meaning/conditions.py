"""When it applies: no condition lost, turned round or made up."""

import re
from collections.abc import Iterator, Sequence

from llm.meaning.clauses import Clause, Part, kinds
from llm.meaning.evidence import Flag, Item, Source
from llm.meaning.quantities import TIMES, find_quantities
from llm.meaning.words import GENERIC, content, positive, share

CONDITION_KEPT = 0.51  # of a condition's words, by the other text
SAME_CONDITION = 0.5  # of the words of one of two conditions, by the other
KNOWN_CONDITION = 0.51  # of the words of an item's condition, by all that it cites


def conditions(item: Item, source: Source) -> Iterator[Flag]:
    taken = source.taken_up(item)
    yield from _lost_conditions(item, taken)
    yield from _new_conditions(item, source)
    yield from _lost_only(item, source, taken)
    yield from _lost_phrases(item, taken)


def _lost_conditions(item: Item, taken: Sequence[Clause]) -> Iterator[Flag]:
    mine = [(part, clause) for clause in item.parsed.clauses for part in clause.conditions]
    for clause in taken if any(clause.conditions for clause in taken) else ():
        for condition in clause.conditions_of(item.vocabulary):
            flag = _survives(condition, clause, mine, item)
            if flag:
                yield flag


def _survives(
    condition: Part, clause: Clause, mine: Sequence[tuple[Part, Clause]], item: Item
) -> Flag | None:
    lost = f"{condition.marker_words} {condition.text}".strip()
    if share(condition.stems, item.vocabulary) < CONDITION_KEPT:
        reworded = any(_is_reworded(part, whose, condition, clause) for part, whose in mine)
        return None if reworded else Flag("condition", lost, "")
    if _is_prefixed(condition, item):
        return None
    if not condition.stems:  # "as soon as it is needed"; "2 days after it was made"
        like = any(kinds(p, whose) & kinds(condition, clause) for p, whose in mine)
        return (
            None if like or not condition.text or clause.quantities else Flag("condition", lost, "")
        )
    candidates = [(part, whose) for part, whose in mine if _same_condition(part, condition)]
    if not candidates:  # said without a marker: "if hands are dirty", "dirty hands"
        weak = condition.marker in ("if", "when", "while", "once", "only")
        weak = weak or _counts_from(condition, clause)
        return None if weak else Flag("condition", lost, "")
    wanted = kinds(condition, clause)
    for part, whose in candidates:
        loose = part.marker == "field" and condition.marker not in _STRONG
        agrees = loose or wanted & kinds(part, whose)
        if agrees and part.is_negated == condition.is_negated:
            return None
    part = candidates[0][0]
    return Flag("condition", lost, f"{part.marker_words} {part.text}".strip())


def _is_reworded(part: Part, whose: Clause, condition: Part, clause: Clause) -> bool:
    """The same sort of condition, and one word at least in common."""
    agrees = part.marker == "field" or kinds(part, whose) & kinds(condition, clause)
    same = bool(agrees) and part.is_negated == condition.is_negated
    return same and any(map(part.vocabulary.holds, condition.stems))


def _counts_from(condition: Part, clause: Clause) -> bool:
    """ "72 hours after it was noticed", "72 hours of noticing it": where a time limit begins."""
    times = [q for q in clause.quantities if q.dimension in TIMES]
    at_end = times and not clause.text[times[-1].end :].strip()
    return condition.marker == "after" and bool(at_end)


def _is_prefixed(condition: Part, item: Item) -> bool:
    """ "24 months without activity", "24 months of inactivity"."""
    prefixed = {positive(word) for word in item.parsed.vocabulary.stems}
    return condition.marker_words.lower() == "without" and bool(prefixed & set(condition.stems))


def _same_condition(one: Part, other: Part) -> bool:
    if not one.stems or not other.stems:
        return False
    shares = share(one.stems, other.vocabulary), share(other.stems, one.vocabulary)
    return max(shares) >= SAME_CONDITION


def _new_conditions(item: Item, source: Source) -> Iterator[Flag]:
    theirs = [(part, clause) for clause in source.clauses for part in clause.conditions]
    for clause in item.parsed.clauses:
        for part in clause.conditions:
            found = f"{part.marker_words} {part.text}".strip()
            if any(_is_reworded(part, clause, *theirs_too) for theirs_too in theirs):
                continue
            if share(part.stems, source.vocabulary) < KNOWN_CONDITION:
                yield Flag("condition", "", found)
            elif part.marker in _TURNING and part.stems:
                like = [(p, whose) for p, whose in theirs if _same_condition(part, p)]
                known = like + [t for t in theirs if not t[0].stems and _may_be_same(part, t[0])]
                said = any(kinds(part, clause) & kinds(p, whose) for p, whose in known)
                if not said and (like or part.marker in ("unless", "even")):
                    yield Flag("condition", "", found)


def _may_be_same(one: Part, bare: Part) -> bool:
    """ "Until it is still" and "after 24 months" have no words of their own to compare."""
    times = bare.quantities
    return not times or any(mine.equals(q) for q in times for mine in one.quantities)


# "in an emergency", "for deep wounds", "with written consent": a condition without a marker.
_PHRASE = re.compile(
    r"\b(?:for|with|in|under|on|throughout)\b(?P<of>(?:\s[\w'-]{1,40}){1,7}?)"
    r"(?=\s(?:for|with|in|under|on|at|by|from|and|or|must|shall|should|may|is|are|of|to|within|has"
    r"|have|can)\b|[,.;:]|$)",
    re.IGNORECASE,
)


def _lost_phrases(item: Item, taken: Sequence[Clause]) -> Iterator[Flag]:
    """Of what the item takes up, a phrase of which it keeps no word at all."""
    for clause in taken:
        for segment in clause.spoken_of(item.vocabulary):
            for phrase in _PHRASE.finditer(segment.text):
                stems = [word for word in content(phrase["of"]) if word not in GENERIC]
                kept = any(map(item.vocabulary.holds, stems)) or find_quantities(phrase.group())
                if stems and not kept:
                    yield Flag("condition", phrase.group(), "")


_STRONG = ("unless", "until", "before", "even")
_TURNING = ("unless", "even", "before", "after", "until", "if", "when")


def _lost_only(item: Item, source: Source, taken: Sequence[Clause]) -> Iterator[Flag]:
    mine = item.parsed.clauses
    if any(c.says_only for c in taken) and not any("gate" in gates(c) for c in mine):
        yield Flag("condition", "only", "")
    gated = any("gate" in gates(c) for c in source.clauses) or "alone" in source.words
    if any(c.says_only for c in mine) and not gated:
        yield Flag("condition", "", "only")


def gates(clause: Clause) -> set[str]:
    found = {kind for part in clause.conditions for kind in kinds(part, clause)}
    return found | ({"gate"} if clause.says_only else set())
