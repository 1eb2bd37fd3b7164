"""Counts for people and for the tests: what the guard flags, and under which name."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cache

from tests.grounding.mutants import mutants_of
from tests.grounding.pairs import (
    Pair,
    engine_pairs,
    flags_by_document,
    flags_of,
    is_held_out,
    own_pairs,
)

# A change may rightly be reported under another name than the one it was made under.
_RIGHT_NAMES = {
    "condition dropped": {"condition", "number", "comparison"},
    "condition flipped": {"condition", "negation", "comparison", "invented"},
    "condition invented": {"condition", "invented", "actor"},
    "comparison": {"comparison", "condition"},
    "unit": {"unit", "number"},
    "negation": {"negation", "condition"},
    "citation": {"citation", "number", "invented", "condition"},
    "invented": {"invented", "citation", "condition"},
}


@dataclass
class Tally:
    made: Counter = field(default_factory=Counter)
    flagged: Counter = field(default_factory=Counter)
    rightly: Counter = field(default_factory=Counter)
    missed: list = field(default_factory=list)

    def share(self) -> float:
        return sum(self.flagged.values()) / max(1, sum(self.made.values()))


def tuned_pairs() -> list[Pair]:
    return [pair for number, pair in enumerate(own_pairs()) if not is_held_out(number)]


def held_out_pairs() -> list[Pair]:
    return [pair for number, pair in enumerate(own_pairs()) if is_held_out(number)]


def flagged(pairs: list[Pair]) -> list[tuple[Pair, list[dict]]]:
    return [(pair, flags) for pair in pairs if (flags := flags_of(pair))]


def tally(pairs: list[Pair]) -> Tally:
    counts = Tally()
    for mutant in mutants_of(pairs):
        kinds = {flag["kind"] for flag in flags_of(mutant.pair, mutant.item)}
        counts.made[mutant.kind] += 1
        counts.flagged[mutant.kind] += bool(kinds)
        counts.rightly[mutant.kind] += bool(kinds & _RIGHT_NAMES.get(mutant.kind, {mutant.kind}))
        if not kinds:
            counts.missed.append(mutant)
    return counts


@cache
def own_tallies() -> tuple[Tally, Tally]:
    """Of the pairs used for tuning, and of those held out."""
    return tally(tuned_pairs()), tally(held_out_pairs())


def faithful_lines() -> list[str]:
    counts = {
        "faithful, used for tuning": (len(tuned_pairs()), len(flagged(tuned_pairs()))),
        "faithful, held out": (len(held_out_pairs()), len(flagged(held_out_pairs()))),
        "faithful, engine on real guidelines": engine_counts(),
    }
    lines = [_line(name, made, found) for name, (made, found) in counts.items()]
    made, found = (sum(column) for column in zip(*counts.values(), strict=True))
    return [*lines, _line("faithful, all", made, found)]


def engine_counts() -> tuple[int, int]:
    built = flags_by_document(engine_pairs())
    return len(built), sum(bool(item["flags"]) or not item["supported"] for item in built)


def mutant_lines() -> list[str]:
    lines = []
    for name, counts in zip(("tuning", "held out"), own_tallies(), strict=True):
        for kind, made in counts.made.items():
            named = counts.rightly[kind] / made
            line = _line(f"mutants, {name}: {kind}", made, counts.flagged[kind])
            lines.append(f"{line}   rightly named {named:6.1%}")
        made, found = sum(counts.made.values()), sum(counts.flagged.values())
        lines.append(_line(f"mutants, {name}: all", made, found))
    made = sum(sum(counts.made.values()) for counts in own_tallies())
    found = sum(sum(counts.flagged.values()) for counts in own_tallies())
    return [*lines, _line("mutants, all", made, found)]


def _line(name: str, made: int, found: int) -> str:
    return f"{name:45} {made:6} flagged {found:6} {found / max(1, made):7.1%}"
