"""A statement as what it comes down to: which act, how strongly, how often, how much.

Two duties with the same words are about the same act. Words that carry no meaning here, numbers
with their units, and who acts where it is everybody, are left out; "kept closed" is "kept open"
turned round.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from llm.gaps.wording import Wording, for_language
from llm.meaning.clauses import MODAL, Clause, parse
from llm.meaning.quantities import TIMES, Quantity, find_quantities, flipped
from llm.meaning.words import GENERIC, content, readable, roles, stem, words
from llm.passages import Passage
from llm.rules import FORBIDDING, LEVELS, Level
from llm.rules import for_language as rules_for
from llm.statements import Statement, inherits
from llm.verbs import is_imperative, leading_verb

MAX_TEXT = 1_200  # characters of a sentence; a longer one says too much to be compared
MAX_WORDS = 12  # of one act
_MONTH = 30.44 * 86_400.0  # seconds, on average

_NAME = re.compile(
    r"(?<!\w)(?:[A-Za-z]{1,8}-?\d{1,4}(?:\.\d{1,3})?|\d{1,6}(?:\.\d{1,3})*)(?![\w%])"
)
_EVERY = re.compile(r"\b(?:every|each|per)\s+$", re.IGNORECASE)
_STARTS_WITH_MODAL = re.compile(r"(?:must|shall|should|may)\b", re.IGNORECASE)
MUST, SHOULD, MAY = 2, 1, 0
# Comparing words that meaning/words.py leaves out, where they compare with no number.
_TELLING_WORDS = """
    higher lower earlier later older younger above below more less fewer off out without other
    another same
"""
_TELLING = frozenset(_TELLING_WORDS.split())
_QUOTED = re.compile(r"[\"“”«»„]")
_STRENGTH = {"must": MUST, "must_not": MUST, "should": SHOULD, "should_not": SHOULD, "may": MAY}

# (least, most), and "" or what kind of limit it is: "within 3 days" is no duration of 3 days.
Bound = tuple[str, float, float]


@dataclass(frozen=True)
class Duty:
    """One clause of a statement.

    words          stems of the act and its subject
    conditions     stems of all that it hangs on
    is_negative    is the act forbidden?
    strength       MUST, SHOULD or MAY
    bounds         by dimension; times are in seconds
    is_frequent    says how often, if only "periodically"
    is_exception   begins with "However", says "only", "except" or the like
    points_back    "The device": what it is about may stand in the text before
    points_at      "This device", "It": what it is about does stand there
    is_step        an order with an amount and no limit, as steps of a procedure have them
    """

    statement: Statement
    words: frozenset[str]
    conditions: frozenset[str]
    is_negative: bool
    strength: int
    bounds: dict[str, Bound]
    is_frequent: bool
    is_exception: bool
    points_back: bool
    points_at: bool
    is_step: bool = False


def find_duties(statements: Iterable[Statement], passages: Sequence[Passage]) -> list[Duty]:
    """Of all statements outside of tables: what a cell means hangs on its row and its column.

    The beginning of a list ("Staff must:") is none by itself.
    """
    kinds = {passage.id: passage.kind for passage in passages}
    return [
        duty
        for statement in statements
        if statement.actionable
        and len(statement.text) <= MAX_TEXT
        and not statement.text.endswith(":")
        and kinds.get(statement.passage_id) != "table_row"
        for duty in _duties(statement)
    ]


def _duties(statement: Statement) -> Iterator[Duty]:
    wording = for_language(statement.language)
    text = _whole(statement)
    if statement.language == "en":
        for clause in parse(text).clauses:
            if duty := _of_clause(statement, clause, text, wording):
                yield duty
    elif len(statement.levels) == 1:
        duty = _of_sentence(statement, text, wording)
        if duty:
            yield duty


def _whole(statement: Statement) -> str:
    """A list's item with the introduction that it completes."""
    text, introduction = readable(statement.text), readable(statement.stem).rstrip(" :")
    if not introduction or len(introduction) > MAX_TEXT:
        return text
    completes = inherits(statement.text, statement.stem, statement.language)
    if completes or (statement.language == "en" and _STARTS_WITH_MODAL.match(text)):
        return f"{introduction} {text}"
    return text


def _of_clause(statement: Statement, clause: Clause, text: str, wording: Wording) -> Duty | None:
    level = _level(statement, clause)
    if level is None:
        return None
    negative = clause.is_negated
    if level in FORBIDDING and not negative:
        return None  # "neither", "no person": it is turned round somewhere we do not see
    if negative and _QUOTED.search(clause.text):
        return None  # Answer "no".
    found = find_quantities(clause.text)
    bounds, negative = _bounds(found, negative=negative)
    act, turned = _act(clause.text, found, wording)
    own = [word for word in act if word not in GENERIC and word not in wording.light]
    if clause.inherited and not clause.own_subject:
        own += [w for w in content(clause.inherited) if w not in GENERIC | wording.light]
    return Duty(
        statement,
        frozenset(own),
        frozenset(s for part in clause.conditions for s in [*part.stems, *_names(part.text)]),
        negative != turned,
        _STRENGTH[level],
        bounds,
        _is_frequent(clause.text, found, wording),
        wording.says("exception", text) or bool(clause.says_only),
        bool(wording.back.match(_head(clause))),
        bool(wording.this.match(_head(clause))),
        _is_step(clause, found),
    )


def _level(statement: Statement, clause: Clause) -> Level | None:
    """The clause's own level; None where it asks nothing or says more than one thing."""
    verb = leading_verb(clause.text)
    order = verb is not None and is_imperative(clause.text, verb)
    if not order and not MODAL.search(clause.text):
        return None
    if len(statement.levels) == 1:
        return statement.levels[0]
    levels = rules_for("en").modal_levels(clause.text.lower()) & set(statement.levels)
    return next(level for level in LEVELS if level in levels) if len(levels) == 1 else None


def _of_sentence(statement: Statement, text: str, wording: Wording) -> Duty | None:
    """In languages whose clauses we cannot cut: the sentence as a whole."""
    known = wording.with_known_quantities(text)
    found = find_quantities(known)
    negative = statement.levels[0] in FORBIDDING
    bounds, negative = _bounds(found, negative=negative)
    act, turned = _turned(words(_without(known, found)), wording)
    own = [word for word in act if word not in wording.light and len(word) > 1]
    return Duty(
        statement,
        frozenset([*own, *_names(_without(known, found))]),
        frozenset(),
        negative != turned,
        _STRENGTH[statement.levels[0]],
        bounds,
        _is_frequent(known, found, wording),
        wording.says("exception", text),
        bool(wording.back.match(text)),
        bool(wording.this.match(text)),
    )


def _act(text: str, found: list[Quantity], wording: Wording) -> tuple[list[str], bool]:
    """The stems of a clause without its quantities, and whether opposites turned it round."""
    rest = _without(text, found)
    same, turned = _turned(words(rest), wording)
    telling = [] if any(map(_is_measure, found)) else _TELLING.intersection(same)
    return [*content(" ".join(same)), *_names(rest), *telling], turned


def _turned(said: list[str], wording: Wording) -> tuple[list[str], bool]:
    """ "Keep doors closed" is "keep doors open", turned round."""
    hits = [word for word in said if word in wording.opposites]
    if len(hits) != 1:
        return said, False
    return [wording.opposites.get(word, word) for word in said], True


def _names(text: str) -> list[str]:
    """ "AAL2", "Level 3", "form 17": these tell things apart as words do."""
    return [match.group().casefold() for match in _NAME.finditer(text)]


def _without(text: str, found: list[Quantity]) -> str:
    """The text without its measures; a bare number without a limit is a name and stays."""
    parts, at = [], 0
    for quantity in found:
        if _is_measure(quantity) and quantity.start >= at:
            parts.append(text[at : quantity.start])
            at = quantity.end
    return " ".join([*parts, text[at:]])


def _is_measure(quantity: Quantity) -> bool:
    return not quantity.is_soft and bool(quantity.dimension or quantity.comparison)


def _bounds(found: list[Quantity], *, negative: bool) -> tuple[dict[str, Bound], bool]:
    """By dimension; and whether the clause still forbids, its limits read.

    "Must not be longer than 90 days" is a limit like "at most 90 days", no prohibition. Where one
    dimension has two limits, nobody knows which is which: then there are none.
    """
    measures = [quantity for quantity in found if _is_measure(quantity)]
    turn = negative and [q.comparison for q in measures] in (["gt"], ["lt"])
    limits_of: dict[str, list[Bound]] = {}
    for quantity in measures:
        dimension, value = _in_seconds(quantity)
        comparison = flipped(quantity.comparison) if turn else quantity.comparison
        limits_of.setdefault(dimension, []).append(_bound(comparison, value))
    if not all(len(limits) == 1 or _is_range(limits) for limits in limits_of.values()):
        return {}, negative
    bounds: dict[str, Bound] = {
        dimension: limits[0] if len(limits) == 1 else ("", limits[0][1], limits[1][2])
        for dimension, limits in limits_of.items()
    }
    return bounds, negative and not turn


def _is_range(bounds: list[Bound]) -> bool:
    return [kind for kind, _, _ in bounds] == ["range", "range"]


def _in_seconds(quantity: Quantity) -> tuple[str, float]:
    if quantity.dimension == "months":
        return "time", quantity.value * _MONTH
    return quantity.dimension, quantity.value


def _bound(comparison: str, value: float) -> Bound:
    if comparison in ("ge", "gt"):
        return "", value, float("inf")
    if comparison in ("le", "lt"):
        return "", float("-inf"), value
    return comparison, value, value


def _is_frequent(text: str, found: list[Quantity], wording: Wording) -> bool:
    """ "Daily", "every 90 days", "periodically"."""
    times = [q for q in found if q.dimension in TIMES]
    every = any(_EVERY.search(text[max(0, q.start - 20) : q.start]) for q in times)
    rate = any(not q.words[:1].isdigit() for q in times)
    return every or rate or bool(wording.vague["often"].search(text))


def _head(clause: Clause) -> str:
    """What the clause is about: its subject, or the object where somebody is told what to do."""
    subject = clause.subject
    if subject and not (roles(subject) or set(content(subject)) <= GENERIC):
        return subject
    verb = leading_verb(clause.text)
    if verb and not subject:
        return clause.text[verb.end :]
    modal = MODAL.search(clause.text)
    return clause.text[modal.end() :].strip().partition(" ")[2] if modal else clause.text


def _is_step(clause: Clause, found: list[Quantity]) -> bool:
    verb = leading_verb(clause.text)
    return verb is not None and all(q.comparison in ("", "range") for q in found)


def named_roles(duty: Duty) -> frozenset[str]:
    """Stems of the roles that its sentence names."""
    return frozenset(map(stem, roles(duty.statement.text)))
