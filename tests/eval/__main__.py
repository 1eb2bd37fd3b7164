"""python -m tests.eval FOLDER: every guideline of a folder through the chain, measured.

Without --base-url the offline engine is started. Prints a line for each guideline and the total,
writes an HTML report, and ends with status 1 if a guideline could not be processed.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from llm.client import Client
from llm.offline import OfflineServer
from llm.offline.server import MODEL
from tests.eval import report
from tests.eval.compare import Changes, compare
from tests.eval.measure import Guideline, Prices, Row, Versions, guidelines_in, measure_all

LINE = "{name:<44} {must:>9} must  exact {exact:>6}  unsupported {unsupported:>5}"
GOLD = "  precision {precision:>6}  recall {recall:>6}  levels {levels:>6}"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    guidelines = guidelines_in(options.folder)
    if not guidelines:
        sys.stderr.write(f"no *.md, *.txt or *.adoc in {options.folder}\n")
        return 2
    for versions in filter(None, (options.prompts, options.against)):
        if missing := versions.missing():
            sys.stderr.write(f"there is no prompt {missing}\n")
            return 2
    started = time.monotonic()
    with ExitStack() as stack:
        url = options.base_url or stack.enter_context(OfflineServer())
        rows = _run(options, url, guidelines, options.prompts)
        other = _run(options, url, guidelines, options.against) if options.against else []
    changes = _differences(rows, other) if other else {}
    total = total_line(rows, time.monotonic() - started)
    for row in rows:
        sys.stdout.write(line(row) + "\n")
    for row in other:
        if row.error:
            sys.stdout.write(f"{line(row)} (with the other prompts)\n")
    for name, found in changes.items():
        sys.stdout.write(_changes_line(name, found) + "\n")
    sys.stdout.write(total + "\n")
    options.report.parent.mkdir(parents=True, exist_ok=True)
    about = report.About(options.model, total, str(options.prompts), str(options.against or ""))
    options.report.write_text(report.html(about, rows, other, changes), encoding="utf-8")
    return 1 if any(row.error for row in [*rows, *other]) else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.eval", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base-url", help="of an OpenAI-compatible endpoint")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--api-key-variable", default="OPENAI_API_KEY", help="where the key stands")
    parser.add_argument("--parallel", type=int, default=2, help="guidelines at a time")
    parser.add_argument("--deadline", type=float, default=600.0, help="seconds for a guideline")
    parser.add_argument(
        "--prices",
        type=json.loads,
        default=os.environ.get("MODEL_PRICES", "{}"),
        help='dollars per million tokens: {"gpt-4.1-mini": {"prompt": 0.4, "completion": 1.6}}',
    )
    parser.add_argument("--prompts", type=Versions.parse, default=Versions())
    parser.add_argument("--against", type=Versions.parse, help="as in summarize=1,checklist=2")
    parser.add_argument("--report", type=Path, default=Path(".local/eval.html"))
    return parser.parse_args(arguments)


def _run(
    options: argparse.Namespace, url: str, guidelines: list[Guideline], versions: Versions
) -> list[Row]:
    return asyncio.run(_measure(options, url, guidelines, versions))


async def _measure(
    options: argparse.Namespace, url: str, guidelines: list[Guideline], versions: Versions
) -> list[Row]:
    client = Client(
        api_key=os.environ.get(options.api_key_variable, "none"),
        base_url=url,
        model=options.model,
        timeout=options.deadline,
        max_reply_bytes=10_000_000,
    )
    try:
        return await measure_all(
            client,
            guidelines,
            versions=versions,
            prices=Prices.of(options.model, options.prices),
            parallel=options.parallel,
            deadline=options.deadline,
        )
    finally:
        await client.aclose()


def _differences(rows: Sequence[Row], other: Sequence[Row]) -> dict[str, Changes]:
    """From --prompts to --against."""
    return {
        row.name: compare(row.checklist, changed.checklist)
        for row, changed in zip(rows, other, strict=True)
        if not row.error and not changed.error
    }


def line(row: Row) -> str:
    if row.error:
        return f"{row.name:<44} failed: {row.error}"
    text = LINE.format(
        name=row.name,
        must=f"{row.must_covered}/{row.must}",
        exact=report.percent(report.ratio(row.exact, row.citations)),
        unsupported=report.percent(report.ratio(row.unsupported, row.citations, empty=0.0)),
    )
    text += f"  flags {row.flags}  {row.tokens} tokens  cost {row.cost:.4f}  {row.seconds:.1f} s"
    if row.recall is not None:
        text += GOLD.format(
            precision=report.percent(row.precision),
            recall=report.percent(row.recall),
            levels=report.percent(row.level_accuracy),
        )
    return text


def _changes_line(name: str, changes: Changes) -> str:
    return (
        f"{name:<44} same {changes.same}  changed {len(changes.changed)}"
        f"  added {len(changes.added)}  removed {len(changes.removed)}"
    )


def total_line(rows: Sequence[Row], seconds: float) -> str:
    names = ("statements", "must", "must_covered", "exact", "citations", "unsupported")
    sums = " ".join(f"{name}={sum(getattr(row, name) for row in rows)}" for name in names)
    return f"eval: files={len(rows)} {sums} seconds={seconds:.1f}"


if __name__ == "__main__":
    sys.exit(main())
