"""What is compared: the item, all that it cites, and what its words may mean there."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from llm.language import detect_passage
from llm.lazily import kept
from llm.meaning.clauses import MODAL, Clause, Parsed, Part, parse
from llm.meaning.glossaries import in_english
from llm.meaning.words import Vocabulary, content, readable, roles, roles_among, share, stem
from llm.rules import Language, Level
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
_INNER_COLON = re.compile(r":(?=\s)")
TAKEN_UP = 0.6  # of a clause of the source, by the item; from here on the item speaks of it
MAX_NEARBY = 20_000  # characters of a section in which an actor may be named
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

    @kept
    def language(self) -> Language:
        """Two small words in a row of headings, introduction and sentence tell it."""
        return detect_passage(f"{self.section} {self.stem} {self.text}", "en", at_least=2)

    @kept
    def parsed(self) -> Parsed:
        text, stem = readable(self.text), readable(self.stem)
        if stem and " | " not in stem and stem not in text:
            goes_on = opens_list(stem, self.language) or MODAL.match(text)
            stem = _INNER_COLON.sub("", stem) if goes_on else stem
            text = f"{stem.rstrip(': ')}{' ' if goes_on else ' . '}{text}"
        return parse(in_english(text, self.language))

    @kept
    def vocabulary(self) -> Vocabulary:
        around = in_english(readable(f"{self.stem} {self.section}"), self.language)
        return Vocabulary([*self.parsed.stems, *content(around)])


@dataclass(frozen=True)
class Context:
    """Who may be meant where a sentence names nobody: the audience, the rest of the section."""

    audience: str = ""
    nearby: str = ""

    @kept
    def text(self) -> str:
        return readable(f"{self.audience[:MAX_NEARBY]} . {self.nearby[:MAX_NEARBY]}")

    @kept
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(content(self.text))

    @kept
    def roles(self) -> Vocabulary:
        """The words that name somebody."""
        return Vocabulary(map(stem, roles(self.text)))

    @kept
    def readers(self) -> Vocabulary:
        """Those of its audience that name somebody: whom "you" may mean."""
        return Vocabulary(map(stem, roles(self.audience[:MAX_NEARBY])))


NO_CONTEXT = Context()


@dataclass(frozen=True)
class Item:
    """The parts of an item that carry meaning."""

    action: str
    actor: str
    level: str
    condition: str
    language: Language = "en"
    parsed: Parsed = field(init=False)

    def __post_init__(self) -> None:
        action = in_english(readable(self.action), self.language)
        condition = in_english(readable(self.condition), self.language) if self.condition else ""
        parsed = parse(action)
        if condition:
            extra = _conditions_of(condition, len(action) + len(" . "))
            for clause in parsed.clauses:
                clause.conditions.extend(extra)
        object.__setattr__(
            self,
            "parsed",
            Parsed(f"{action} . {condition}" if condition else action, parsed.clauses),
        )

    @kept
    def vocabulary(self) -> Vocabulary:
        """All its words, those of its actor too."""
        return Vocabulary([*self.parsed.vocabulary.stems, *self.actor_stems])

    @kept
    def actor_stems(self) -> list[str]:
        return content(self.actor)

    @kept
    def actor_roles(self) -> list[str]:
        """The stems of those of its actor's words that name somebody."""
        return [stem(role) for role in roles(self.actor)]


def _conditions_of(text: str, at: int) -> list[Part]:
    """A condition field holds conditions whether or not it says "if".

    at   where it stands in the item's text
    """
    found: list[Part] = []
    for clause in parse(f"   {text}").clauses:  # the blanks: it follows something
        if clause.text:
            found.append(Part(clause.text, clause.start, "field"))
        found.extend(part for part in clause.conditions if part not in found)
    return [replace(part, start=part.start - 3 + at) for part in found]


class Source:
    """All that an item cites, seen together. Each check of the guard asks it the same."""

    def __init__(self, cited: Sequence[Cited]) -> None:
        self.cited = cited
        self.language = cited[0].language
        self.clauses = [clause for c in cited for clause in c.parsed.clauses]
        self.quantities = [q for c in cited for q in c.parsed.quantities]
        alone = cited[0].vocabulary if len(cited) == 1 else None
        self.vocabulary = alone or Vocabulary(s for c in cited for s in c.vocabulary.stems)
        self.words = [word for c in cited for word in c.parsed.words]
        self.text = " . ".join(c.parsed.text for c in cited)
        self._best: dict[tuple[str, tuple[str, ...]], Clause | None] = {}
        self._item: Item | None = None
        self._taken_up: list[Clause] = []

    @kept
    def roles(self) -> Vocabulary:
        """The words that name somebody."""
        return Vocabulary(map(stem, roles_among(self.words)))

    def best_for(self, clause: Part) -> Clause | None:
        """The clause that shares most words; the earlier one where two share as many."""
        key = clause.text, tuple(clause.stems)
        if key not in self._best:
            self._best[key] = self._find_best(clause)
        return self._best[key]

    def taken_up(self, item: Item) -> list[Clause]:
        """The clauses that the item speaks of."""
        if self._item is not item:
            self._item, self._taken_up = item, self._find_taken_up(item)
        return self._taken_up

    def _find_best(self, clause: Part) -> Clause | None:
        if len(self.clauses) == 1:  # nothing to choose from
            only = self.clauses[0]
            is_like = any(map(only.words_with_conditions.holds, clause.stems))
            return only if is_like or only.text == clause.text else None
        best, most = None, 0.0
        for candidate in self.clauses:
            if candidate.text == clause.text:
                return candidate
            shared = _resemblance(clause.stems, candidate)
            if shared > most:
                best, most = candidate, shared
        return best

    def _find_taken_up(self, item: Item) -> list[Clause]:
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
    held = sum(map(everything.holds, wanted)) + len(wanted & everything.stems)
    done = sum(map(clause.does.holds, wanted)) + len(wanted & clause.does.stems)
    if stems and clause.does.holds(stems[0]):  # what an item begins with is what it is about
        done += 1 + clause.does.says(stems[0])
    asks = 1.2 if clause.modal else 1.0  # before one that only tells
    return asks * (held + 2 * done) / (4 + len(clause.stems)) if held else 0.0
