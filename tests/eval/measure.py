"""One guideline through the chain, and the figures that say how well it went."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from llm import chain, prompts
from llm.client import Client
from llm.errors import LLMError
from llm.result import build_result
from tests.eval.gold import Gold, gold_for, matches, read_marked, sentences_of, words

PRODUCTION = prompts.labelled("production")
SUFFIXES = (".md", ".txt", ".adoc")


@dataclass(frozen=True)
class Guideline:
    """gold is ours, by offsets; sentences are those of a .requirements.json beside the file."""

    name: str
    source: str
    gold: list[Gold]
    sentences: list[dict[str, Any]]


@dataclass(frozen=True)
class Versions:
    """Which version of each prompt: "summarize=1,checklist=2", or a label such as "candidate"."""

    summarize: int = PRODUCTION["summarize"]
    checklist: int = PRODUCTION["checklist"]

    @classmethod
    def parse(cls, text: str) -> "Versions":
        if text in prompts.labels():
            versions = prompts.labelled(text)
            return cls(**{f.name: versions[f.name] for f in fields(cls) if f.name in versions})
        parts = dict(part.split("=") for part in text.split(",") if part)
        unknown = set(parts) - {"summarize", "checklist"}
        if unknown:
            raise ValueError(f"no such step: {', '.join(sorted(unknown))}")
        return cls(**{step: int(version) for step, version in parts.items()})

    def __str__(self) -> str:
        return ", ".join(f"{step} v{version}" for step, version in asdict(self).items())

    def missing(self) -> str:
        """The first prompt that does not exist, as "summarize.v9"; empty if all do."""
        for name, version in asdict(self).items():
            try:
                prompts.load(name, version)
            except FileNotFoundError:
                return f"{name}.v{version}"
        return ""


@dataclass(frozen=True)
class Prices:
    """Dollars for a million tokens."""

    prompt: float = 0.0
    completion: float = 0.0

    @classmethod
    def of(cls, model: str, prices: dict[str, dict[str, float]]) -> "Prices":
        """By model, in the form of the setting MODEL_PRICES; what is not listed costs nothing."""
        return cls(**prices.get(model, {}))

    def cost(self, usage: dict[str, int]) -> float:
        prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
        return (prompt * self.prompt + completion * self.completion) / 1_000_000


@dataclass
class Row:
    """The figures of one guideline. precision, recall and levels are None without gold."""

    name: str
    characters: int
    statements: int = 0
    must: int = 0
    must_covered: int = 0
    not_actionable: int = 0
    items: int = 0
    citations: int = 0
    exact: int = 0
    unsupported: int = 0
    flags: int = 0
    tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    precision: float | None = None
    recall: float | None = None
    level_accuracy: float | None = None
    error: str = ""
    checklist: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # statements that no item cites
    flag_kinds: Counter[str] = field(default_factory=Counter)

    @property
    def doubtful(self) -> list[dict[str, Any]]:
        """Items with a flag, or with a citation that does not stand in the source."""
        return [i for i in self.checklist if i.get("flags") or not i.get("supported", True)]


def guidelines_in(folder: Path) -> list[Guideline]:
    """Every text of a folder but its README. Marks of gold in a text are read and removed."""
    files = [f for f in sorted(folder.iterdir()) if f.suffix in SUFFIXES and f.stem != "README"]
    return [_read(file) for file in files]


def _read(file: Path) -> Guideline:
    source, gold = read_marked(file.read_text(encoding="utf-8"))
    return Guideline(file.name, source, gold or gold_for(file), sentences_of(file))


async def measure_all(
    client: Client,
    guidelines: Sequence[Guideline],
    *,
    versions: Versions,
    prices: Prices,
    parallel: int,
    deadline: float,
) -> list[Row]:
    """Rows in the order of the guidelines.

    deadline   seconds for each guideline
    """
    free = asyncio.Semaphore(parallel)

    async def one(guideline: Guideline) -> Row:
        async with free:
            return await _measure(client, guideline, versions, prices, deadline)

    return list(await asyncio.gather(*map(one, guidelines)))


async def _measure(
    client: Client, guideline: Guideline, versions: Versions, prices: Prices, seconds: float
) -> Row:
    row, started = Row(guideline.name, len(guideline.source)), time.monotonic()
    deadline = started + seconds
    try:
        first = await chain.summarize_guidelines(
            client, guideline.source, deadline=deadline, version=versions.summarize
        )
        second = await chain.generate_checklist(
            client, guideline.source, first.value, deadline=deadline, version=versions.checklist
        )
    except LLMError as error:
        row.error = f"{type(error).__name__}: {error}"
        return row
    result = build_result(guideline.source, first.value, second.value, {})
    row.seconds = time.monotonic() - started
    for usage in (first.usage, second.usage):
        row.tokens += usage["prompt_tokens"] + usage["completion_tokens"]
        row.cost += prices.cost(usage)
    fill(row, result, guideline)
    return row


def fill(row: Row, result: dict[str, Any], guideline: Guideline) -> None:
    """The figures that a result alone gives, and beside gold those that gold gives."""
    coverage, grounding, items = result["coverage"], result["grounding"], result["checklist"]
    row.statements, row.must = coverage["statements"], coverage["must"]
    row.must_covered = coverage["must_covered"]
    row.not_actionable = len(coverage["not_actionable"])
    row.items, row.checklist = len(items), items
    row.citations, row.exact = grounding["citations"], grounding["exact"]
    row.unsupported = grounding["unsupported"]
    flags = [flag for item in items for flag in item.get("flags") or ()]
    row.flags, row.flag_kinds = len(flags), Counter(flag["kind"] for flag in flags)
    row.missing = [statement["text"] for statement in coverage["missing"]]
    if guideline.gold:
        _score_by_offsets(row, items, guideline.gold)
    elif guideline.sentences:
        _score_by_words(row, items, guideline.sentences)


def _score_by_offsets(row: Row, items: list[dict[str, Any]], gold: Sequence[Gold]) -> None:
    """An item is right if it cites gold; one that cites optional gold alone counts neither way."""
    hits = [[g for g in gold if _cites(item, g)] for item in items]
    right = sum(any(not g.optional for g in found) for found in hits)
    wrong = sum(not found for found in hits)
    wanted = [g for g in gold if not g.optional]
    met = [[i for i in items if _cites(i, g)] for g in wanted]
    row.precision = right / (right + wrong) if right + wrong else 1.0
    _share(row, [(g.levels, found) for g, found in zip(wanted, met, strict=True)])


def _score_by_words(row: Row, items: list[dict[str, Any]], sentences: list[dict[str, Any]]) -> None:
    """Sentences are compared as words alone: their file has no offsets, and no mark-up."""
    cited = [(item, [words(c["quote"]) for c in item["citations"]]) for item in items]
    wanted = [(set(s["levels"]), words(s["text"])) for s in sentences]
    right = sum(
        any(_same_words(quote, text) for quote in quotes for _, text in wanted)
        for _, quotes in cited
    )
    row.precision = right / len(items) if items else 1.0
    met = [
        (levels, [i for i, quotes in cited if any(_same_words(q, text) for q in quotes)])
        for levels, text in wanted
    ]
    _share(row, met)


def _share(row: Row, met: Sequence[tuple[Any, list[dict[str, Any]]]]) -> None:
    """recall, and of what was met the share with all its levels."""
    found = [(levels, items) for levels, items in met if items]
    row.recall = len(found) / len(met) if met else 1.0
    right = sum(set(levels) <= {item["level"] for item in items} for levels, items in found)
    row.level_accuracy = right / len(found) if found else 1.0


def _cites(item: dict[str, Any], gold: Gold) -> bool:
    places = [(c["start"], c["end"]) for c in item["citations"] if c["start"] is not None]
    return any(matches(start, end, gold) for start, end in places)


def _same_words(quote: str, text: str) -> bool:
    return bool(quote) and (quote in text or text in quote)
