"""What the report says: one finding for one thing that the guideline's authors can mend."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["contradiction", "numbers", "vague", "reference", "actor"]
Severity = Literal["high", "medium", "low"]
KINDS: tuple[Kind, ...] = ("contradiction", "numbers", "reference", "vague", "actor")

MAX_OF_A_KIND = 20  # findings; who has mended those asks again
MAX_PLACES = 8  # of one finding
MAX_PLACE = 600  # characters; of a longer sentence only the part that matters


@dataclass(frozen=True)
class Place:
    """`text == source[start:end]`; offsets count characters."""

    start: int
    end: int
    text: str
    section: str


@dataclass(frozen=True)
class Finding:
    """message says in plain words what is wrong and what to do."""

    kind: Kind
    severity: Severity
    message: str
    places: tuple[Place, ...]


def place(
    source: str, start: int, end: int, section: str, around: tuple[int, int] | None = None
) -> Place:
    """A sentence; of one that is too long, what stands around the words that matter."""
    if end - start > MAX_PLACE:
        first, last = around or (start, start)
        start = max(start, first - MAX_PLACE // 2)
        end = min(end, max(last, first) + MAX_PLACE // 2, start + MAX_PLACE)
    return Place(start, end, source[start:end], section)


def as_report(findings: Iterable[Finding]) -> dict[str, Any]:
    """Kinds in their order, the most severe first, each kind cut to MAX_OF_A_KIND.

    `counts` holds all that were found, so that nobody takes a cut list for a whole one.
    """
    found = list(findings)
    ranks = ("high", "medium", "low")
    listed: list[Finding] = []
    for kind in KINDS:
        of_kind = [finding for finding in found if finding.kind == kind]
        of_kind.sort(key=lambda finding: ranks.index(finding.severity))
        listed += of_kind[:MAX_OF_A_KIND]
    return {
        "findings": [{**asdict(f), "places": [asdict(p) for p in f.places]} for f in listed],
        "counts": {kind: sum(finding.kind == kind for finding in found) for kind in KINDS},
    }
