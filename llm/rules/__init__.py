"""How each language asks, allows and forbids: data in `<language>.toml`, read by one engine.

levels       patterns by level, tried on the lower-cased sentence. "a … b" is a frame: b follows a
             in the same clause, which is how German ("darf … nicht") splits its verbs. A weaker
             modal verb inside what a stronger pattern matched is not counted again; `none` matches
             what only looks like a level ("muss nicht").
explains     a match is no order where `before` fits the text before it (and `after` that behind
             it, and `modal` its own beginning): "weil Keime weitergegeben werden müssen"
imperatives  patterns that fit the beginning of an order; English has verbs.py for this
labels       what may stand before a colon, as in "Requirement: ...", and the level it gives
columns      heads of a table: of the column of rules, of levels, of what to do and not to do
cells        words in the column of levels
wording      for the offline engine: verb and passive find the subject of a modal verb, subject
             says how one begins, condition matches a leading clause with its comma
text         example, quiet_section, softens, condition, negation, stem, not_actionable

The modal verbs follow the ISO/IEC Directives, Part 2 (clause 7) and its national editions:
DIN 820-2 (muss, soll, darf), NF X00-001 (doit, il convient), UNE (debe, debería, puede).
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any, Literal

from llm.casing import caseless
from llm.rules.literals import needed

Level = Literal["must", "must_not", "should", "should_not", "may"]
Language = Literal["en", "de", "fr", "es"]
LANGUAGES: tuple[Language, ...] = ("en", "de", "fr", "es")
LEVELS: tuple[Level, ...] = ("must", "must_not", "should", "should_not", "may")
BINDING: frozenset[str] = frozenset({"must", "must_not"})
FORBIDDING: frozenset[str] = frozenset({"must_not", "should_not"})

# What shadows what: "must not" is not "must" as well, "darf nicht" not "darf".
_ORDER: tuple[str, ...] = ("none", "must_not", "should_not", "must", "should", "may")
_CLAUSE = 160  # characters; the parts of a frame stand no further apart
_CLAUSE_ENDS = re.compile(r"[;:!?]")


@dataclass(frozen=True)
class Frame:
    """A pattern of one or two parts that follow each other within one clause."""

    first: re.Pattern[str]
    then: re.Pattern[str] | None
    needed: frozenset[str]  # one of these is in whatever `first` matches

    def spans(self, lowered: str) -> Iterator[tuple[int, int, int]]:
        """(start, end of the first part, end) of each match, in linear time."""
        if self.then is None:
            for match in self.first.finditer(lowered):
                yield match.start(), match.end(), match.end()
            return
        firsts = [match.span() for match in self.first.finditer(lowered)]
        thens = [match.span() for match in self.then.finditer(lowered)] if firsts else []
        at = 0
        for start, end in firsts:
            while at < len(thens) and thens[at][0] < end:
                at += 1
            if at == len(thens):
                return
            near = thens[at][0] - end <= _CLAUSE
            if near and not _CLAUSE_ENDS.search(lowered, end, thens[at][0]):
                yield start, end, thens[at][1]


@dataclass(frozen=True)
class Explains:
    before: re.Pattern[str]
    after: re.Pattern[str] | None
    modal: re.Pattern[str] | None


@dataclass(frozen=True)
class Rules:
    language: Language
    levels: dict[str, list[Frame]]
    explains: list[Explains]
    imperatives: list[tuple[Level, re.Pattern[str]]]
    labels: dict[str, Level | None]
    columns: dict[str, re.Pattern[str]]
    cells: list[tuple[Level, re.Pattern[str]]]
    infinitive: re.Pattern[str] | None
    text: dict[str, re.Pattern[str]]
    wording: dict[str, re.Pattern[str]]
    stop_words: frozenset[str]

    def modal_levels(self, lowered: str) -> set[Level]:
        """The levels of all modal verbs of a lower-cased sentence that ask rather than explain."""
        found: set[Level] = set()
        taken: list[tuple[int, int]] = []
        possible = self._possible(lowered)
        for level in _ORDER:
            shadow = list(taken)
            for frame in possible.get(level, ()):
                for start, first_end, end in frame.spans(lowered):
                    if any(a <= start < b for a, b in shadow[:_MAX_SHADOWS]):
                        continue
                    if self._explained(lowered, start, first_end):
                        continue
                    taken.append((start, end))
                    if level != "none":
                        found.add(level)  # type: ignore[arg-type]
        return found

    def _possible(self, lowered: str) -> dict[str, list[Frame]]:
        """The frames by level, without those that lack a word they need."""
        there = {literal for literal in self._literals if literal in lowered}
        possible: dict[str, list[Frame]] = {}
        for level, frames in self.levels.items():
            found = [f for f in frames if not (f.needed and f.needed.isdisjoint(there))]
            if found:
                possible[level] = found
        return possible

    @cached_property
    def _literals(self) -> list[str]:
        return sorted(
            {text for frames in self.levels.values() for f in frames for text in f.needed}
        )

    @cached_property
    def _needed(self) -> dict[str, frozenset[str]]:
        return {name: needed(pattern.pattern) for name, pattern in self.text.items()}

    def _explained(self, lowered: str, start: int, end: int) -> bool:
        before = _BRACKETS.sub("", lowered[max(0, start - 300) : start])
        return any(
            (rule.modal is None or rule.modal.match(lowered, start, end))
            and rule.before.search(before)
            and (rule.after is None or rule.after.search(lowered[end : end + 300]))
            for rule in self.explains
        )

    def says(self, name: str, text: str) -> bool:
        """Is this kind of text found in it? See `text` above; False where a language has none."""
        pattern = self.text.get(name)
        if pattern is None:
            return False
        words = self._needed[name]
        if words:
            low = caseless(text)
            if not any(word in low for word in words):
                return False
        return pattern.search(text) is not None


_BRACKETS = re.compile(r"\([^()]*\)")
_MAX_SHADOWS = 50  # a sentence with more modal verbs than that is none


@cache
def for_language(language: Language) -> Rules:
    data = tomllib.loads(
        resources.files(__name__).joinpath(f"{language}.toml").read_text(encoding="utf-8")
    )
    any_case = re.IGNORECASE
    infinitive = data.get("imperatives", {}).get("infinitive")
    return Rules(
        language,
        {level: [_frame(rule) for rule in rules] for level, rules in data["levels"].items()},
        [_explains(entry) for entry in data["explains"]],
        _imperatives(data),
        {
            label: level if level in LEVELS else None
            for level, labels in data["labels"].items()
            for label in labels
        },
        {name: re.compile(rule, any_case) for name, rule in data["columns"].items()},
        [(level, re.compile(rule, any_case)) for level, rule in data["cells"].items()],
        re.compile(infinitive) if infinitive else None,
        {name: re.compile(rule, any_case) for name, rule in data["text"].items()},
        {name: re.compile(rule, any_case) for name, rule in data.get("wording", {}).items()},
        frozenset(data["stop_words"].split()),
    )


def _frame(rule: str) -> Frame:
    first, _, then = rule.partition(" … ")
    return Frame(re.compile(first), re.compile(then) if then else None, needed(first))


def _explains(entry: dict[str, str]) -> Explains:
    after, modal = entry.get("after"), entry.get("modal")
    return Explains(
        re.compile(entry["before"]),
        re.compile(after) if after else None,
        re.compile(modal) if modal else None,
    )


def _imperatives(data: dict[str, Any]) -> list[tuple[Level, re.Pattern[str]]]:
    """`{usted}` in a pattern stands for the file's list of such forms."""
    rules = data.get("imperatives", {})
    usted = "|".join(rules.get("usted", "").split())
    return [
        (level, re.compile(rule.replace("{usted}", usted)))
        for level in ("must_not", "should_not", "should", "must")
        for rule in rules.get(level, ())
    ]
