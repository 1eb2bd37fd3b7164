"""Numbers, units and comparisons: none new, none lost, none exchanged."""

import re
from collections.abc import Iterable, Iterator, Sequence

from llm.meaning.clauses import Parsed, Part
from llm.meaning.evidence import Flag, Item, Source
from llm.meaning.glossaries import in_english
from llm.meaning.quantities import Quantity, find_quantities, flipped, ordinals
from llm.meaning.words import readable, words

MAX_AROUND = 40  # characters beside a number that tell what it is the number of
MAX_EXCHANGED = 20  # numbers of one item that are looked at in pairs


def numbers(item: Item, source: Source) -> Iterator[Flag]:
    actor = in_english(readable(item.actor), item.language)
    found = [*item.parsed.quantities, *find_quantities(actor)]
    for at, quantity in enumerate(item.parsed.quantities):
        if any(_repeats(quantity, said) for said in item.parsed.quantities[:at]):
            continue  # in the condition too, where no "not" stands
        is_new = quantity.raw not in {q.raw for q in source.quantities}
        if not quantity.is_soft or (quantity.words[:1].isdigit() and is_new):
            yield from _number(quantity, item, source)
    for quantity in _lost(item, source, found):
        yield Flag("number", quantity.words, "")
    yield from _exchanged(item, source)
    mine = ordinals(item.parsed.text)
    known = ordinals(source.text) if mine else mine
    for ordinal in sorted(mine - known):
        yield Flag("number", ", ".join(sorted(known)), ordinal)


def _repeats(quantity: Quantity, said: Quantity) -> bool:
    return quantity.equals(said) and quantity.comparison == said.comparison


def _exchanged(item: Item, source: Source) -> Iterator[Flag]:
    """Two numbers of the source that changed places: each stands among the other's words."""
    found = [q for q in item.parsed.quantities if not (q.is_soft or q.is_rate)][:MAX_EXCHANGED]
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


def _place_of(quantity: Quantity, source: Source) -> set[str] | None:
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


def _lost(item: Item, source: Source, found: Sequence[Quantity]) -> Iterator[Quantity]:
    """Numbers of the clauses taken up that the item has not, nor needs."""
    if not source.quantities:
        return
    for clause in source.taken_up(item):
        cited = next(c for c in source.cited if any(own is clause for own in c.parsed.clauses))
        halves = [
            [q for q in cited.parsed.quantities if _stands_in(q, part) and not q.is_soft]
            for part in clause.spoken_of(item.vocabulary)
        ]
        kept = [[q for q in half if _is_among(q, found)] for half in halves]
        for half, of_it in zip(halves, kept, strict=True):
            if of_it or not any(kept):  # the item's numbers tell which half it is about
                yield from (q for q in half if not _is_among(q, found))
        for condition in clause.conditions_of(item.vocabulary):
            inside = [q for q in cited.parsed.quantities if _stands_in(q, condition)]
            yield from (q for q in inside if not (q.is_soft or _is_among(q, found)))


def _is_among(quantity: Quantity, found: Iterable[Quantity]) -> bool:
    return any(quantity.equals(q) or quantity.raw == q.raw for q in found)


def _stands_in(quantity: Quantity, part: Part) -> bool:
    return part.start <= quantity.start < part.start + len(part.text) + len(part.marker_words) + 2


def _number(quantity: Quantity, item: Item, source: Source) -> Iterator[Flag]:
    same = [q for q in source.quantities if quantity.equals(q)]
    if same:
        yield from _comparison(quantity, same, item, source)
        return
    like = [q for q in source.quantities if q.raw == quantity.raw]
    if not like and _is_said_of_each(quantity, source):
        return
    if not like:
        close = [q for q in source.quantities if q.dimension == quantity.dimension]
        yield Flag("number", close[0].words if close else "", quantity.words)
    elif not _unit_is_said_elsewhere(quantity, like, item, source):
        yield Flag("unit", like[0].words, quantity.words)
    else:
        yield from _comparison(quantity, like, item, source)


def _is_said_of_each(quantity: Quantity, source: Source) -> bool:
    """ "Each month's report" for "reports on the month", "one millisecond" for "millisecond"."""
    last = words(quantity.words)[-1:] or [""]
    if last[0] not in source.words:
        return False
    of_one = quantity.raw == 1 and quantity.dimension not in {
        q.dimension for q in source.quantities
    }
    return of_one or quantity.words.casefold().startswith(("each ", "every "))


def _unit_is_said_elsewhere(
    quantity: Quantity, like: Sequence[Quantity], item: Item, source: Source
) -> bool:
    """ "8 or more characters", "characters: 8": one of the two has its unit further away."""
    if quantity.dimension and all(q.dimension for q in like):
        return False
    if quantity.dimension:
        if quantity.words.endswith(("year", "years")) and _AGE.search(source.text):
            return True
        return _units_in(quantity) <= set(source.words)
    if like[0].words.endswith(("year", "years")) and _AGE.search(item.parsed.text):
        return True
    return bool(_units_in(like[0])) and _units_in(like[0]) <= set(item.parsed.words)


def _units_in(quantity: Quantity) -> set[str]:
    return set(words(quantity.words)[-1:])


_AGE = re.compile(r"\b(?:aged?|older|younger|under|over)\b", re.IGNORECASE)


def _comparison(
    quantity: Quantity, same: Sequence[Quantity], item: Item, source: Source
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
        if {quantity.comparison, wanted} == {"", "le"} and _is_window(quantity, item.parsed.text):
            return
    yield Flag("comparison", _with_words_before(same[0], source.text), quantity.words)


def _is_window(quantity: Quantity, text: str) -> bool:
    """ "In the 24 hours before" is "within 24 hours before"."""
    before = text[max(0, quantity.start - 20) : quantity.start]
    return quantity.dimension == "time" and bool(_WINDOW.search(before))


_WINDOW = re.compile(r"\b(?:in|during)\s(?:the|any|a)?\s?$", re.IGNORECASE)


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
