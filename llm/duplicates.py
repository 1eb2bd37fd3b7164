"""Items that say the same are one: a long guideline repeats itself, and its parts are read apart.

Merged are only items that agree in level, actor, condition, figures and negations, and either in
their whole action or in the places they cite and the words of their action that carry meaning.
What is in doubt is never merged with anything but its own copy: it would hide the doubt, or
spread it.
"""

import re
from collections.abc import Iterable
from typing import Any

from llm.grounding import normalise
from llm.identity import said_where
from llm.meaning.clauses import negators
from llm.meaning.words import content

_FIGURE = re.compile(r"\d[\d.,]*")
_ORDER = {"high": 0, "medium": 1, "low": 2}


def merged(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items of a public result, each said once: the first of its kind, with everybody's citations
    and the highest priority. In the order in which they come first.
    """
    groups: list[dict[str, Any]] = []
    found: dict[object, int] = {}
    for item in items:
        keys = _keys(item)
        at = next((found[key] for key in keys if key in found), len(groups))
        if at < len(groups):
            groups[at] = _united(groups[at], item)
        else:
            groups.append(item)
        for key in keys:
            found.setdefault(key, at)
    return groups


def _keys(item: dict[str, Any]) -> list[object]:
    if item["flags"] or not item["supported"]:
        return [("itself", said_where(item))]
    same = (
        item["level"],
        _plain(item["actor"]),
        _plain(item["condition"]),
        tuple(_FIGURE.findall(item["action"])),
        tuple(sorted(map(str.casefold, negators(item["action"])))),
    )
    places = frozenset((c["start"], c["end"]) for c in item["citations"])
    words = frozenset(content(item["action"]))
    keys: list[object] = [("itself", said_where(item)), ("action", same, _plain(item["action"]))]
    return [*keys, ("place", same, places, words)] if words else keys


def _plain(text: str) -> str:
    return normalise(text).casefold().strip(" .;")


def _united(first: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    citations = {(c["start"], c["end"], c["quote"]): c for c in first["citations"]}
    for citation in other["citations"]:
        citations.setdefault((citation["start"], citation["end"], citation["quote"]), citation)
    priority = min(first["priority"], other["priority"], key=_ORDER.__getitem__)
    return {**first, "citations": list(citations.values()), "priority": priority}
