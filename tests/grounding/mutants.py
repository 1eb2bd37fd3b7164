"""Faithful items made wrong, one change at a time. Shares no code with the guard that is judged.

Every mutant differs in meaning from its item: a change that a careful reader would let pass is not
made (another word for the same thing, a level that the sentence also has, a sentence swapped for
itself). What is changed is chosen by the item's place in the list, never at random.
"""

import copy
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from tests.grounding.pairs import Pair


@dataclass(frozen=True)
class Mutant:
    kind: str
    pair: Pair
    item: dict


_NUMERAL_WORDS = (
    "two three four five six seven eight nine ten eleven twelve fourteen fifteen twenty ninety"
)
_NUMERALS = _NUMERAL_WORDS.split()
_FIGURE = re.compile(
    r"(?<![\w.,])(?:\d+(?:[., ]\d+)*(?=\b|[a-z°%])"
    rf"|{'|'.join(rf'{n}(?![-a-z])' for n in _NUMERALS)})(?!\w*-\d)",
    re.IGNORECASE,
)
_UNIT_SWAPS = {
    "seconds": ["minutes", "hours"],
    "second": ["minute"],
    "minutes": ["hours", "seconds", "days"],
    "min": ["h", "s"],
    "hours": ["minutes", "days", "weeks"],
    "hour": ["minute", "day"],
    "h": ["min", "days"],
    "days": ["weeks", "hours", "months"],
    "day": ["week", "month"],
    "week": ["day", "month"],
    "weeks": ["days", "months"],
    "months": ["years", "weeks", "days"],
    "month": ["week", "year"],
    "quarter": ["month", "year"],
    "years": ["months", "weeks"],
    "year": ["month", "week"],
    "daily": ["weekly", "hourly"],
    "weekly": ["monthly", "daily"],
    "mg": ["g", "µg"],
    "g": ["mg", "kg"],
    "kg": ["g", "lb"],
    "t": ["kg"],
    "tonnes": ["kg"],
    "mm": ["cm", "m"],
    "millimetres": ["centimetres"],
    "m": ["cm", "km"],
    "km": ["m", "miles"],
    "km/h": ["mph", "m/s"],
    "°C": ["°F", "%"],
    "Celsius": ["Fahrenheit"],
    "%": ["°C", " kg"],
    "percent": ["degrees"],
    "EUR": ["USD", "GBP"],
    "USD": ["EUR"],
    "characters": ["digits", "words", "bits"],
    "times": ["days"],
}
_COMPARISON_SWAPS = [
    (r"\bat least\b", ["at most", "less than", "exactly"]),
    (r"\bat most\b", ["at least", "more than"]),
    (r"\bno more than\b", ["no less than", "more than"]),
    (r"(?<!no )(?<!not )\bmore than\b", ["less than", "at least"]),
    (r"(?<!no )\bless than\b", ["more than", "at most"]),
    (r"\blonger than\b", ["shorter than"]),
    (r"\byounger than\b", ["older than"]),
    (r"\bfaster than\b", ["slower than"]),
    (r"\bover(?= (?:EUR |USD )?\d)", ["under"]),
    (r"\babove\b(?= (?:\d|EUR|USD))", ["below", "of exactly"]),
    (r"\bbelow\b(?= \d)", ["above"]),
    (r"\bexceeds?\b(?= \d)", ["is below"]),
    (r"\bwithin\b", ["no earlier than", "after"]),
    (r"\bup to\b", ["at least", "more than"]),
    (r"\bor more\b", ["or less"]),
    (r"\bor older\b", ["or younger"]),
    (r"\bor higher\b", ["or lower"]),
    (r"\bor hotter\b", ["or colder"]),
    (r"\ba minimum of\b", ["a maximum of"]),
    (r"\ba maximum of\b", ["a minimum of"]),
]
_LEVELS = ["must", "must_not", "should", "should_not", "may"]
_MARKER_SWAPS = [
    (r"\bonly (if|when|after)\b", [r"even \1", r"\1"]),
    (r"(?<!only )(?<!even )\bif\b", ["unless", "except if"]),
    (r"(?<!only )\bwhen\b", ["unless", "except when"]),
    (r"\bunless\b", ["if", "even if"]),
    (r"(?<!only )\bafter\b(?! \d)", ["before"]),
    (r"\bbefore\b", ["after"]),
    (r"\buntil\b", ["after"]),
    (r"\bwhile\b", ["unless", "before"]),
    (r"\bwithout\b", ["with"]),
    (r"\bduring\b", ["before"]),
    (r"\bexcept\b", ["including"]),
    (r"\bonly\b", ["also"]),
]
_CLAUSE = re.compile(
    r",?\s+(?:only )?(?:unless|if|when(?:ever)?|before|after|until|while|except|without|as soon as"
    r"|within|during)\s[^,;.]{3,}$",
    re.IGNORECASE,
)
_ACTOR_NAMES = (
    "The auditor,Volunteers,The school caretaker,Pilots,The mayor,Landlords,The librarian,Judges"
    ",The press officer,Tenants,Waiters,The architect"
)
_OTHER_ACTORS = _ACTOR_NAMES.split(",")
_INVENTED = (
    "Inform the press office in writing.",
    "Wear a blue helmet and ear protection.",
    "Archive a signed paper form in the basement.",
    "Post a notice on the intranet.",
    "Pay the invoice in advance.",
    "Ask the works council for its opinion.",
    "Take a photograph for the newsletter.",
    "Repeat the procedure every third Sunday.",
    "Book a taxi for the visitors.",
    "Attach the yellow sticker to the lid.",
)
_INVENTED_TAILS = (
    " and send a copy to the ministry",
    " and wipe the floor with bleach",
    ", and switch off the ventilation",
    " and order spare batteries",
    " and obtain written consent from the landlord",
    " using the form in the annual brochure",
)
_INVENTED_CONDITIONS = (
    "unless the budget has been spent",
    "if the weather is dry",
    "except on public holidays",
    "only when the auditor asks for it",
    "until the end of the financial period",
)


def mutants_of(pairs: list[Pair]) -> Iterator[Mutant]:
    makers = {
        "number": _numbers,
        "unit": _units,
        "comparison": _comparisons,
        "negation": _negations,
        "modal": _modals,
        "condition dropped": _dropped_conditions,
        "condition flipped": _flipped_conditions,
        "condition invented": _invented_conditions,
        "actor": _actors,
        "invented": _inventions,
    }
    for number, pair in enumerate(pairs):
        for kind, make in makers.items():
            for item in make(pair, number):
                if item != pair.item:
                    yield Mutant(kind, pair, item)
        for item in _swapped_citations(pair, number, pairs):
            yield Mutant("citation", pair, item)


def _with(pair: Pair, **changes) -> dict:
    return {**copy.deepcopy(pair.item), **changes}


def _edits(pair: Pair, pattern: str, replacements: Iterable[str], flags=0) -> Iterator[dict]:
    """Every place of the pattern in the action or the condition, changed alone."""
    for name in ("action", "condition"):
        text = pair.item[name]
        for match in re.finditer(pattern, text, flags):
            for new in replacements:
                changed = match.expand(new) if "\\" in new else new
                yield _with(pair, **{name: text[: match.start()] + changed + text[match.end() :]})


def _quotes(pair: Pair) -> str:
    return " ".join(citation["quote"] for citation in pair.item["citations"])


# One function for each kind


def _numbers(pair: Pair, number: int) -> Iterator[dict]:
    for name in ("action", "condition"):
        text = pair.item[name]
        for match in _FIGURE.finditer(text):
            for new in _other_figures(match.group(), number):
                yield _with(pair, **{name: text[: match.start()] + new + text[match.end() :]})
    yield from _figures_of_the_quote(pair)
    yield from _exchanged_figures(pair)


def _figures_of_the_quote(pair: Pair) -> Iterator[dict]:
    """A number that the sentence has, but for something else."""
    action, mine = pair.item["action"], _FIGURE.findall(pair.item["action"])
    others = [f for f in _FIGURE.findall(_quotes(pair)) if not _is_among(f, mine)]
    for match in _FIGURE.finditer(action):
        for other in others:
            if not _is_among(other, [match.group()]):
                yield _with(pair, action=action[: match.start()] + other + action[match.end() :])


def _exchanged_figures(pair: Pair) -> Iterator[dict]:
    """Two numbers of the action that change places; those of "2 to 4" would be a slip only."""
    action = pair.item["action"]
    found = list(_FIGURE.finditer(action))
    for one, other in pairwise(found):
        apart = action[one.end() : other.start()]
        if one.group() != other.group() and len(apart) > 8 and " and " not in apart:
            yield _with(
                pair,
                action=action[: one.start()]
                + other.group()
                + apart
                + one.group()
                + action[other.end() :],
            )


def _is_among(figure: str, others: list[str]) -> bool:
    return _as_number(figure) in map(_as_number, others)


def _as_number(figure: str) -> str:
    words = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7"}
    words |= {"eight": "8", "nine": "9", "ten": "10", "eleven": "11", "twelve": "12"}
    words |= {"fourteen": "14", "fifteen": "15", "twenty": "20", "ninety": "90"}
    return words.get(figure.lower(), re.sub(r"[, ]", "", figure))


def _other_figures(figure: str, number: int) -> list[str]:
    if figure.lower() in _NUMERALS:
        at = _NUMERALS.index(figure.lower())
        return [_NUMERALS[at - 1 - number % 3], _NUMERALS[(at + 1) % len(_NUMERALS)], "35"]
    if re.fullmatch(r"\d+", figure):
        value = int(figure)
        return [str(value + 1), str(value * 10), str(value * 2), f"{value}.5"]
    return [figure + "5", "7" + figure[1:] if figure[0] != "7" else "6" + figure[1:]]


def _units(pair: Pair, number: int) -> Iterator[dict]:
    """Only beside a number or a word of rate: "the day shift" is no quantity."""
    figure = rf"(?:\d|{'|'.join(_NUMERALS)}|\b(?:one|half an|every|each|per|a|once a))"
    for unit, others in _UNIT_SWAPS.items():
        if unit in ("daily", "weekly") or unit in ("EUR", "USD"):
            yield from _edits(pair, rf"\b{unit}\b", others)
        else:
            edge = r"(?![\w/])"
            yield from _edits(
                pair,
                rf"({figure}\s(?:(?:working|business|degrees)\s)?|\d){re.escape(unit)}{edge}",
                [rf"\g<1>{other}" for other in others],
                re.IGNORECASE,
            )


def _comparisons(pair: Pair, number: int) -> Iterator[dict]:
    for pattern, others in _COMPARISON_SWAPS:
        yield from _edits(pair, pattern, others)
    for pattern in (r"\bat least (?=\w)", r"\bat most (?=\w)", r"\bno more than (?=\w)"):
        yield from _edits(pair, pattern, [""])


def _negations(pair: Pair, number: int) -> Iterator[dict]:
    action = pair.item["action"]
    removed = re.sub(r"^(?:Do not|Never) (\w)", lambda m: m[1].upper(), action)
    if removed != action:
        yield _with(pair, action=removed)
        positive = {"must_not": "must", "should_not": "should"}.get(pair.item["level"])
        if positive:
            yield _with(pair, action=removed, level=positive)
    elif pair.item["level"] in ("must", "should"):
        lowered = action[0].lower() + action[1:]
        if re.match(r"[a-z]+ (?!be\b)", lowered) and not re.match(r"(?:if|unless|when)\b", lowered):
            yield _with(pair, action=f"Do not {lowered}")
            yield _with(pair, action=f"Never {lowered}", level=f"{pair.item['level']}_not")
    finite = r"\b(has|have|is|are|was|were|may|can) (?!not\b|no\b|only\b)(?=\w)"
    yield from _edits(pair, finite, [r"\1 not "])
    yield from _edits(pair, r"(?<=\w )not (?=\w)(?!even)", [""])
    yield from _edits(pair, r"\bcannot be\b", ["can be"])


def _modals(pair: Pair, number: int) -> Iterator[dict]:
    said = _quotes(pair).lower()
    for level in _LEVELS:
        if level != pair.item["level"] and not _also_said(level, said):
            yield _with(pair, level=level)
    if pair.item["level"] == "must":
        action = pair.item["action"]
        yield _with(pair, action=f"You may {action[0].lower()}{action[1:]}", level="may")
        yield _with(pair, action=f"You should {action[0].lower()}{action[1:]}")


def _also_said(level: str, said: str) -> bool:
    """A sentence with a second requirement of that strength makes the level debatable."""
    word = level.partition("_")[0]
    words = {"must": "must|shall", "should": "should", "may": r"\bmay\b"}[word]
    return bool(re.search(words, said))


def _dropped_conditions(pair: Pair, number: int) -> Iterator[dict]:
    if pair.item["condition"]:
        yield _with(pair, condition="")
    shorter = _CLAUSE.sub("", pair.item["action"])
    if len(shorter.split()) > 1:
        yield _with(pair, action=shorter)
    leading = re.sub(r"^(?:If|When|Unless|Before|After)\s[^,]+,\s", "", pair.item["action"])
    yield _with(pair, action=leading[:1].upper() + leading[1:])


def _flipped_conditions(pair: Pair, number: int) -> Iterator[dict]:
    for pattern, others in _MARKER_SWAPS:
        yield from _edits(pair, pattern, others)


def _invented_conditions(pair: Pair, number: int) -> Iterator[dict]:
    condition = pair.item["condition"]
    for shift in (0, 2):
        new = _INVENTED_CONDITIONS[(number + shift) % len(_INVENTED_CONDITIONS)]
        yield _with(pair, condition=f"{condition}, {new}" if condition else new)
    new = _INVENTED_CONDITIONS[(number + 1) % len(_INVENTED_CONDITIONS)]
    yield _with(pair, action=f"{pair.item['action'].rstrip('.')} {new}")


def _actors(pair: Pair, number: int) -> Iterator[dict]:
    for shift in (0, 5):
        yield _with(pair, actor=_OTHER_ACTORS[(number + shift) % len(_OTHER_ACTORS)])
    yield from _edits(
        pair, r"\b(?:manager|doctor|officer|driver|nurse|pharmacist|leader|desk)\b", ["auditor"]
    )
    yield from _edits(
        pair,
        r"^(?:Vendors|Visitors|A pharmacist|Only a pharmacist|Only members of the operations team)",
        ["Volunteers", "The mayor"],
    )
    action = pair.item["action"]
    if pair.item["level"] == "must" and not re.match(r"(?:If|Unless|When)\b", action):
        other = _OTHER_ACTORS[(number + 3) % len(_OTHER_ACTORS)]
        yield _with(pair, action=f"{other} must {action[0].lower()}{action[1:]}", actor=other)


def _inventions(pair: Pair, number: int) -> Iterator[dict]:
    action = pair.item["action"].rstrip(".")
    for shift in (0, 4):
        yield _with(pair, action=f"{action}. {_INVENTED[(number + shift) % len(_INVENTED)]}")
    yield _with(pair, action=_INVENTED[(number + 2) % len(_INVENTED)], condition="")
    for shift in (0, 3):
        tail = _INVENTED_TAILS[(number + shift) % len(_INVENTED_TAILS)]
        yield _with(pair, action=f"{action}{tail}")


def _swapped_citations(pair: Pair, number: int, pairs: list[Pair]) -> Iterator[dict]:
    """The quotes of other items of the same document, where this item is about something else."""
    mine = {citation["quote"] for citation in pair.item["citations"]}
    others = [
        other
        for other in pairs
        if other.document == pair.document
        and not mine & {citation["quote"] for citation in other.item["citations"]}
    ]
    for shift in (1, 4, 9):
        if others:
            other = others[(number + shift) % len(others)]
            yield _with(pair, citations=copy.deepcopy(other.item["citations"]))
