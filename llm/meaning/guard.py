"""What of a cited sentence did not survive in the item made from it? Decided without a model.

A guideline's sentence is often two requirements, and an item takes up one. So each clause of the
item is held against the clause of the source it resembles most; only numbers, units and names of
roles are compared with all that is cited, since nothing may bring in a new one.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from llm.meaning.clauses import MODAL, Clause, Parsed, Part, kinds, negators, parse
from llm.meaning.quantities import Quantity, find_quantities, flipped, ordinals
from llm.meaning.words import GENERIC, Vocabulary, content, readable, roles, share, stem, words
from llm.rules import Level
from llm.statements import opens_list

FlagKind = Literal[
    "number",
    "unit",
    "comparison",
    "negation",
    "modal",
    "condition",
    "actor",
    "citation",
    "invented",
]
FLAG_KINDS: tuple[FlagKind, ...] = (
    "number",
    "unit",
    "comparison",
    "negation",
    "modal",
    "condition",
    "actor",
    "citation",
    "invented",
)

# Shares of content words, tuned on two thirds of tests/grounding/pairs.txt.
MIN_SUPPORT = 0.4  # of a clause of the item, by what is cited; below it is invented
MIN_SUPPORT_ADDED = 0.51  # the same for the second clause of an item, and those after it
MIN_TOPIC = 0.3  # of a whole item, by any one sentence cited; below it is about something else
MAX_RUN = 3  # content words in a row that nothing cited holds
TAKEN_UP = 0.6  # of a clause of the source, by the item; from here on the item speaks of it
CONDITION_KEPT = 0.51  # of a condition's words, by the other text
SAME_CONDITION = 0.5  # of the words of one of two conditions, by the other
MAX_ITEM = 60  # clauses, conditions and numbers of one item; a longer one is no thing to do
MAX_SOURCE = 1_000  # clauses and numbers of all that one item cites
MAX_AROUND = 40  # characters beside a number that tell what it is the number of
MAX_EXCHANGED = 20  # numbers of one item that are looked at in pairs
MAX_WORDS = 160  # characters of a flag's `lost` and `found`


@dataclass(frozen=True)
class Flag:
    """lost: the source's words; found: the item's, "" where it has none."""

    kind: FlagKind
    lost: str
    found: str

    def as_dict(self) -> dict[str, str]:
        return {"kind": self.kind, "lost": self.lost[:MAX_WORDS], "found": self.found[:MAX_WORDS]}


@dataclass(frozen=True)
class Cited:
    """One cited sentence, as found in the source, and what it cannot be understood without.

    levels    of the sentence, its list's introduction included; () where it asks nothing
    stem      what introduces the list it stands in; the column heads of a table
    section   the headings above it
    """

    text: str
    levels: tuple[Level, ...] = ()
    stem: str = ""
    section: str = ""

    @cached_property
    def parsed(self) -> Parsed:
        text = readable(self.text)
        stem = readable(self.stem)
        if stem and " | " not in stem and stem not in text:
            joint = " " if opens_list(stem) else " . "
            text = f"{stem.rstrip(': ')}{joint}{text}"
        return parse(text)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(content(f"{self.parsed.text} {readable(self.stem)} {self.section}"))


@dataclass(frozen=True)
class Context:
    """Who may be meant where a sentence names nobody: the audience, the rest of the section."""

    audience: str = ""
    nearby: str = ""

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(content(readable(f"{self.audience} . {self.nearby}")))


NO_CONTEXT = Context()


@dataclass(frozen=True)
class Item:
    """The parts of an item that carry meaning."""

    action: str
    actor: str
    level: str
    condition: str
    parsed: Parsed = field(init=False)

    def __post_init__(self) -> None:
        action, condition = readable(self.action), readable(self.condition)
        parsed = parse(action)
        extra = _conditions_of(f"{' ' * len(action)}   {condition}")  # offsets in the joint text
        for clause in parsed.clauses:
            clause.conditions.extend(extra)
        object.__setattr__(
            self,
            "parsed",
            Parsed(f"{action} . {condition}" if condition else action, parsed.clauses),
        )


def _conditions_of(text: str) -> list[Part]:
    """A condition field holds conditions whether or not it says "if"."""
    found: list[Part] = []
    for clause in parse(text).clauses:
        if clause.text:
            found.append(Part(clause.text, clause.start, "field"))
        found.extend(part for part in clause.conditions if part not in found)
    return found


def check(
    action: str,
    actor: str,
    level: str,
    condition: str,
    cited: Sequence[Cited],
    context: Context = NO_CONTEXT,
) -> list[Flag]:
    """All that did not survive, worst first; [] for a faithful item, or where nothing is cited."""
    if not cited:
        return []
    item = Item(action, actor, level, condition)
    source = _Source(list(dict.fromkeys(cited)))
    if _is_too_long(item.parsed, MAX_ITEM):
        return [Flag("invented", "", action)]
    if sum(len(c.parsed.clauses) + len(c.parsed.quantities) for c in source.cited) > MAX_SOURCE:
        return [Flag("citation", source.text, action)]
    found = [
        *_about_something_else(item, source),
        *_numbers(item, source),
        *_negation(item, source),
        *_modal(item, source),
        *_conditions(item, source),
        *_actor(item, source, context),
        *_invented(item, source),
    ]
    return list(dict.fromkeys(found))


def _is_too_long(parsed: Parsed, most: int) -> bool:
    conditions = {id(part) for clause in parsed.clauses for part in clause.conditions}
    return len(parsed.clauses) + len(conditions) + len(parsed.quantities) > most


class _Source:
    """All that an item cites, seen together."""

    def __init__(self, cited: Sequence[Cited]) -> None:
        self.cited = cited
        self.clauses = [clause for c in cited for clause in c.parsed.clauses]
        self.quantities = [q for c in cited for q in c.parsed.quantities]
        self.vocabulary = Vocabulary(stem for c in cited for stem in c.vocabulary.stems)
        self.text = " . ".join(c.parsed.text for c in cited)

    def best_for(self, clause: Part) -> Clause | None:
        """The clause that shares most words; the earlier one where two share as many."""
        best, most = None, 0.0
        for candidate in self.clauses:
            if candidate.text == clause.text:
                return candidate
            shared = _resemblance(clause.stems, candidate)
            if shared > most:
                best, most = candidate, shared
        return best

    def taken_up(self, item: Item) -> list[Clause]:
        """The clauses that the item speaks of."""
        best = [found for clause in item.parsed.clauses if (found := self.best_for(clause))]
        chosen = {id(clause) for clause in best}
        return [
            clause
            for clause in self.clauses
            if id(clause) in chosen
            or (
                len(clause.predicate) > 1
                and share(clause.predicate, item.parsed.vocabulary) >= TAKEN_UP
            )
        ]


def _resemblance(stems: Sequence[str], clause: Clause) -> float:
    """What is done counts more than who does it: the clauses of a sentence share their subject."""
    everything, wanted = clause.words_with_conditions, set(stems)
    held = sum(map(everything.holds, wanted)) + sum(map(everything.says, wanted))
    done = sum(map(clause.does.holds, wanted)) + sum(map(clause.does.says, wanted))
    return (held + 2 * done) / (4 + len(clause.stems)) if held else 0.0


# What the item is about


def _about_something_else(item: Item, source: _Source) -> Iterator[Flag]:
    """A citation must share the item's subject; the introduction of a cited list need not."""
    stems = content(item.parsed.text)
    if not stems:
        return
    shares = [share(stems, cited.vocabulary) for cited in source.cited]
    for cited, held in zip(source.cited, shares, strict=True):
        others = [c for c in source.cited if c is not cited]
        introduces = any(readable(cited.text) in readable(c.stem) for c in others if c.stem)
        if not introduces and held < (MIN_TOPIC if held == max(shares) else MIN_TOPIC / 2):
            yield Flag("citation", cited.parsed.text, item.action)


def _invented(item: Item, source: _Source) -> Iterator[Flag]:
    for number, clause in enumerate(item.parsed.clauses):
        stems = [stem for stem in clause.stems if stem not in GENERIC]
        wanted = MIN_SUPPORT_ADDED if number else MIN_SUPPORT
        lacking = bool(stems) and share(stems, source.vocabulary) < wanted
        if lacking or _longest_run(stems, source.vocabulary) >= MAX_RUN:
            yield Flag("invented", "", clause.text)


def _longest_run(stems: Iterable[str], vocabulary: Vocabulary) -> int:
    longest = run = 0
    for word in stems:
        run = 0 if vocabulary.holds(word) else run + 1
        longest = max(longest, run)
    return longest


# Numbers, units, comparisons


def _numbers(item: Item, source: _Source) -> Iterator[Flag]:
    found = [*item.parsed.quantities, *find_quantities(readable(item.actor))]
    for quantity in item.parsed.quantities:
        is_new = quantity.raw not in {q.raw for q in source.quantities}
        if not quantity.is_soft or (quantity.words[:1].isdigit() and is_new):
            yield from _number(quantity, item, source)
    taken = source.taken_up(item)
    for quantity in (q for c in source.cited for q in _quantities_of(c, taken)):
        lost = not any(quantity.equals(q) or quantity.raw == q.raw for q in found)
        if not quantity.is_soft and lost:
            yield Flag("number", quantity.words, "")
    yield from _exchanged(item, source)
    known = ordinals(source.text)
    for ordinal in sorted(ordinals(item.parsed.text) - known):
        yield Flag("number", ", ".join(sorted(known)), ordinal)


def _exchanged(item: Item, source: _Source) -> Iterator[Flag]:
    """Two numbers of the source that changed places: each stands among the other's words."""
    found = [q for q in item.parsed.quantities if not q.is_soft][:MAX_EXCHANGED]
    for at, one in enumerate(found):
        for other in found[at + 1 :]:
            places = _place_of(one, source), _place_of(other, source)
            if one.equals(other) or one.dimension != other.dimension or None in places:
                continue
            mine = _around(item.parsed.text, one), _around(item.parsed.text, other)
            straight = len(mine[0] & (places[0] or set())) + len(mine[1] & (places[1] or set()))
            crossed = len(mine[0] & (places[1] or set())) + len(mine[1] & (places[0] or set()))
            if crossed > straight:
                yield Flag("number", f"{other.words} ... {one.words}", one.words)


def _place_of(quantity: Quantity, source: _Source) -> set[str] | None:
    """The words around it in the source, if it stands there once."""
    places = [(c, q) for c in source.cited for q in c.parsed.quantities if quantity.equals(q)]
    if len(places) != 1:
        return None
    cited, found = places[0]
    return _around(cited.parsed.text, found)


def _around(text: str, quantity: Quantity) -> set[str]:
    before = words(text[max(0, quantity.start - MAX_AROUND) : quantity.start])[-3:]
    after = words(text[quantity.end : quantity.end + MAX_AROUND])[:3]
    return {f"-{word}" for word in before} | {f"+{word}" for word in after}


def _quantities_of(cited: Cited, taken: Sequence[Clause]) -> Iterator[Quantity]:
    """Those that stand in a clause taken up, or in a condition of one."""
    spans = [
        (part.start, part.start + len(part.text) + len(part.marker_words) + 2)
        for clause in taken
        if clause in cited.parsed.clauses
        for part in (clause, *clause.conditions)
    ]
    for quantity in cited.parsed.quantities:
        if any(start <= quantity.start < end for start, end in spans):
            yield quantity


def _number(quantity: Quantity, item: Item, source: _Source) -> Iterator[Flag]:
    same = [q for q in source.quantities if quantity.equals(q)]
    if same:
        yield from _comparison(quantity, same, item, source)
        return
    like = [q for q in source.quantities if q.raw == quantity.raw]
    if not like:
        close = [q for q in source.quantities if q.dimension == quantity.dimension]
        yield Flag("number", close[0].words if close else "", quantity.words)
    elif not _unit_is_said_elsewhere(quantity, like, item, source):
        yield Flag("unit", like[0].words, quantity.words)
    else:
        yield from _comparison(quantity, like, item, source)


def _unit_is_said_elsewhere(
    quantity: Quantity, like: Sequence[Quantity], item: Item, source: _Source
) -> bool:
    """ "8 or more characters", "characters: 8": one of the two has its unit further away."""
    if quantity.dimension and all(q.dimension for q in like):
        return False
    if quantity.dimension:
        if quantity.words.endswith(("year", "years")) and _AGE.search(source.text):
            return True
        return _units_in(quantity) <= set(words(source.text))
    return bool(_units_in(like[0])) and _units_in(like[0]) <= set(words(item.parsed.text))


def _units_in(quantity: Quantity) -> set[str]:
    return set(words(quantity.words)[-1:])


_AGE = re.compile(r"\b(?:aged?|older|younger|under|over)\b", re.IGNORECASE)


def _comparison(
    quantity: Quantity, same: Sequence[Quantity], item: Item, source: _Source
) -> Iterator[Flag]:
    negated = _negated_at(item.parsed, quantity)
    for other in same:
        turned = negated != any(
            _negated_at(c.parsed, other) for c in source.cited if other in c.parsed.quantities
        )
        wanted = flipped(other.comparison) if turned else other.comparison
        if quantity.comparison in (wanted, other.comparison) and (
            quantity.comparison == wanted or not turned or not other.comparison
        ):
            return
        if {quantity.comparison, wanted} in ({"", "after"}, {"by", "le"}, {"", "range"}):
            return
    yield Flag("comparison", _with_words_before(same[0], source.text), quantity.words)


def _negated_at(parsed: Parsed, quantity: Quantity) -> bool:
    """Is the clause negated in which this number, or the condition with this number, stands?"""
    for clause in parsed.clauses:
        for part in (clause, *clause.conditions):
            if part.start <= quantity.start <= part.start + len(part.text) + 1:
                return part.is_negated
    return False


def _with_words_before(quantity: Quantity, text: str) -> str:
    at = text.find(quantity.words)
    return (
        text[max(0, at - 20) : at].partition(" ")[2] + quantity.words if at > 0 else quantity.words
    )


# Negation


def _negation(item: Item, source: _Source) -> Iterator[Flag]:
    for clause in item.parsed.clauses:
        best = source.best_for(clause)
        if best is None or not clause.text or _turns_a_comparison(clause, best, item, source):
            continue
        turned = _is_turned(clause, best) != _is_turned(best, clause)
        if turned != _has_antonym(clause, best) and not _gates_agree(clause, best):
            lost, found = negators(best.text), negators(clause.text)
            yield Flag(
                "negation", lost[0] if lost else best.text, found[0] if found else clause.text
            )
    yield from _lost_prefix(item, source)
    prohibits = item.level in ("must_not", "should_not")
    if prohibits and not any(negators(clause.text) for clause in item.parsed.clauses):
        yield Flag("negation", item.level.replace("_", " "), item.action)


def _is_turned(clause: Clause, other: Clause) -> bool:
    """Negated, where "not used" against "unused" does not count."""
    others = set(words(other.text))
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


def _has_antonym(mine: Clause, theirs: Clause) -> bool:
    """ "Keep closed" and "do not open": the opposite word, which undoes a negation."""
    new = mine.does.stems - theirs.words_with_conditions.stems
    gone = theirs.does.stems - mine.words_with_conditions.stems
    return any(
        (one & new and other & gone) or (other & new and one & gone) for one, other in _ANTONYMS
    )


def _lost_prefix(item: Item, source: _Source) -> Iterator[Flag]:
    """ "unused" that became "used"."""
    mine = words(item.parsed.text)
    for clause in source.taken_up(item):
        for word in words(clause.text):
            base = word.removeprefix("un")
            plain = base != word and base in mine and word not in mine
            if plain and f"not {base}" not in item.parsed.text.casefold():
                yield Flag("negation", word, base)


def _turns_a_comparison(clause: Clause, best: Clause, item: Item, source: _Source) -> bool:
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
    return mine.says_only != theirs.says_only and "gate" in _gates(mine) & _gates(theirs)


def _gates(clause: Clause) -> set[str]:
    found = {kind for part in clause.conditions for kind in kinds(part, clause)}
    return found | ({"gate"} if clause.says_only else set())


# Strength

_MODAL_WORDS: dict[str, str] = {
    "must": r"must|shall|required?|mandatory|obliged|ha(?:s|ve) to|needs? to",
    "should": r"should|ought|recommended|advised|advisable|discouraged",
    "may": r"may|can|optional(?:ly)?|allowed|permitted|if (?:you|they) (?:like|wish)",
}
_MODAL = re.compile(
    r"\b(?:" + "|".join(f"(?P<{name}>{found})" for name, found in _MODAL_WORDS.items()) + r")\b",
    re.IGNORECASE,
)


def _modal(item: Item, source: _Source) -> Iterator[Flag]:
    allowed = _levels(item, source)
    if not allowed and not any(_DESCRIBES.match(c.parsed.text) for c in source.cited):
        allowed = {"must", "must_not"}  # an order with a verb that we do not know
    if item.level not in allowed:
        said = ", ".join(sorted(allowed)).replace("_", " ")
        yield Flag("modal", said, item.level.replace("_", " "))
    strength = item.level.removesuffix("_not")
    for clause in item.parsed.clauses:
        match = _MODAL.search(clause.text)
        if match and match.lastgroup != strength and not _says(match, item, source):
            yield Flag("modal", item.level.replace("_", " "), match.group())


def _says(match: re.Match[str], item: Item, source: _Source) -> bool:
    """Is the word the source's own, as where an item keeps a whole sentence of two strengths?"""
    return any(match.group().casefold() in words(c.text) for c in source.taken_up(item))


def _levels(item: Item, source: _Source) -> set[str]:
    """Of the sentences cited; of the one clause, where a sentence has several levels."""
    levels: set[str] = {level for cited in source.cited for level in cited.levels}
    own = {level for clause in source.taken_up(item) if (level := _own_level(clause))}
    return (own & levels) or (own | levels)


def _own_level(clause: Clause) -> str:
    match = _MODAL.search(clause.text)
    if match is None or match.lastgroup is None:
        return ""
    if not clause.is_negated:
        return match.lastgroup
    return "should_not" if match.lastgroup == "should" else "must_not"


_DESCRIBES = re.compile(
    r"\W*(?:the|a|an|this|these|those|that|it|they|we|our|its|there|most|many|some)\b"
    r"|[^,;.]{0,80}\b(?:is|are|was|were|has|had|will|did)\b|.{0,400}\?\s*$",
    re.IGNORECASE,
)


# Conditions


def _conditions(item: Item, source: _Source) -> Iterator[Flag]:
    taken = source.taken_up(item)
    yield from _lost_conditions(item, taken)
    yield from _new_conditions(item, source)
    yield from _lost_only(item, source, taken)


def _lost_conditions(item: Item, taken: Sequence[Clause]) -> Iterator[Flag]:
    mine = [(part, clause) for clause in item.parsed.clauses for part in clause.conditions]
    for clause in taken:
        for condition in clause.conditions:
            flag = _survives(condition, clause, mine, item)
            if flag:
                yield flag


def _survives(
    condition: Part, clause: Clause, mine: Sequence[tuple[Part, Clause]], item: Item
) -> Flag | None:
    lost = f"{condition.marker_words} {condition.text}".strip()
    everything = Vocabulary([*item.parsed.vocabulary.stems, *content(item.actor)])
    if share(condition.stems, everything) < CONDITION_KEPT:
        return Flag("condition", lost, "")
    if not condition.stems:  # "as soon as it is needed"; "2 days after it was made"
        like = any(kinds(p, whose) & kinds(condition, clause) for p, whose in mine)
        return (
            None
            if like or not condition.text or find_quantities(clause.text)
            else Flag("condition", lost, "")
        )
    candidates = [(part, whose) for part, whose in mine if _same_condition(part, condition)]
    if not candidates:  # said without a marker: "if hands are dirty", "dirty hands"
        weak = condition.marker in ("if", "when", "while", "once", "only")
        return None if weak else Flag("condition", lost, "")
    wanted = kinds(condition, clause)
    for part, whose in candidates:
        loose = part.marker == "field" and condition.marker not in _STRONG
        agrees = loose or wanted & kinds(part, whose)
        if agrees and part.is_negated == condition.is_negated:
            return None
    part = candidates[0][0]
    return Flag("condition", lost, f"{part.marker_words} {part.text}".strip())


def _same_condition(one: Part, other: Part) -> bool:
    if not one.stems or not other.stems:
        return False
    shares = share(one.stems, Vocabulary(other.stems)), share(other.stems, Vocabulary(one.stems))
    return max(shares) >= SAME_CONDITION


def _new_conditions(item: Item, source: _Source) -> Iterator[Flag]:
    theirs = [(part, clause) for clause in source.clauses for part in clause.conditions]
    for clause in item.parsed.clauses:
        for part in clause.conditions:
            found = f"{part.marker_words} {part.text}".strip()
            if share(part.stems, source.vocabulary) < SAME_CONDITION:
                yield Flag("condition", "", found)
            elif part.marker in _TURNING and part.stems:
                like = [(p, whose) for p, whose in theirs if _same_condition(part, p)]
                said = any(kinds(part, clause) & kinds(p, whose) for p, whose in like)
                if not said and (like or part.marker in ("unless", "even")):
                    yield Flag("condition", "", found)


_STRONG = ("unless", "until", "before", "even")
_TURNING = ("unless", "even", "before", "after", "until", "if", "when")


def _lost_only(item: Item, source: _Source, taken: Sequence[Clause]) -> Iterator[Flag]:
    mine = item.parsed.clauses
    if any(c.says_only for c in taken) and not any("gate" in _gates(c) for c in mine):
        yield Flag("condition", "only", "")
    if any(c.says_only for c in mine) and not any("gate" in _gates(c) for c in source.clauses):
        yield Flag("condition", "", "only")


# Who acts

_BY = re.compile(r"\bby\s+((?:[\w'-]+\s?){1,5})")
_PASSIVE = re.compile(r"(?:\s+(?:not|never|only|always|also|\w+ly))*\s+be\b", re.IGNORECASE)
_RECEIVES = re.compile(
    r"(?:\s+(?:not|never|only|always|also|\w+ly))*\s+(?:receive|undergo|get|have)\b", re.IGNORECASE
)


def _actor(item: Item, source: _Source, context: Context) -> Iterator[Flag]:
    named = _named_by_source(item, source)
    stems = content(item.actor)
    own = [stem for stem in stems if stem not in GENERIC]
    if named:
        is_known = all(source.vocabulary.holds(s) or context.vocabulary.says(s) for s in own)
        if not (is_known and _is_same_actor(item.actor, named)):
            yield Flag("actor", named, item.actor)
    elif not all(source.vocabulary.says(s) or context.vocabulary.says(s) for s in own):
        yield Flag("actor", "", item.actor)
    known = Vocabulary([*source.vocabulary.stems, *stems])
    for role in dict.fromkeys(roles(item.parsed.text)):
        if not known.holds(stem(role)) and stem(role) not in GENERIC:
            yield Flag("actor", named, role)
    yield from _own_subject(item, source)


def _own_subject(item: Item, source: _Source) -> Iterator[Flag]:
    """ "Doctors must wash" under a sentence about nurses, whatever the field `actor` says."""
    for clause in item.parsed.clauses:
        best = source.best_for(clause)
        mine = roles(clause.own_subject)
        theirs = Vocabulary(content(best.subject)) if best and roles(best.subject) else None
        if mine and theirs and not theirs.holds(stem(mine[-1])):
            yield Flag("actor", best.subject if best else "", clause.own_subject)


def _is_same_actor(actor: str, named: str) -> bool:
    if words(actor) in (["you"], []):
        return True
    mine = [stem(role) for role in roles(actor)]
    return share(mine or content(actor), Vocabulary(content(named))) >= 0.5


def _named_by_source(item: Item, source: _Source) -> str:
    """The subject of the clauses taken up, or the agent of a passive; "" where nobody is named."""
    for clause in source.taken_up(item):
        found = _agent(clause)
        if roles(found) or any(stem in GENERIC for stem in content(found)):
            return found
    return ""


def _agent(clause: Clause) -> str:
    modal = MODAL.search(clause.text)
    if modal is None:
        return clause.subject
    if _RECEIVES.match(clause.text, modal.end()):
        return ""
    if _PASSIVE.match(clause.text, modal.end()):
        agent = _BY.search(clause.text, modal.end())
        return agent[1].strip() if agent and not agent[1].split()[0].endswith("ing") else ""
    return clause.subject
