"""The HTML report: one file, plots as inline SVG, no script, readable in light and dark.

All text in it comes from guidelines and models, so that all of it is escaped.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

from tests.eval.compare import Changes
from tests.eval.measure import Row

_WIDTH, _BAR, _GAP = 360, 10, 34  # pixels of a plot, of a bar, and of a bar with its name
_SHORT = 0.95  # a share below it stands out
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --card: #f6f8fa; --line: #d0d7de;
  --bar: #2f6fb5; --low: #b5532f; --quiet: #59636e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --paper: #14171a; --card: #1d2126;
  --line: #3a4047; --bar: #6aa9e9; --low: #e9986a; --quiet: #9aa3ad; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin: 0; } h2 { margin: 2.5rem 0 .75rem; font-size: 1.25rem; }
h3 { margin: 0 0 .5rem; font-size: 1rem; }
code { overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.9rem, 1fr)); gap: .75rem;
  margin: 1.5rem 0; padding: 0; }
.figures div { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .75rem; }
.figures dt { color: var(--quiet); font-size: 13px; }
.figures dd { margin: 0; font-size: 1.4rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr));
  gap: 1rem; }
.plots section { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 1rem; min-width: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13px;
  font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .5rem; text-align: right;
  white-space: nowrap; }
th { color: var(--quiet); font-weight: 600; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0;
  background: var(--paper); max-width: min(16rem, 40vw); overflow: hidden;
  text-overflow: ellipsis; }
.items td, .items th { text-align: left; vertical-align: top; white-space: normal;
  overflow-wrap: anywhere; }
.items td:first-child, .items td:nth-last-child(3) { position: static; white-space: nowrap; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
.bar { fill: var(--bar); } .low { fill: var(--low); } .rail { fill: var(--line); opacity: .5; }
.quiet { color: var(--quiet); } .bad { color: var(--low); }
del { color: var(--low); } ins { color: var(--bar); text-decoration: none; }
details { border-bottom: 1px solid var(--line); padding: .5rem 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
"""
COLUMNS = (
    ("guideline", lambda r: r.name),
    ("statements", lambda r: str(r.statements)),
    ("must", lambda r: f"{r.must_covered}/{r.must}"),
    ("covered", lambda r: percent(ratio(r.must_covered, r.must))),
    ("not actionable", lambda r: str(r.not_actionable)),
    ("items", lambda r: str(r.items)),
    ("citations", lambda r: str(r.citations)),
    ("exact", lambda r: percent(ratio(r.exact, r.citations))),
    ("unsupported", lambda r: percent(ratio(r.unsupported, r.citations, empty=0.0))),
    ("flags", lambda r: str(r.flags)),
    ("precision", lambda r: percent(r.precision)),
    ("recall", lambda r: percent(r.recall)),
    ("levels", lambda r: percent(r.level_accuracy)),
    ("tokens", lambda r: f"{r.tokens:,}"),
    ("cost", lambda r: f"${r.cost:.4f}"),
    ("seconds", lambda r: f"{r.seconds:.1f}"),
)


@dataclass(frozen=True)
class About:
    """What was run. against: the other prompts, empty where there were none."""

    model: str
    total: str
    prompts: str
    against: str = ""


def ratio(part: float, whole: float, empty: float = 1.0) -> float:
    """empty: what nothing out of nothing is."""
    return part / whole if whole else empty


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}%"


def html(
    about: About, rows: Sequence[Row], other: Sequence[Row], changes: dict[str, Changes]
) -> str:
    done = [row for row in rows if not row.error]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'><title>Guidepost: evaluation</title>",
        f"<style>{_STYLE}</style><h1>Evaluation</h1>",
        f"<p class=quiet>{escape(about.model)}, {escape(about.prompts)},"
        f" {datetime.now(UTC):%Y-%m-%d %H:%M} UTC</p>",
        _figures(done),
        f"<h2>By guideline</h2>{_table(rows)}",
        _plots(done),
        *_comparison(about, done, other, changes),
        *_doubts(done),
        f"<p class=quiet><code>{escape(about.total)}</code></p>",
        "</html>\n",
    ]
    return "\n".join(parts)


def _figures(rows: Sequence[Row]) -> str:
    def total(name: str) -> float:
        return sum(getattr(row, name) for row in rows)

    citations = total("citations")
    figures = (
        ("guidelines", f"{len(rows)}"),
        ("requirements covered", percent(ratio(total("must_covered"), total("must")))),
        ("citations word for word", percent(ratio(total("exact"), citations))),
        ("unsupported", percent(ratio(total("unsupported"), citations, empty=0.0))),
        ("flags", f"{total('flags'):,.0f}"),
        ("tokens", f"{total('tokens'):,.0f}"),
        ("cost", f"${total('cost'):.4f}"),
        ("seconds per document", f"{ratio(total('seconds'), len(rows), empty=0.0):.1f}"),
    )
    cells = "".join(f"<div><dt>{name}</dt><dd>{said}</dd></div>" for name, said in figures)
    return f"<dl class=figures>{cells}</dl>"


def _table(rows: Iterable[Row]) -> str:
    heads = "".join(f"<th>{escape(name)}</th>" for name, _ in COLUMNS)
    body = "".join(_row(row) for row in rows)
    return f"<div class=scroll><table><tr>{heads}</tr>{body}</table></div>"


def _row(row: Row) -> str:
    name = f"<td title='{escape(row.name, quote=True)}'>{escape(row.name)}</td>"
    if row.error:
        span = len(COLUMNS) - 1
        return f"<tr>{name}<td class=bad colspan={span}>failed: {escape(row.error)}</td></tr>"
    return f"<tr>{name}" + "".join(f"<td>{escape(show(row))}</td>" for _, show in COLUMNS[1:])


def _plots(rows: Sequence[Row]) -> str:
    kinds = sum((row.flag_kinds for row in rows), Counter())
    plots = [
        _plot("Requirements that an item cites", [(r.name, r.must_covered, r.must) for r in rows]),
        _plot("Citations found word for word", [(r.name, r.exact, r.citations) for r in rows]),
        _plot("Recall, where there is gold", _shares(rows, "recall")),
        _plot("Precision, where there is gold", _shares(rows, "precision")),
        _plot("Flags by kind", _of_longest([(k, float(n)) for k, n in kinds.most_common()], "")),
        _plot("Tokens", _of_longest([(r.name, float(r.tokens)) for r in rows], "")),
        _plot("Cost", _of_longest([(r.name, r.cost) for r in rows if r.cost], "$")),
        _plot("Seconds", _of_longest([(r.name, r.seconds) for r in rows], "s")),
    ]
    return f"<h2>Plots</h2><div class=plots>{''.join(plots)}</div>"


Bar = tuple[str, float, float] | tuple[str, float, float, str]


def _shares(rows: Iterable[Row], name: str) -> list[Bar]:
    found = [(row.name, getattr(row, name)) for row in rows]
    return [
        (row_name, share, 1.0, percent(share)) for row_name, share in found if share is not None
    ]


def _of_longest(values: Sequence[tuple[str, float]], unit: str) -> list[Bar]:
    longest = max((value for _, value in values), default=0.0)
    shown = {"": "{:,.0f}", "s": "{:,.1f} s", "$": "${:.4f}"}[unit]
    return [(name, value, longest, shown.format(value)) for name, value in values]


def _plot(title: str, bars: Sequence[Bar]) -> str:
    """Horizontal bars, each a part of its whole, its name above it; a low share stands out."""
    if not bars:
        return ""
    height = len(bars) * _GAP
    drawn = "".join(_bar(number, *bar) for number, bar in enumerate(bars))
    return (
        f"<section><h3>{escape(title)}</h3><svg viewBox='0 0 {_WIDTH} {height}' role=img"
        f" aria-label='{escape(title, quote=True)}'>{drawn}</svg></section>"
    )


def _bar(number: int, name: str, part: float, whole: float, label: str = "") -> str:
    top, share = number * _GAP, ratio(part, whole)
    kind = "bar" if (label and not label.endswith("%")) or share >= _SHORT else "low"
    said = label or f"{part:.0f} of {whole:.0f}"
    return (
        f"<text x=0 y={top + 11}>{escape(name[:40])}</text>"
        f"<text x={_WIDTH} y={top + 11} text-anchor=end>{escape(said)}</text>"
        f"<rect class=rail x=0 y={top + 15} width={_WIDTH} height={_BAR} rx=2 />"
        f"<rect class={kind} x=0 y={top + 15} width={_WIDTH * share:.1f} height={_BAR} rx=2 />"
    )


# Two versions of a prompt


def _comparison(
    about: About, rows: Sequence[Row], other: Sequence[Row], changes: dict[str, Changes]
) -> Iterable[str]:
    if not other:
        return
    yield f"<h2>{escape(about.prompts)} against {escape(about.against)}</h2>"
    after = {row.name: row for row in other}
    body = "".join(_pair(row, after[row.name]) for row in rows if row.name in after)
    heads = "".join(f"<th>{escape(name)}</th>" for name, _ in COLUMNS)
    yield f"<div class=scroll><table><tr>{heads}</tr>{body}</table></div>"
    yield from (_changes(name, found) for name, found in changes.items())


def _pair(before: Row, after: Row) -> str:
    if after.error:
        return _row(after)
    cells = [_was_and_is(show(before), show(after)) for _, show in COLUMNS[1:]]
    return f"<tr><td>{escape(before.name)}</td>" + "".join(f"<td>{cell}</td>" for cell in cells)


def _was_and_is(before: str, after: str) -> str:
    same = before == after
    return escape(before) if same else f"{escape(before)} → <ins>{escape(after)}</ins>"


def _changes(name: str, changes: Changes) -> str:
    lines = [_line("changed", before, after, fields) for before, after, fields in changes.changed]
    lines += [_line("added", {}, item, ["level", "action"]) for item in changes.added]
    lines += [_line("removed", item, {}, ["level", "action"]) for item in changes.removed]
    counts = (
        f"{changes.same} the same, {len(changes.changed)} changed, {len(changes.added)} added,"
        f" {len(changes.removed)} removed"
    )
    heads = "<tr><th>item</th><th>field</th><th>before</th><th>after</th></tr>"
    table = f"<div class=scroll><table class=items>{heads}{''.join(lines)}</table></div>"
    summary = f"<summary>{escape(name)}: {counts}</summary>"
    return f"<details>{summary}{table if lines else ''}</details>"


def _line(what: str, before: dict[str, Any], after: dict[str, Any], fields: list[str]) -> str:
    return "".join(
        f"<tr><td>{what if not number else ''}</td><td>{escape(field)}</td>"
        f"<td><del>{_said(before, field)}</del></td><td><ins>{_said(after, field)}</ins></td></tr>"
        for number, field in enumerate(fields)
    )


def _said(item: dict[str, Any], field: str) -> str:
    value = item.get(field, "")
    if field == "citations":
        value = " / ".join(citation["quote"] for citation in value or ())
    return escape(str(value)[:300])


# What a reader has to look at


def _doubts(rows: Sequence[Row]) -> Iterable[str]:
    found = [row for row in rows if row.missing or row.doubtful]
    if found:
        yield "<h2>To look at</h2>"
    for row in found:
        summary = f"{len(row.missing)} not covered, {len(row.doubtful)} doubtful items"
        lines = [
            f"<tr><td>not covered</td><td>{escape(text[:300])}</td></tr>" for text in row.missing
        ]
        lines += [_doubt(item) for item in row.doubtful]
        yield (
            f"<details><summary>{escape(row.name)}: {summary}</summary><div class=scroll>"
            f"<table class=items>{''.join(lines)}</table></div></details>"
        )


def _doubt(item: dict[str, Any]) -> str:
    flags = "".join(
        f"<br>{escape(f['kind'])}: <del>{escape(f['lost'])}</del> <ins>{escape(f['found'])}</ins>"
        for f in item.get("flags") or ()
    )
    quotes = " / ".join(citation["quote"] for citation in item["citations"])
    kind = "flagged" if item.get("supported", True) else "unsupported"
    return (
        f"<tr><td>{kind}</td><td>{escape(item['action'][:300])}{flags}"
        f"<br><span class=quiet>{escape(quotes[:400])}</span></td></tr>"
    )
