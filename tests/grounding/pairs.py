"""Faithful pairs of an item and its source: our own, and those made from real guidelines."""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from llm.offline import engine
from llm.passages import split_passages
from llm.result import build_result
from llm.statements import find_convention

GUIDELINES = Path(__file__).resolve().parents[3] / "shared" / "guidelines"
_FOLDER = Path(__file__).parent

NO_SUMMARY = {"title": "", "scope": "", "audience": "", "statements": []}


@dataclass(frozen=True)
class Pair:
    """An item as a model gives it, and the whole document that it was made from."""

    name: str
    document: str
    item: dict
    summary: dict = field(default_factory=lambda: {**NO_SUMMARY})


def own_pairs(name: str = "pairs.txt") -> list[Pair]:
    """What a file here holds: every sentence with each of its items."""
    pairs = []
    for section in (_FOLDER / name).read_text(encoding="utf-8").split("\n## ")[1:]:
        title, *lines = section.splitlines()
        document = _document(title, lines)
        pairs.extend(_items(title, document, lines))
    return pairs


def _document(title: str, lines: list[str]) -> str:
    blocks = [f"# {title}"]
    in_list = False
    for line in lines:
        kind, _, text = line.partition(" ")
        if kind == "L":
            in_list = bool(text)
        if kind in "AL" and text:
            blocks.append(text)
        elif kind == "S":
            blocks.append(f"- {text}" if in_list else text)
    return "\n\n".join(blocks) + "\n"


def _items(title: str, document: str, lines: list[str]) -> list[Pair]:
    pairs, stem, sentence = [], "", ""
    for line in lines:
        kind, _, text = line.partition(" ")
        if kind == "L":
            stem = text
        elif kind == "S":
            sentence = text
        elif kind == "I":
            level, actor, action, condition = (part.strip() for part in text.split("|"))
            quotes = [sentence, stem] if stem else [sentence]
            item = as_item(level, actor, action, condition, quotes)
            pairs.append(Pair(f"{title} {len(pairs) + 1}", document, item))
    return pairs


def as_item(level, actor, action, condition, quotes):
    return {
        "action": action,
        "actor": actor,
        "level": level,
        "category": "General",
        "priority": "high",
        "condition": condition,
        "citations": [{"passage": 0, "quote": quote} for quote in quotes],
    }


def flags_of(pair: Pair, item: dict | None = None) -> list[dict]:
    """Through the door that a job uses: the whole result is built."""
    result = build_result(pair.document, pair.summary, {"items": [item or pair.item]}, {})
    (built,) = result["checklist"]
    if not built["supported"]:
        return [{"kind": "citation", "lost": "", "found": "unsupported"}, *built["flags"]]
    return built["flags"]


@cache
def engine_pairs() -> list[Pair]:
    """What the offline engine extracts from the real guidelines; [] where those are absent.

    The engine only rewords by rule, so that its items are faithful wherever its grammar is right.
    """
    return [pair for path in sorted(GUIDELINES.glob("*.md")) for pair in _engine_items(path)]


def _engine_items(path: Path) -> list[Pair]:
    document = path.read_text(encoding="utf-8")
    passages = split_passages(document)
    data = {
        "convention": find_convention(passages),
        "passages": [
            {"id": p.id, "section": p.section, "stem": p.stem, "text": p.text}
            for p in passages
            if p.kind not in ("code", "heading")
        ],
    }
    summary = json.loads(engine.answer(json.dumps(data), "summary"))
    checklist = engine.answer(json.dumps({**data, "summary": summary}), "checklist")
    items = json.loads(checklist)["items"]
    return [
        Pair(f"{path.stem} {number}", document, item, summary) for number, item in enumerate(items)
    ]


def flags_by_document(pairs: list[Pair]) -> list[dict]:
    """Built items of many pairs, each document looked at once; for documents that are long."""
    built = []
    for document in dict.fromkeys(pair.document for pair in pairs):
        mine = [pair for pair in pairs if pair.document == document]
        checklist = {"items": [pair.item for pair in mine]}
        built.extend(build_result(document, mine[0].summary, checklist, {})["checklist"])
    return built
