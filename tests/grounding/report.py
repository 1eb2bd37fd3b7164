"""Counts for people and for the tests: what the guard flags, and under which name."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import islice

from tests.grounding.mutants import mutants_of
from tests.grounding.pairs import (
    Pair,
    engine_pairs,
    flags_by_document,
    flags_of,
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


TUNED = ("pairs.txt", *(f"paraphrases-tune{number}.txt" for number in ("", "-2", "-3", "-4")))
# Measured first, then looked at once; and measured after everything else, and never tuned for.
HELD_OUT, BLIND = "paraphrases-held-out.txt", "paraphrases-blind.txt"


def pairs_in(*names: str) -> list[Pair]:
    return [pair for name in names for pair in own_pairs(name)]


def flagged(pairs: list[Pair]) -> list[tuple[Pair, list[dict]]]:
    return [(pair, flags) for pair in pairs if (flags := flags_of(pair))]


def tally(pairs: list[Pair], every: int = 1) -> Tally:
    counts = Tally()
    for mutant in islice(mutants_of(pairs), 0, None, every):
        kinds = {flag["kind"] for flag in flags_of(mutant.pair, mutant.item)}
        counts.made[mutant.kind] += 1
        counts.flagged[mutant.kind] += bool(kinds)
        counts.rightly[mutant.kind] += bool(kinds & _RIGHT_NAMES.get(mutant.kind, {mutant.kind}))
        if not kinds:
            counts.missed.append(mutant)
    return counts


@cache
def own_tallies(every: int = 1) -> dict[str, Tally]:
    """every: of so many wrong items one is looked at; all of them take a minute."""
    sets = {"tuned": TUNED, "held out": (HELD_OUT,), "blind": (BLIND,)}
    return {name: tally_by_file(files, every) for name, files in sets.items()}


def tally_by_file(names: Iterable[str], every: int = 1) -> Tally:
    """Citations are swapped within a file, whose documents the items share."""
    counts = Tally()
    for name in names:
        found = tally(own_pairs(name), every)
        counts.made += found.made
        counts.flagged += found.flagged
        counts.rightly += found.rightly
        counts.missed += found.missed
    return counts


def faithful_lines() -> list[str]:
    sets = {name: pairs_in(name) for name in (*TUNED, HELD_OUT, BLIND)}
    counts = {name: (len(pairs), len(flagged(pairs))) for name, pairs in sets.items()}
    own = [sum(column) for column in zip(*counts.values(), strict=True)]
    counts["our own, all"] = (own[0], own[1])
    counts["engine on real guidelines"] = engine_counts()
    return [_line(f"faithful: {name}", made, found) for name, (made, found) in counts.items()]


def engine_counts() -> tuple[int, int]:
    built = flags_by_document(engine_pairs())
    return len(built), sum(bool(item["flags"]) or not item["supported"] for item in built)


def mutant_lines() -> list[str]:
    lines = []
    for name, counts in own_tallies().items():
        for kind, made in counts.made.items():
            named = counts.rightly[kind] / made
            line = _line(f"mutants, {name}: {kind}", made, counts.flagged[kind])
            lines.append(f"{line}   rightly named {named:6.1%}")
        made, found = sum(counts.made.values()), sum(counts.flagged.values())
        lines.append(_line(f"mutants, {name}: all", made, found))
    made = sum(sum(counts.made.values()) for counts in own_tallies().values())
    found = sum(sum(counts.flagged.values()) for counts in own_tallies().values())
    return [*lines, _line("mutants, all", made, found)]


def _line(name: str, made: int, found: int) -> str:
    return f"{name:45} {made:6} flagged {found:6} {found / max(1, made):7.1%}"
