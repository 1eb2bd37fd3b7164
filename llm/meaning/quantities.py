"""Numbers with their units and comparisons: "at least 15 min" and "no less than fifteen minutes".

Ordinals, section numbers and the numbers of lists are no quantities: an item may leave them out.
"""

import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from llm.casing import caseless

Comparison = Literal["", "ge", "gt", "le", "lt", "range", "after", "by"]

TIMES = ("time", "months")  # dimensions: a month has no fixed number of seconds
_ONE_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
)
_TEN_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ONES, _TENS = _ONE_WORDS.split(), _TEN_WORDS.split()
_WORD_VALUES = {word: float(value) for value, word in enumerate(_ONES)} | {
    word: float(20 + 10 * at) for at, word in enumerate(_TENS)
}
_WORD_VALUES |= {"once": 1.0, "twice": 2.0, "thrice": 3.0, "half": 0.5, "dozen": 12.0}
_WORD_VALUES |= {"both": 2.0, "pair": 2.0, "pairs": 2.0}
_SCALES = {"hundred": 100.0, "thousand": 1e3, "million": 1e6, "billion": 1e9}

# unit: the dimension and the factor to its base. Months are no multiple of days.
_UNIT_LINES = """
    time 1: s sec secs second seconds
    time 60: min mins minute minutes
    time 3600: h hr hrs hour hours
    time 86400: d day days
    time 604800: week weeks wk
    time 1209600: fortnight fortnights
    months 1: month months
    months 3: quarter quarters
    months 12: year years yr yrs annum
    time 0.001: ms millisecond milliseconds
    mass 0.001: µg μg mcg ug microgram micrograms
    mass 1: mg milligram milligrams
    mass 1000: g gram grams gramme grammes
    mass 1000000: kg kilogram kilograms kilo kilos
    mass 1000000000: t tonne tonnes
    volume 1: ml millilitre millilitres milliliter milliliters cc
    volume 10: cl
    volume 100: dl
    volume 1000: l litre litres liter liters
    length 1: mm millimetre millimetres millimeter millimeters
    length 10: cm centimetre centimetres centimeter centimeters
    length 1000: m metre metres meter meters
    length 1000000: km kilometre kilometres kilometer kilometers
    length 1609344: mile miles
    length 304.8: foot feet ft
    length 25.4: inch inches
    share 1: % percent
    celsius 1: °c ℃
    fahrenheit 1: °f ℉
    degree 1: ° degree degrees
    bits 1: bit bits
    bits 8: byte bytes
    bits 8000: kb kilobyte kilobytes
    bits 8000000: mb megabyte megabytes
    bits 8000000000: gb gigabyte gigabytes
    bits 8000000000000: tb terabyte terabytes
    character 1: character characters char chars
    digit 1: digit digits
    euro 1: eur euro euros €
    dollar 1: usd dollar dollars $
    pound 1: gbp pound pounds £
    franc 1: chf franc francs
    tablet 1: tablet tablets
    drop 1: drop drops
    puff 1: puff puffs
    unit 1: iu unit units
    mmol 1: mmol
    mmhg 1: mmhg
    hertz 1: hz
    hertz 1000: khz
    hertz 1000000: mhz
    volt 1: v volt volts
    watt 1: w watt watts
    watt 1000: kw kilowatt kilowatts
    kpa 1: kpa
    bar 1: bar
    decibel 1: db decibel decibels
    speed 1: km/h kph kmh
    speed 1.609: mph
    times 1: time times
    ratio 1: :1
"""
_RATES = {
    "hourly": "hour",
    "daily": "day",
    "nightly": "day",
    "weekly": "week",
    "fortnightly": "fortnight",
    "monthly": "month",
    "quarterly": "quarter",
    "annually": "year",
    "annual": "year",
    "yearly": "year",
}


def _units() -> dict[str, tuple[str, float]]:
    table: dict[str, tuple[str, float]] = {}
    for line in _UNIT_LINES.strip().splitlines():
        head, _, names = line.partition(":")
        dimension, factor = head.split()
        table |= {name: (dimension, float(factor)) for name in names.split()}
    return table


_UNITS = _units()
_UNIT_NAMES = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_TIME_NAMES = "|".join(
    sorted((n for n, u in _UNITS.items() if u[0] in TIMES and len(n) > 2), key=len)[::-1]
)
# "per hour" is a rate of its own, however it is written; "per kg" is part of the unit.
_MASSES = "|".join(n for n, u in _UNITS.items() if u[0] in ("mass", "volume", "length"))
_DIGITS = (
    r"(?<![\d.,])(?:\d{1,3}(?:[,' \u00a0]\d{3}(?!\d)){1,5}(?:\.\d{1,6})?|\d{1,12}(?:[.,]\d{1,6})?)"
    r"(?!\d|\.\d)"
)
_WORDS = (
    rf"\b(?:(?:{'|'.join(_TENS)})[- ](?:{'|'.join(_ONES[1:10])})"
    rf"|{'|'.join(sorted(_WORD_VALUES, key=len, reverse=True))}|hundred|thousand)\b"
)
_NUMBER = re.compile(
    r"(?=\s?(?:[-€$£\d]|\b[bcdefghnopstuz]))"  # elsewhere it is not tried at all
    rf"(?P<money>[€$£]|\b(?:eur|usd|gbp|chf)\b)?\s?(?P<minus>(?<=\s)-(?=\d))?"
    rf"(?:(?P<digits>{_DIGITS})|(?P<word>{_WORDS}))"
    r"(?:[\s-]?(?P<scale>hundred|thousand|million|billion)\b)?",
)
_UNIT = re.compile(
    r"(?:\s?-?(?:(?:or|and) (?:more|fewer|less|above|over)\s)?"
    r"(?:(?:working|business|calendar|full|consecutive|further|additional|more|whole|an|a|of an)"
    r"\s){0,2})?"
    r"\s?(?P<name>degrees?\s(?:celsius|c)\b|per\scent\b|km/h|°\s?[cf]\b|%"
    rf"|(?:{_UNIT_NAMES})(?!\w))"
    rf"(?:\s?(?:/|per\s)\s?(?P<per>(?:{_MASSES})(?!\w)))?",
    re.IGNORECASE,
)
_RATE = re.compile(
    rf"(?:\b(?:once\s+)?(?P<adverb>{'|'.join(_RATES)})"
    r"|(?<=\w)\s?/\s?(?P<per>h|hr|min|s|d|day|week|hour|minute|month|year)"
    r"|\b(?:(?P<once>once|one time)\s+)?(?:every|each|per|(?P<article>an?))\s+"
    rf"(?:working\s|calendar\s|business\s)?(?P<unit>{_TIME_NAMES}))\b(?!-)",
    re.IGNORECASE,
)
# One of these is in whatever _NUMBER and _RATE find, save for figures and "/".
_TOKEN = re.compile(r"[a-z]+")
_NUMBER_TOKENS = frozenset({*_WORD_VALUES, "hundred", "thousand"})
_EACH, _TIMES = frozenset({"every", "each", "per", "a", "an"}), frozenset(_TIME_NAMES.split("|"))
_REFERENCE = re.compile(
    r"(?:\b(?:sections?|tables?|figures?|figs?|append(?:ix|ices)|annex|chapters?|clauses?|articles?"
    r"|rfc|iso|iec|sp|fips|nist|steps?|pages?|paragraphs?|notes?|ref|part)"
    r"\.?|§)\s*(?:[A-Za-z]{0,3}[\s-])?$",
    re.IGNORECASE,
)
_FIGURE = re.compile(r"\d+")
_LIST_NUMBER = re.compile(r"^\W*\d{1,3}(?:\.\d{1,3}){0,5}[.)]\s")
_ORDINAL = re.compile(
    r"\b(?:second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last|\d{1,3}(?:st|nd|rd|th))\b"
)
_MAY_ORDER = re.compile(
    r"second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last|\d(?:st|nd|rd|th)"
)
_LABEL = re.compile(r"\d+(?:\.\d+){2,}")
_UP = (
    r"(?:more often|more frequently|more|greater|higher|longer|later|older|larger|faster|heavier"
    r"|hotter|deeper|wider|taller)"
)
_DOWN = (
    r"(?:less often|less frequently|less|fewer|lower|shorter|earlier|younger|smaller|slower|lighter"
    r"|colder)"
)
_TO_NUMBER = r"(?:\s(?:of|a|an|the|age|once|about|approximately|every|each|in|value|eur|usd))*\s?$"
_COMPARISON_WORDS: list[tuple[Comparison, str]] = [
    ("ge", rf"\bat least|\b(?:no|not|never) {_DOWN} than|\bminimum|\bmin\.?|≥|>="),
    ("ge", r"\bnot (?:below|under)|\bno(?:t)? sooner than"),
    ("le", rf"\bat (?:the )?most|\b(?:no|not|never) {_UP} than|\bmaximum|\bmax\.?|≤|<="),
    ("le", r"\bup to|\bwithin|\bnot (?:above|over)|\bas many as|\bin under"),
    ("gt", rf"\b{_UP} than|\bover|\babove|\bexceed(?:s|ing|ed)?|\bexcess of|\bbeyond|>"),
    ("lt", rf"\b{_DOWN} than|\bunder|\bbelow|<"),
    ("after", r"\bafter|\bfollowing"),
    ("by", r"\bbefore|\bby"),
]
_BEFORE = [  # of a text without case
    (comparison, re.compile(rf"(?:{words}){_TO_NUMBER}")) for comparison, words in _COMPARISON_WORDS
]
_AFTER: list[tuple[Comparison, re.Pattern[str]]] = [
    (
        "ge",
        re.compile(
            rf"\s?(?:\w+\s)?(?:or|and)\s(?:{_UP}|above|over|upwards)\b|\+|\sminimum\b|\sor more",
            re.IGNORECASE,
        ),
    ),
    (
        "le",
        re.compile(
            rf"\s?(?:\w+\s)?(?:or|and)\s(?:{_DOWN}|below|under)\b|\smaximum\b|\sat the latest\b",
            re.I,
        ),
    ),
]
_AGENT = re.compile(rf"\bby{_TO_NUMBER}", re.IGNORECASE)
_CLOCK_OR_DATE = re.compile(
    r"\s?(?:[ap]\.?m\b|:\d\d|o'clock|h\b|uhr\b|(?:of\s)?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov"
    r"|dec)\w{0,6}\b)",
    re.IGNORECASE,
)
_SOFT_WORDS = frozenset({"one", "once", "both", "half", "pair", "pairs"})
_OR_MORE = re.compile(r"\b(?:or|and) (more|fewer|less|above|over)\b", re.IGNORECASE)
_OF_INTERVAL = re.compile(r"\s(?:every|each|in|per)\s", re.IGNORECASE)  # "once every 2 years"
_OF_HALF = re.compile(r"\ban?\s")
_MAY_COMPARE = re.compile(  # saves eight searches beside most numbers
    r"[<>≤≥]|at |no|never|min|max|up to|within|as many|in under|than|over|above|exce|beyond"
    r"|below|under|after|following|before|by"
)
_FLIPS: dict[Comparison, Comparison] = {"gt": "le", "le": "gt", "lt": "ge", "ge": "lt"}
_LISTED = re.compile(r"\s?(?:-|to|and|or|,)\s?(?:[<>≤≥]|EUR|USD|above|below)?\s?$", re.IGNORECASE)
_BETWEEN = re.compile(r"\b(?:between|from)\s?$", re.IGNORECASE)
_RANGE_SIGN = re.compile(r"^\s?(?:-|to)\s?$")
_WINDOW = 40  # characters before a number in which its comparison is looked for


@dataclass(frozen=True)
class Quantity:
    """One number of a text.

    value       in the base of its dimension, so that 120 min equals 2 h
    dimension   "" where no unit is given
    raw         the number as written, before the unit's factor
    words       the text itself, with its unit
    is_soft     "one", "both", "a pair": as often no number at all; need not survive
    """

    value: float
    dimension: str
    raw: float
    comparison: Comparison
    words: str
    start: int
    end: int
    is_soft: bool = False

    @property
    def is_rate(self) -> bool:
        """ "Daily", "every year": how often, rather than how much."""
        return self.raw == 1 and not any(sign.isdigit() for sign in self.words)

    def equals(self, other: "Quantity") -> bool:
        near = abs(self.value - other.value) <= 1e-6 * max(abs(self.value), abs(other.value))
        return near and self.dimension == other.dimension


def flipped(comparison: Comparison) -> Comparison:
    """What "not" makes of a comparison: "not more than" is "at most"."""
    return _FLIPS.get(comparison, comparison)


def ordinals(text: str) -> set[str]:
    low = caseless(text)
    if not _MAY_ORDER.search(low):
        return set()
    return {text[match.start() : match.end()].casefold() for match in _ORDINAL.finditer(low)}


def count_numbers(text: str, at_most: int) -> int:
    """How many figures stand in it, told without looking at what they mean."""
    return sum(1 for _ in islice(_FIGURE.finditer(text), at_most))


def find_quantities(text: str) -> list[Quantity]:
    """Every number, and every rate such as "weekly" or "per hour", in the order of the text."""
    low = caseless(text)
    words = set(_TOKEN.findall(low))
    numbers = _numbers(text, low) if _FIGURE.search(text) or words & _NUMBER_TOKENS else []
    rates = _rates(text, {q.end for q in numbers}) if _may_rate(text, words) else []
    if not (numbers or rates):
        return []
    inside = _starts_inside(numbers, [(q.start, q.end) for q in rates])
    numbers = [q for q in numbers if q.start not in inside]
    halves = _starts_inside(rates, [(q.start, q.end) for q in numbers])  # "half an hour"
    rates = [q for q in rates if q.start not in halves]
    return sorted([*_with_shared_units(text, numbers), *rates], key=lambda q: q.start)


def _may_rate(text: str, words: set[str]) -> bool:
    """Is there an adverb of _RATE, "/", or "each" and a time?"""
    if "/" in text or not words.isdisjoint(_RATES):
        return True
    return not (words.isdisjoint(_EACH) or words.isdisjoint(_TIMES))


def _starts_inside(found: list[Quantity], spans: list[tuple[int, int]]) -> set[int]:
    """Where those of `found` begin that lie in one of the spans; both are in order."""
    inside, at = set(), 0
    for quantity in found:
        while at < len(spans) and spans[at][1] <= quantity.start:
            at += 1
        if at < len(spans) and spans[at][0] <= quantity.start:
            inside.add(quantity.start)
    return inside


def _rates(text: str, number_ends: set[int]) -> list[Quantity]:
    """ "a day" is a rate after a number ("4 g a day"), else it is only some day."""
    found = []
    for match in _RATE.finditer(text):
        name = _RATES.get((match["adverb"] or "").casefold())
        name = name or (match["unit"] or match["per"]).casefold()
        dimension, factor = _UNITS[name]
        comparison = _of_interval(_comparison(text, *match.span()), match)
        after_number = match.start() in number_ends or match.start() - 1 in number_ends
        soft = bool(match["article"]) and not (match["once"] or after_number)
        found.append(
            Quantity(
                factor, dimension, 1.0, comparison, match.group(), match.start(), match.end(), soft
            )
        )
    return found


def _numbers(text: str, low: str) -> list[Quantity]:
    """low   the text without case"""
    listed = _LIST_NUMBER.match(text)
    labels = {at for match in _LABEL.finditer(text) for at in range(*match.span())}
    found: list[Quantity] = []
    for match in _NUMBER.finditer(low):
        at = match.start("digits") if match["digits"] else match.start("word")
        if (listed and at < listed.end()) or at in labels or (found and at < found[-1].end):
            continue
        found.append(_quantity(text, match, at))
    return found


def _quantity(text: str, match: re.Match[str], at: int) -> Quantity:
    raw = _value(match)
    unit = _UNIT.match(text, match.end())
    if unit and _OF_HALF.search(unit.group()) and (match["word"] or "").casefold() != "half":
        unit = None  # "twice a year"
    dimension, factor, end = _unit_of(unit, match)
    if match["word"] and match["word"].casefold() in ("twice", "once", "thrice"):
        dimension = "times"
    money_start = match.start("money") if match["money"] else at
    comparison = _comparison(text, money_start, end)
    if comparison == "by" and not _is_deadline(text, money_start, end, dimension):
        comparison = _comparison_after(text, end)
    if not comparison and unit and end == unit.end():
        comparison = _or_more(unit.group())
    is_word = bool(match["word"]) and match["word"].casefold() in _SOFT_WORDS
    counted = bool(comparison) and not _OF_INTERVAL.match(text, end)
    soft = (is_word and dimension in ("", "times") and not counted) or bool(
        _REFERENCE.search(text[max(0, at - _WINDOW) : at])
    )
    return Quantity(
        round(raw * factor, 9), dimension, raw, comparison, text[money_start:end], at, end, soft
    )


def _is_deadline(text: str, start: int, end: int, dimension: str) -> bool:
    """ "By 9 a.m." and "by 31 March" are; "by two people" names who does it."""
    if dimension in TIMES or not _AGENT.search(text[max(0, start - _WINDOW) : start]):
        return True
    return bool(_CLOCK_OR_DATE.match(text, end))


def _or_more(unit: str) -> Comparison:
    """ "3 or more times": the comparison stands between the number and its unit."""
    found = _OR_MORE.search(unit)
    if found is None:
        return ""
    return "le" if found[1] in ("less", "fewer") else "ge"


def _value(match: re.Match[str]) -> float:
    if match["digits"]:
        value = _digits(match["digits"])
    else:
        parts = re.split(r"[- ]", match["word"].casefold())
        value = sum(_WORD_VALUES.get(part, _SCALES.get(part, 0.0)) for part in parts)
    value *= _SCALES.get((match["scale"] or "").casefold(), 1.0)
    return -value if match["minus"] else value


def _digits(text: str) -> float:
    grouped = re.fullmatch(r"\d{1,3}(?:[,' \u00a0]\d{3})+(?:\.\d+)?", text)
    return float(re.sub(r"[,' \u00a0]", "", text) if grouped else text.replace(",", "."))


def _unit_of(unit: re.Match[str] | None, number: re.Match[str]) -> tuple[str, float, int]:
    if number["money"]:
        dimension, _ = _UNITS[number["money"].casefold()]
        return dimension, 1.0, number.end()
    if unit is None or _is_word_not_unit(unit, number):
        return "", 1.0, number.end()
    name = re.sub(r"\s", "", unit["name"].casefold())
    if name.startswith("degree") and name.endswith(("celsius", "sc", "ec")):
        name = "°c"
    name = "%" if name == "percent" else name
    dimension, factor = _UNITS[name]
    if unit["per"]:
        per, per_factor = _UNITS[unit["per"].casefold()]
        return f"{dimension}/{per}", factor / per_factor, unit.end()
    return dimension, factor, unit.end()


def _is_word_not_unit(unit: re.Match[str], number: re.Match[str]) -> bool:
    """ "5 a day": the letter is a word here. "9 h" is a unit only beside a figure."""
    return len(unit["name"]) == 1 and unit["name"].isalpha() and not number["digits"]


def _comparison(text: str, start: int, end: int) -> Comparison:
    before = caseless(text[max(0, start - _WINDOW) : start])
    for comparison, pattern in _BEFORE if _MAY_COMPARE.search(before) else ():
        if pattern.search(before):
            return _of_interval(comparison, _EVERY.search(before))
    return _of_interval(_comparison_after(text, end), _EVERY.search(before))


def _comparison_after(text: str, end: int) -> Comparison:
    return next((comparison for comparison, found in _AFTER if found.match(text, end)), "")


def _of_interval(comparison: Comparison, rate: object) -> Comparison:
    """ "At least every 6 months" is "at intervals of at most 6 months"."""
    if not rate:
        return comparison
    return {"ge": "le", "le": "ge"}.get(comparison, comparison)  # type: ignore[return-value]


_EVERY = re.compile(r"\b(?:every|each)\s?$")


def _with_shared_units(text: str, found: list[Quantity]) -> list[Quantity]:
    """In "2 to 8 °C" the first number has the second's unit; both are ends of one range."""
    result = list(found)
    for at in range(len(result) - 2, -1, -1):
        first, second = result[at], result[at + 1]
        between = text[first.end : second.start]
        if not _LISTED.fullmatch(between):
            continue
        if not first.dimension and second.dimension:
            factor = second.value / second.raw if second.raw else 1.0
            first = replace(first, value=first.raw * factor, dimension=second.dimension)
        opened = _BETWEEN.search(text[max(0, first.start - 10) : first.start])
        if opened or _RANGE_SIGN.match(between):
            first = replace(first, comparison="range")
            second = replace(second, comparison="range")
        result[at], result[at + 1] = first, second
    return result
