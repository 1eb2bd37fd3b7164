"""What differs between two results: items and statements that are added, removed, changed, same.

An item is the same if it has the same id and says the same of it. Of the others, those that cite
the same sentence, or one that was edited, are pairs: one item that changed. How alike two are is
measured by the words that they share (Dice's coefficient of the bags of words), of what they quote
twice as much as of what they ask for. The best pairs are made first, each of what is alike enough.

Pairs are looked for between unchanged neighbours and among what shares rare words, a bounded number
each: the cost grows with the number of items, not with its square.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from llm.grounding import normalise
from llm.identity import places
from llm.markup import plain

SIMILAR = 0.6  # two of three words: the least for a pair
SIMILAR_HERE = 0.4  # the same between two unchanged neighbours, where little else can be meant
MAX_NEAR = 6  # places to either side, between the same neighbours
MAX_ALIKE = 12  # candidates that share rare words
RARE = 50  # a word in more entries than these tells nothing
MAX_WORDS = 400  # of one quote or action that are looked at

FIELDS = ("action", "actor", "level", "category", "priority", "condition", "flags")

# A sign of a script that puts no blanks between words is a word.
_WORD = re.compile(r"[\u2e80-\U0003ffff]|[^\W\u2e80-\U0003ffff]+")


@dataclass(frozen=True)
class Version:
    """A source and what `result.build_result` made of it."""

    source: str
    result: dict[str, Any]


def diff(before: Version, after: Version) -> dict[str, Any]:
    """{items, statements}, each {counts, added, removed, changed}; see docs/revisions.md.

    Entries are as in the results. Statements are those of the coverage; a result from before it
    named them all has none to compare: then `statements` is None.
    """
    return {"items": _items(before, after), "statements": _statements(before, after)}


def _items(before: Version, after: Version) -> dict[str, Any]:
    found = _compare(
        [_entry_of(item) for item in before.result["checklist"]],
        [_entry_of(item) for item in after.result["checklist"]],
    )
    same, edited = [], list(found.changed)
    for old, new in found.same:
        if _fields(old, new):
            edited.append((old, new, 1.0))
        else:
            same.append(new["id"])
    changed = [
        {"before": old, "after": new, "fields": _fields(old, new), "similarity": similarity}
        for old, new, similarity in sorted(edited, key=lambda pair: places(pair[1]))
    ]
    return {**_listed(found.added, found.removed, changed, len(same)), "same": same}


def _statements(before: Version, after: Version) -> dict[str, Any] | None:
    if any("covered_by" not in version.result["coverage"] for version in (before, after)):
        return None
    found = _compare(list(_entries_of(before)), list(_entries_of(after)))
    changed = [
        {"before": old, "after": new, "similarity": similarity}
        for old, new, similarity in found.changed
    ]
    return _listed(found.added, found.removed, changed, len(found.same))


def _listed(added: list[Any], removed: list[Any], changed: list[Any], same: int) -> dict[str, Any]:
    counts = {"added": len(added), "removed": len(removed), "changed": len(changed), "same": same}
    return {"counts": counts, "added": added, "removed": removed, "changed": changed}


def _fields(old: dict[str, Any], new: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What differs, before and after."""
    pairs = {name: (old[name], new[name]) for name in FIELDS}
    pairs["quotes"] = (_quotes(old), _quotes(new))
    return {
        name: {"before": was, "after": becomes}
        for name, (was, becomes) in pairs.items()
        if was != becomes
    }


def _quotes(item: dict[str, Any]) -> list[str]:
    return [" ".join(citation["quote"].split()) for citation in item["citations"]]


# What is compared


class _Words:
    """A bag of words: how often each stands there."""

    def __init__(self, text: str) -> None:
        found = islice(_WORD.finditer(text.casefold()), MAX_WORDS)
        self.counts = Counter(match.group() for match in found)
        self.size = self.counts.total()

    def shared_with(self, other: "_Words") -> float:
        """Dice's coefficient: 1 for the same words, 0 where none is shared."""
        if not self.size or not other.size:
            return 0.0
        few, many = sorted((self.counts, other.counts), key=len)
        shared = sum(min(few[word], many[word]) for word in few.keys() & many.keys())
        return 2 * shared / (self.size + other.size)


@dataclass(frozen=True)
class _Entry:
    """key: what makes it the same."""

    key: str
    quoted: _Words
    asked: _Words
    level: object
    value: dict[str, Any]

    @property
    def words(self) -> set[str]:
        return self.quoted.counts.keys() | self.asked.counts.keys()


def _entry_of(item: dict[str, Any]) -> _Entry:
    quoted = _Words(" ".join(citation["quote"] for citation in item["citations"]))
    return _Entry(item["id"], quoted, _Words(item["action"]), item["level"], item)


def _entries_of(version: Version) -> Iterator[_Entry]:
    """The statements of the coverage in the order of the source; equal ones are counted."""
    coverage = version.result["coverage"]
    states = (("covered", "covered_by"), ("missing",) * 2, ("not_actionable",) * 2)
    listed = [(entry, state) for state, name in states for entry in coverage.get(name, [])]
    seen: Counter[str] = Counter()
    for entry, state in sorted(listed, key=lambda pair: pair[0]["start"]):
        quote = version.source[entry["start"] : entry["end"]]
        said = "\x1f".join([*entry["levels"], normalise(quote)])
        seen[said] += 1
        text = plain(quote)
        words = _Words(text)
        place = {name: entry[name] for name in ("levels", "start", "end")}
        value = {"text": text, **place, "state": state}
        yield _Entry(f"{said}\x1e{seen[said]}", words, words, tuple(entry["levels"]), value)


# How they are compared


@dataclass(frozen=True)
class _Found:
    same: list[tuple[dict[str, Any], dict[str, Any]]]
    changed: list[tuple[dict[str, Any], dict[str, Any], float]]
    added: list[dict[str, Any]]
    removed: list[dict[str, Any]]


def _compare(before: Sequence[_Entry], after: Sequence[_Entry]) -> _Found:
    where = {entry.key: at for at, entry in enumerate(after)}
    found = ((at, where[entry.key]) for at, entry in enumerate(before) if entry.key in where)
    same = sorted(found, key=lambda pair: pair[1])
    taken = {new for _, new in same}
    kept = {old for old, _ in same}
    old_left = [at for at in range(len(before)) if at not in kept]
    new_left = [at for at in range(len(after)) if at not in taken]
    pairs = _pairs(before, after, old_left, new_left, same)
    gone, come = {old for old, _, _ in pairs}, {new for _, new, _ in pairs}
    return _Found(
        same=[(before[old].value, after[new].value) for old, new in same],
        changed=[(before[a].value, after[b].value, score) for a, b, score in pairs],
        added=[after[at].value for at in new_left if at not in come],
        removed=[before[at].value for at in old_left if at not in gone],
    )


def _pairs(
    before: Sequence[_Entry],
    after: Sequence[_Entry],
    old_left: list[int],
    new_left: list[int],
    same: list[tuple[int, int]],
) -> list[tuple[int, int, float]]:
    """The best first, in the order of `after`; of equally good ones the same level, the nearer."""
    here = set(_between_neighbours(len(before), len(after), old_left, new_left, same))
    scored = []
    for old, new in here | set(_alike(before, after, old_left, new_left)):
        score = _similarity(before[old], after[new])
        if score >= (SIMILAR_HERE if (old, new) in here else SIMILAR):
            other_level = before[old].level != after[new].level
            scored.append((-score, other_level, (old, new) not in here, abs(old - new), old, new))
    used_old, used_new, pairs = set(), set(), []
    for score, *_, old, new in sorted(scored):
        if old not in used_old and new not in used_new:
            used_old.add(old)
            used_new.add(new)
            pairs.append((old, new, round(-score, 3)))
    return sorted(pairs, key=lambda pair: pair[1])


def _between_neighbours(
    old_count: int,
    new_count: int,
    old_left: list[int],
    new_left: list[int],
    same: list[tuple[int, int]],
) -> Iterator[tuple[int, int]]:
    """Pairs that stand after the same unchanged entry and before the same, about as far away."""
    numbers = range(len(same))
    old_gaps = _gaps(old_count, old_left, {same[n][0]: n for n in numbers})
    new_gaps = _gaps(new_count, new_left, {same[n][1]: n for n in numbers})
    for neighbours, olds in old_gaps.items():
        news = new_gaps.get(neighbours, [])
        for at, old in enumerate(olds):
            yield from ((old, new) for new in news[max(0, at - MAX_NEAR) : at + MAX_NEAR + 1])


def _gaps(count: int, left: list[int], anchors: dict[int, int]) -> dict[tuple[int, int], list[int]]:
    """What is left, by the numbers of the unchanged entries before and behind it."""
    behind, following = [-1] * count, -1
    for at in reversed(range(count)):
        following = anchors.get(at, following)
        behind[at] = following
    gaps: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    waiting, last = set(left), -1
    for at in range(count):
        last = anchors.get(at, last)
        if at in waiting:
            gaps[last, behind[at]].append(at)
    return gaps


def _alike(
    before: Sequence[_Entry], after: Sequence[_Entry], old_left: list[int], new_left: list[int]
) -> Iterator[tuple[int, int]]:
    """Pairs that share words which few others have, wherever they stand."""
    having: defaultdict[str, list[int]] = defaultdict(list)
    for new in new_left:
        for word in after[new].words:
            having[word].append(new)
    for old in old_left:
        shared: Counter[int] = Counter()
        for word in before[old].words:
            if len(having[word]) <= RARE:
                shared.update(having[word])
        yield from ((old, new) for new, _ in shared.most_common(MAX_ALIKE))


def _similarity(old: _Entry, new: _Entry) -> float:
    asked = old.asked.shared_with(new.asked)
    if not old.quoted.size and not new.quoted.size:
        return asked
    return (2 * old.quoted.shared_with(new.quoted) + asked) / 3
