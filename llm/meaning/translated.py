"""What did not survive in an item that is written in another language than what it cites?

Words cannot be compared across languages without a model, so this sees less than `guard`: figures,
units written as symbols, signs of comparison, the strength of the item against that of the cited
sentences, and a prohibition that does not say "not". Who acts, under which condition, and whether
the sentence is the right one at all is for the reader, who finds the quote beside the item.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llm.language import share_of_stop_words
from llm.meaning.evidence import Cited, Flag
from llm.meaning.topics import MIN_SUPPORT
from llm.meaning.words import content, readable, share
from llm.rules import FORBIDDING, LANGUAGES, Language

MIN_STOP_WORDS = 0.25  # of an item's words are stop words of a language that it is written in
MAX_FIGURES = 60  # of one item; a longer one is no thing to do
MAX_CITED_FIGURES = 500

_FIGURE = re.compile(
    r"(?P<sign>[<>≤≥]=?)?\s?(?<![a-zà-ÿ0-9.,])"
    r"(?P<digits>\d{1,12}(?:[.,'’\u00a0\u202f]\d{1,6}){0,4})(?![\d])"
    r"(?:\s?(?P<symbol>°\s?[CF]|%|‰|[µμ]g|mcg|mg|kg|g|ml|cl|dl|l|mm|cm|km|m|kPa|bar|Hz|kHz|MHz|dB"
    r"|kW|W|V|mmol|mmHg|€|\$|£|°)(?![a-zà-ÿ0-9]))?",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"[.,'’\u00a0\u202f]")
_SIGNS = {"<": "<", ">": ">", "<=": "≤", ">=": "≥", "≤": "≤", "≥": "≥"}
_NEGATION: dict[Language, re.Pattern[str]] = {
    "en": re.compile(
        r"\b(?:not|never|no|none|nor|neither|nobody|cannot|avoid|without|unless|except|refrain"
        r"|prohibited|forbidden|only|until|\w{1,20}n['’]t)\b",
        re.IGNORECASE,
    ),
    "de": re.compile(
        r"\b(?:nicht|nie|niemals|keine?[nrms]?|niemand|weder|ohne|außer|vermeiden|verboten"
        r"|untersagt|unzulässig|unterlassen|nur|bis)\b",
        re.IGNORECASE,
    ),
    "fr": re.compile(
        r"\b(?:ne|pas|jamais|aucune?|ni|sans|sauf|éviter|évitez|interdite?s?|proscrite?s?|seulement"
        r"|uniquement)\b|\bn['’]",
        re.IGNORECASE,
    ),
    "es": re.compile(
        r"\b(?:no|nunca|jamás|ning[uú]n[ao]?|ni|sin|salvo|excepto|evitar|evite|prohibid[oa]s?|solo"
        r"|sólo|únicamente|hasta)\b",
        re.IGNORECASE,
    ),
}


def is_translated(text: str, cited: Sequence[Cited], source: Language, language: str) -> bool:
    """Is an item that was asked for in another language written in that, or in the source's after
    all? Then it can be held against the source word by word.

    language   the primary subtag of what was asked for, such as "de"
    """
    stems = content(readable(text))
    if any(share(stems, one.vocabulary) >= MIN_SUPPORT for one in cited):
        return False
    mine = share_of_stop_words(text, source)
    asked = share_of_stop_words(text, language) if language in LANGUAGES else 0.0
    return mine < MIN_STOP_WORDS or asked > mine


def check_translated(
    action: str, level: str, condition: str, cited: Sequence[Cited], language: str
) -> list[Flag]:
    """All that can be seen to be lost, worst first; [] where nothing is cited."""
    if not cited:
        return []
    text = readable(f"{action} . {condition}" if condition else action)
    mine = _figures(text)
    theirs = [figure for one in cited for figure in _figures(readable(one.text))]
    if len(mine) > MAX_FIGURES:
        return [Flag("invented", "", action)]
    if len(theirs) > MAX_CITED_FIGURES:
        return [Flag("citation", readable(cited[0].text), action)]
    found = [
        *_new_figures(mine, theirs),
        *_lost_figures(mine, theirs, cited),
        *_negation(action, level, cited, language),
        *_strength(level, cited),
    ]
    return list(dict.fromkeys(found))


# Figures


@dataclass(frozen=True)
class _Figure:
    """readings   1.000 is a thousand in one language and one in another"""

    words: str
    readings: frozenset[float]
    symbol: str
    sign: str


def _figures(text: str) -> list[_Figure]:
    return [
        _Figure(
            match.group().strip(),
            _readings(match["digits"]),
            re.sub(r"\s", "", match["symbol"] or "").casefold().replace("μ", "µ"),
            _SIGNS.get(match["sign"] or "", ""),
        )
        for match in _FIGURE.finditer(text)
    ]


def _readings(digits: str) -> frozenset[float]:
    groups = _SEPARATOR.split(digits)
    found = set()
    if len(groups) == 1 or all(len(group) == 3 for group in groups[1:]):
        found.add(float("".join(groups)))
    if len(groups) > 1:
        found.add(float(f"{''.join(groups[:-1])}.{groups[-1]}"))
    return frozenset(found)


def _new_figures(mine: Sequence[_Figure], theirs: Sequence[_Figure]) -> Iterator[Flag]:
    for figure in mine:
        same = [other for other in theirs if figure.readings & other.readings]
        if not same:
            yield Flag("number", theirs[0].words if theirs else "", figure.words)
            continue
        if figure.symbol and all(o.symbol and o.symbol != figure.symbol for o in same):
            yield Flag("unit", same[0].words, figure.words)
        if figure.sign and all(o.sign and o.sign != figure.sign for o in same):
            yield Flag("comparison", same[0].words, figure.words)


def _lost_figures(
    mine: Sequence[_Figure], theirs: Sequence[_Figure], cited: Sequence[Cited]
) -> Iterator[Flag]:
    """An item may take up one of two requirements, and leave the other's figures out."""
    lost = [f for f in theirs if not any(f.readings & other.readings for other in mine)]
    is_one = len(cited) == 1 and len(cited[0].levels) == 1 and len(cited[0].parsed.clauses) == 1
    if lost and (is_one or len(lost) == len(theirs)):
        yield from (Flag("number", figure.words, "") for figure in lost)


# Strength


def _strength(level: str, cited: Sequence[Cited]) -> Iterator[Flag]:
    allowed = {said for one in cited for said in one.levels}
    if level not in allowed:
        said = ", ".join(sorted(allowed)).replace("_", " ")
        yield Flag("modal", said, level.replace("_", " "))


def _negation(action: str, level: str, cited: Sequence[Cited], language: str) -> Iterator[Flag]:
    negation = next((_NEGATION[known] for known in LANGUAGES if known == language), None)
    if negation is None:
        return
    said = negation.search(action)
    if level in FORBIDDING:
        if not said:
            yield Flag("negation", level.replace("_", " "), action)
    elif said and not any(p.search(c.parsed.text) for c in cited for p in _NEGATION.values()):
        yield Flag("negation", readable(cited[0].text), said.group())
