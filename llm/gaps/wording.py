"""What each language calls vague, how it refers, who acts in it: data in `<language>.toml`.

vague        patterns by what they leave open: how often, by when, how much
text         settled: after this the same sentence says what is meant; audience: whom a document
             is for; agent: who acts in a passive; passive: an act that somebody
             has to do; exception: a sentence that makes one
references   word: pattern by what is referred to; own: "of this document"; elsewhere_before and
             elsewhere_after: what makes it a reference to another document
who          words that name somebody who acts, besides meaning/words.py
duties       light: words that two sentences with one meaning may differ in; scope: headings that
             say for whom or when; back: beginnings that may refer to what
             stands before; this: those that do
opposites    "closed = open": the same word turned round
quantities   words of numbers, units and comparisons in the words of meaning/quantities.py
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from llm.rules import Language

_NEVER = re.compile(r"(?!)")


@dataclass(frozen=True)
class Wording:
    language: Language
    vague: dict[str, re.Pattern[str]]
    text: dict[str, re.Pattern[str]]
    references: dict[str, re.Pattern[str]]
    reference_text: dict[str, re.Pattern[str]]
    who: frozenset[str]
    light: frozenset[str]
    scope: re.Pattern[str]
    back: re.Pattern[str]
    this: re.Pattern[str]
    opposites: dict[str, str]
    quantities: dict[str, str]
    quantity: re.Pattern[str]

    def says(self, name: str, text: str) -> bool:
        return bool(self.text.get(name, _NEVER).search(text))

    def with_known_quantities(self, text: str) -> str:
        """Numbers and units in the words that meaning/quantities.py reads."""
        return self.quantity.sub(lambda m: self.quantities[m.group().casefold()], text)


@cache
def for_language(language: Language) -> Wording:
    raw = resources.files(__name__.rpartition(".")[0]).joinpath(f"{language}.toml")
    data = tomllib.loads(raw.read_text(encoding="utf-8"))
    quantities = dict(_pairs(data.get("quantities", {}).get("words", "")))
    duties = data["duties"]
    return Wording(
        language=language,
        vague={name: _any_of(rules) for name, rules in data["vague"].items()},
        text={name: _compiled(rule) for name, rule in data["text"].items()},
        references={n: _compiled(rule) for n, rule in data["references"]["word"].items()},
        reference_text={
            n: _compiled(r) for n, r in data["references"].items() if isinstance(r, str)
        },
        who=frozenset(data["who"]["words"].casefold().split()),
        light=frozenset(duties["light"].casefold().split()),
        scope=_compiled(duties["scope"]),
        back=_compiled(duties["back"]),
        this=_compiled(duties["this"]),
        opposites=dict(_pairs(duties.get("opposites", ""))),
        quantities=quantities,
        quantity=_word_of(quantities),
    )


def _compiled(rule: str) -> re.Pattern[str]:
    return re.compile(rule, re.IGNORECASE)


def _any_of(rules: list[str]) -> re.Pattern[str]:
    return _compiled("|".join(f"(?:{rule})" for rule in rules))


def _pairs(lines: str) -> list[tuple[str, str]]:
    """Of "closed = open" in each line."""
    entries = (line.partition("=") for line in lines.splitlines() if "=" in line)
    return [(left.strip().casefold(), right.strip()) for left, _, right in entries]


def _word_of(words: dict[str, str]) -> re.Pattern[str]:
    if not words:
        return _NEVER
    names = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?=\w)(?:{names})(?!\w)", re.IGNORECASE)
