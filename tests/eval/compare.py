"""Two runs over the same guideline, item by item: what another version of a prompt changes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Placed = tuple[dict[str, Any], frozenset[tuple[Any, ...]]]  # an item and the places it cites
IsTwin = Callable[[Placed, Placed], bool]
FIELDS = ("action", "actor", "level", "category", "priority", "condition")


@dataclass
class Changes:
    """changed holds (before, after, names of the fields that differ)."""

    same: int = 0
    changed: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = field(default_factory=list)
    added: list[dict[str, Any]] = field(default_factory=list)
    removed: list[dict[str, Any]] = field(default_factory=list)


def compare(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> Changes:
    """Items are the same sort of thing if they cite the same places; then their fields differ.

    Where several items cite the same places, equal levels are paired first.
    """
    changes = Changes()
    rest = [(item, _places(item)) for item in after]
    unpaired = []
    for item in before:
        if not _pair(changes, item, rest, _same_place_and_level):
            unpaired.append(item)
    changes.removed = [i for i in unpaired if not _pair(changes, i, rest, _shares_a_place)]
    changes.added = [item for item, _ in rest]
    return changes


def _pair(changes: Changes, item: dict[str, Any], rest: list[Placed], is_twin: IsTwin) -> bool:
    """Take the item's twin out of the rest and note how they differ; False if it has none."""
    placed = (item, _places(item))
    at = next((n for n, other in enumerate(rest) if is_twin(placed, other)), None)
    if at is None:
        return False
    _note(changes, item, rest.pop(at)[0])
    return True


def _same_place_and_level(one: Placed, other: Placed) -> bool:
    return one[1] == other[1] and one[0]["level"] == other[0]["level"]


def _shares_a_place(one: Placed, other: Placed) -> bool:
    return bool(one[1] & other[1])


def _note(changes: Changes, before: dict[str, Any], after: dict[str, Any]) -> None:
    differ = [name for name in FIELDS if before[name] != after[name]]
    if not differ and _places(before) != _places(after):
        differ = ["citations"]
    if differ:
        changes.changed.append((before, after, differ))
    else:
        changes.same += 1


def _places(item: dict[str, Any]) -> frozenset[tuple[Any, ...]]:
    return frozenset((c["start"], c["end"], c["quote"]) for c in item["citations"])
