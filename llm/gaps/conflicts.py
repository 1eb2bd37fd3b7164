"""Duties that cannot both hold: must and must not, and two numbers for one thing.

What looks like a conflict is none where headings say that two cases are meant, where one sentence
makes an exception, or where "the device" is another device in the other section.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import isinf

from llm.gaps.duties import MAX_WORDS, MUST, SHOULD, Bound, Duty, named_roles
from llm.gaps.findings import MAX_PLACES, Finding, Place, Severity, place
from llm.gaps.wording import for_language
from llm.meaning.words import content
from llm.statements import Statement

MAX_CANDIDATES = 60  # duties that one is compared with
MAX_MORE = 2  # words by which what is required may be narrower than what is forbidden
NEAR = 0.05  # 3 months are 90 days, more or less


def find_contradictions(source: str, duties: Sequence[Duty]) -> Iterator[Finding]:
    """For each prohibition, the duties and permissions that ask for what it forbids."""
    asked: dict[str, list[Duty]] = defaultdict(list)
    comparable = [duty for duty in duties if _is_comparable(duty) and len(duty.words) > 1]
    for duty in comparable:
        if not duty.is_negative:
            for word in duty.words:
                asked[word].append(duty)
    seen: set[tuple[frozenset[str], frozenset[str]]] = set()
    for duty in comparable:
        if duty.is_negative and duty.strength and (duty.words, duty.conditions) not in seen:
            rarest = min(duty.words, key=lambda word: len(asked.get(word, ())))
            near = asked.get(rarest, [])[:MAX_CANDIDATES]
            against = [other for other in near if _contradict(duty, other)]
            if against:
                seen.add((duty.words, duty.conditions))
                yield _contradiction(source, duty, against)


def _is_comparable(duty: Duty) -> bool:
    return not duty.is_exception and len(duty.words) <= MAX_WORDS


def _contradict(forbids: Duty, asks: Duty) -> bool:
    more = asks.words - forbids.words
    if not forbids.words <= asks.words or len(more) > MAX_MORE:
        return False
    if more and (not asks.strength or more & named_roles(asks) or asks.statement.language != "en"):
        return False  # "Visitors may not enter"; "Visitors of the ward may enter": an exception
    if forbids.conditions != asks.conditions or (forbids.is_frequent and not asks.is_frequent):
        return False
    if forbids.bounds and forbids.bounds != asks.bounds:
        return False
    return _same_case(forbids, asks)


def _contradiction(source: str, forbids: Duty, against: Sequence[Duty]) -> Finding:
    must_not = forbids.strength == MUST and any(duty.strength != SHOULD for duty in against)
    severity: Severity = "high" if must_not else "medium"
    verb = "allows" if all(not duty.strength for duty in against) else "asks for"
    return Finding(
        "contradiction",
        severity,
        f"One sentence forbids what another {verb}. Keep one of them, or say in which case each"
        " applies.",
        _places(source, [forbids, *against]),
    )


def find_number_conflicts(source: str, duties: Sequence[Duty]) -> Iterator[Finding]:
    """The same act with another number: all its places in one finding."""
    same: dict[tuple[object, ...], list[Duty]] = defaultdict(list)
    for duty in duties:
        if duty.bounds and duty.words and duty.strength and _is_comparable(duty):
            key = (duty.words, duty.conditions, duty.is_negative, tuple(sorted(duty.bounds)))
            same[key].append(duty)
    for alike in same.values():
        found = _differing(alike[:MAX_CANDIDATES])
        if found:
            yield _numbers(source, found)


def _differing(alike: Sequence[Duty]) -> list[Duty]:
    """Those of the duties whose numbers cannot stand beside another's."""
    found = [
        duty
        for duty in alike
        if any(_numbers_differ(duty, other) and _same_case(duty, other) for other in alike)
    ]
    return found if len({duty.statement.start for duty in found}) > 1 else []


def _numbers_differ(duty: Duty, other: Duty) -> bool:
    if duty.is_step and other.is_step and _may_be_steps(duty, other):
        return False
    differ = [d for d in duty.bounds if not _compatible(duty.bounds[d], other.bounds[d])]
    return len(differ) == 1


def _may_be_steps(duty: Duty, other: Duty) -> bool:
    """ "Wait 5 minutes", twice in one procedure."""
    same_section = duty.statement.section == other.statement.section
    return same_section or duty.points_back or len(duty.words) == 1


def _compatible(one: Bound, other: Bound) -> bool:
    """ "At least 8" and "at most 64" go together; "at least 8" and "at least 12" do not."""
    (kind, least, most), (other_kind, other_least, other_most) = one, other
    if kind != other_kind:
        return True
    if _near(least, other_least) and _near(most, other_most):
        return True
    if most < other_least or other_most < least:
        return False
    if isinf(least) or isinf(most) or isinf(other_least) or isinf(other_most):
        return least != other_least and most != other_most  # limits on two sides
    return least == most or other_least == other_most  # a value in a range


def _near(one: float, other: float) -> bool:
    if isinf(one) or isinf(other):
        return one == other
    return abs(one - other) <= NEAR * max(abs(one), abs(other))


def _numbers(source: str, found: Sequence[Duty]) -> Finding:
    severity: Severity = "high" if all(duty.strength == MUST for duty in found) else "medium"
    return Finding(
        "numbers",
        severity,
        "The same thing has different numbers. Keep one of them, or say in which case each"
        " applies.",
        _places(source, found),
    )


def _same_case(one: Duty, other: Duty) -> bool:
    """Is there nothing that tells two cases apart: headings, "this" or "the" other thing?"""
    first, second = one.statement, other.statement
    if first.text == second.text or first.language != second.language:
        return False
    if one.points_at or other.points_at:
        return False
    if (first.section, first.stem) == (second.section, second.stem):
        return True
    if one.points_back or other.points_back:
        return False
    return first.section == second.section or _same_topic(first, second)


def _same_topic(first: Statement, second: Statement) -> bool:
    """Headings of one kind ("Adult doses", "Infant doses") are about two cases."""
    scope = for_language(first.language).scope
    here, there = _own_titles(first.section, second.section)
    if scope.search(here) or scope.search(there):
        return False
    return not set(content(here)) & set(content(there))


def _own_titles(first: str, second: str) -> tuple[str, str]:
    """The headings that only one of two places stands under."""
    ours, theirs = first.split(" > "), second.split(" > ")
    same = 0
    while same < min(len(ours), len(theirs)) and ours[same] == theirs[same]:
        same += 1
    return " ".join(ours[same:]), " ".join(theirs[same:])


def _places(source: str, duties: Iterable[Duty]) -> tuple[Place, ...]:
    found = {duty.statement.start: duty.statement for duty in duties}
    ordered = [found[start] for start in sorted(found)]
    return tuple(place(source, s.start, s.end, s.section) for s in ordered[:MAX_PLACES])
