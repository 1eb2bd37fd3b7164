"""Gold: the normative statements that a person finds in a guideline, and how near a finder comes.

Three shapes of it:

- `<name>.requirements.json` beside a guideline: sentences with their levels (see `sentences_of`);
- `gold/<name>.json` here, for guidelines we may not copy: offsets, and the SHA-256 of the file;
- a text of our own with its statements marked where they stand: `⟦must: Wash your hands.⟧`.

A mark or an entry may be optional (`⟦may?: ...⟧`): readers may differ, so finding it is neither
right nor wrong.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm.markup import plain

FOLDER = Path(__file__).parent / "gold"
HALF = 0.5

_MARK = re.compile(r"⟦(?P<levels>[a-z_,]+)(?P<optional>\?)?: (?P<text>[^⟦⟧]*)⟧")


@dataclass(frozen=True)
class Gold:
    """One statement that is there: `source[start:end]`."""

    start: int
    end: int
    levels: frozenset[str]
    optional: bool = False


@dataclass(frozen=True)
class Score:
    """How a finder did. wrong and missed are spans of the source."""

    found: int
    right: int
    wanted: int
    met: int
    levels_right: int
    wrong: tuple[tuple[int, int], ...] = ()
    missed: tuple[tuple[int, int], ...] = ()

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        return self.met / self.wanted if self.wanted else 1.0

    @property
    def level_accuracy(self) -> float:
        return self.levels_right / self.met if self.met else 1.0


def read_marked(text: str) -> tuple[str, list[Gold]]:
    """The text without its marks, and what they mark."""
    source, gold, at = "", [], 0
    for mark in _MARK.finditer(text):
        source += text[at : mark.start()]
        levels = frozenset(mark["levels"].split(","))
        end = len(source) + len(mark["text"])
        gold.append(Gold(len(source), end, levels, mark["optional"] is not None))
        source += mark["text"]
        at = mark.end()
    return source + text[at:], gold


def gold_for(path: Path) -> list[Gold]:
    """Our gold for a guideline; empty where there is none, or where the file has changed since."""
    file = FOLDER / f"{path.stem}.json"
    if not file.exists():
        return []
    data = json.loads(file.read_text(encoding="utf-8"))
    if data["sha256"] != hashlib.sha256(path.read_bytes()).hexdigest():
        return []
    return [
        Gold(e["start"], e["end"], frozenset(e["levels"]), e.get("optional", False))
        for e in data["statements"]
    ]


def sentences_of(path: Path) -> list[dict]:
    """`<name>.requirements.json`: [{"heading", "stem", "text", "levels"}]; empty if absent."""
    file = path.with_suffix(".requirements.json")
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def words(text: str) -> str:
    return re.sub(r"\W+", " ", plain(text)).strip().lower()


def score(found: Sequence[tuple[int, int, Iterable[str]]], gold: Sequence[Gold]) -> Score:
    """Compare spans with their levels. Two match where they share half of the shorter one.

    A finding that touches only optional gold counts neither way.
    """
    required = [g for g in gold if not g.optional]
    met = [[f for f in found if matches(f[0], f[1], g)] for g in required]
    right = [f for f in found if any(matches(f[0], f[1], g) for g in required)]
    wrong = [f for f in found if not any(matches(f[0], f[1], g) for g in gold)]
    return Score(
        found=len(right) + len(wrong),
        right=len(right),
        wanted=len(required),
        met=sum(map(bool, met)),
        levels_right=sum(
            any(g.levels == set(f[2]) for f in hits) for g, hits in zip(required, met, strict=True)
        ),
        wrong=tuple((f[0], f[1]) for f in wrong),
        missed=tuple((g.start, g.end) for g, hits in zip(required, met, strict=True) if not hits),
    )


def matches(start: int, end: int, gold: Gold) -> bool:
    """Do they share half of the shorter one?"""
    shared = min(end, gold.end) - max(start, gold.start)
    return shared > 0 and shared >= HALF * min(end - start, gold.end - gold.start)
