"""A table for spreadsheets: one row for each thing to do, and for each thing that is missing.

A row for each item, not for each citation: people sort, assign, count and tick off rows, and an
item that stood in three of them would be done three times. An item that cites several places has
them in one cell, in the same order in each column.
"""

import csv
import io
import re
from collections.abc import Iterable
from typing import Any

from jobs.exports.checklist import Checklist, Gap, Item, instant
from jobs.exports.text import fit, one_line

COLUMNS = [
    "done",  # to be ticked off
    "kind",
    "number",
    "category",
    "action",
    "level",
    "priority",
    "actor",
    "condition",
    "supported",
    "doubts",
    "quote",
    "section",
    "page",
    "start",
    "end",
    "match",
    "id",
    "job",
    "completed_at",
    "source_sha256",
    "made_by",
]
BETWEEN = " | "  # the citations of one item

# What a spreadsheet would run: a formula's first sign, also full-width, at a cell's beginning or
# where a cell would begin if the file were cut at semicolons, as Excel does in half of Europe.
_FORMULA = re.compile("(^|;)([\\s\ufeff\u200b]*)(?=[=+\\-@＝＋－＠])")


def write(checklist: Checklist) -> bytes:
    """RFC 4180. With a byte order mark: without one Excel takes UTF-8 for the local code page."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    made = _made(checklist)
    for row in [*map(_item, checklist.items), *map(_gap, checklist.gaps)]:
        table.writerow(cell((row | made).get(column, "")) for column in COLUMNS)
    return text.getvalue().encode("utf-8-sig")


def cell(value: Any) -> Any:
    """A number as it is; text on one line, with an apostrophe before what looks like a formula.

    The apostrophe is seen, the text behind it too (OWASP, CSV injection).
    """
    if not isinstance(value, str):
        return value
    return _FORMULA.sub(r"\1\2'", one_line(fit(value)))


def _made(checklist: Checklist) -> dict[str, Any]:
    """On every row, so that rows of several files can stand in one table."""
    return {
        "job": str(checklist.event_id),
        "completed_at": instant(checklist.completed_at),
        "source_sha256": checklist.source_sha256,
        "made_by": _joined(f"{step}: {value}" for step, value in checklist.made_by),
    }


def _item(item: Item) -> dict[str, Any]:
    cited = item.citations
    return {
        "kind": "item",
        "number": item.number,
        "category": item.category,
        "action": item.action,
        "level": item.duty,
        "priority": item.priority,
        "actor": item.actor,
        "condition": item.condition,
        "supported": "yes" if item.supported else "no",
        "doubts": _joined(item.doubts),
        "quote": _joined(c.quote for c in cited),
        "section": _joined(c.section for c in cited),
        "page": _numbers(c.page for c in cited),
        "start": _numbers(c.start for c in cited),
        "end": _numbers(c.end for c in cited),
        "match": _joined(c.match for c in cited),
        "id": item.id,
    }


def _gap(gap: Gap) -> dict[str, Any]:
    return {
        "kind": "not covered",
        "level": gap.levels,
        "quote": gap.text,
        "section": gap.section,
        "page": "" if gap.page is None else gap.page,
        "start": gap.start,
        "end": gap.end,
    }


def _joined(texts: Iterable[str]) -> str:
    return BETWEEN.join(texts)


def _numbers(values: Iterable[int | None]) -> int | str:
    """One number as a number, several as text; a blank holds the place of one that is missing."""
    known = list(values)
    if len(known) == 1:
        return "" if known[0] is None else known[0]
    if not any(value is not None for value in known):
        return ""
    return _joined("" if value is None else str(value) for value in known)
