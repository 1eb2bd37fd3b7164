"""What makes an item of a checklist the same item in the next revision of its guideline.

Its id is a digest of what it says and of what it quotes: where a sentence stands, and how its lines
are broken, may change without its item becoming another.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

from llm.grounding import normalise
from llm.markup import plain

ID_LENGTH = 12  # hex digits; 48 bits, unique among any job's items


def identify(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each item once, with its `id` first, in the order of the source.

    What says the same of the same place is one item. What says the same of several places is
    counted: the second such sentence of the guideline makes "the second such item".
    """
    once: dict[tuple[str, ...], dict[str, Any]] = {}
    for item in items:
        once.setdefault(said_where(item), item)
    seen: Counter[str] = Counter()
    identified = []
    for item in sorted(once.values(), key=places):
        said = _said(item)
        seen[said] += 1
        identified.append({"id": _digest(said, seen[said]), **item})
    return identified


def places(item: dict[str, Any]) -> tuple[bool, list[int]]:
    """Where its quotes begin, to sort by: what nothing supports comes after all others."""
    starts = sorted(c["start"] for c in item["citations"] if c["start"] is not None)
    return not starts, starts


def _said(item: dict[str, Any]) -> str:
    quotes = (normalise(citation["quote"]) for citation in item["citations"])
    return "\x1f".join([*_words(item), *quotes])


def said_where(item: dict[str, Any]) -> tuple[str, ...]:
    """Equal for items that say the same of the same place."""
    places = (f"{c['start']}:{c['end']}:{c['quote']}" for c in item["citations"])
    return *_words(item), *places


def _words(item: dict[str, Any]) -> tuple[str, ...]:
    return item["level"], *(plain(item[name]) for name in ("action", "actor", "condition"))


def _digest(said: str, occurrence: int) -> str:
    counted = said if occurrence == 1 else f"{said}\x1e{occurrence}"
    return hashlib.sha256(counted.encode("utf-8", "surrogatepass")).hexdigest()[:ID_LENGTH]
