"""The HTML report: one file, plots as inline SVG, no script, readable in light and dark."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from tests.eval.compare import Changes
from tests.eval.measure import Row

_WIDTH, _BAR, _GAP, _LABEL = 720, 16, 8, 270  # pixels of a plot, a bar, what lies between, names
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d0d7de; --bar: #2f6fb5;
  --low: #b5532f; --quiet: #667; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --paper: #14171a; --line: #3a4047;
  --bar: #6aa9e9; --low: #e9986a; --quiet: #9aa3ad; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 84rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-size: 13px;
  font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .5rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
.scroll { overflow-x: auto; }
svg { max-width: 100%; height: auto; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
.bar { fill: var(--bar); } .low { fill: var(--low); } .rail { fill: var(--line); opacity: .4; }
.quiet { color: var(--quiet); } del { color: var(--low); } ins { color: var(--bar); }
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
    ("tokens", lambda r: str(r.tokens)),
    ("cost", lambda r: f"{r.cost:.4f}"),
    ("seconds", lambda r: f"{r.seconds:.1f}"),
)


def ratio(part: float, whole: float, empty: float = 1.0) -> float:
    """empty: what nothing out of nothing is."""
    return part / whole if whole else empty


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}%"


def html(rows: Sequence[Row], total: str, model: str, changes: dict[str, Changes]) -> str:
    done = [row for row in rows if not row.error]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'><title>Guidepost: evaluation</title>",
        f"<style>{_STYLE}</style><h1>Evaluation</h1>",
        f"<p>{escape(model)}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC</p>",
        f"<p><code>{escape(total)}</code></p>",
        _table(rows),
        *(_changes(name, found) for name, found in changes.items()),
        _plot("Requirements that an item cites", [(r.name, r.must_covered, r.must) for r in done]),
        _plot("Citations found word for word", [(r.name, r.exact, r.citations) for r in done]),
        _plot("Recall, where there is gold", _shares(done, "recall")),
        _plot("Precision, where there is gold", _shares(done, "precision")),
        _plot("Seconds", _of_longest([(r.name, r.seconds) for r in done], "s")),
        _plot("Tokens", _of_longest([(r.name, float(r.tokens)) for r in done], "")),
        "</html>\n",
    ]
    return "\n".join(parts)


def _table(rows: Iterable[Row]) -> str:
    heads = "".join(f"<th>{escape(name)}</th>" for name, _ in COLUMNS)
    body = "".join(_row(row) for row in rows)
    return f"<div class=scroll><table><tr>{heads}</tr>{body}</table></div>"


def _row(row: Row) -> str:
    if row.error:
        span = len(COLUMNS) - 1
        return f"<tr><td>{escape(row.name)}</td><td colspan={span}>{escape(row.error)}</td></tr>"
    return "<tr>" + "".join(f"<td>{escape(show(row))}</td>" for _, show in COLUMNS) + "</tr>"


Bar = tuple[str, float, float] | tuple[str, float, float, str]


def _shares(rows: Iterable[Row], name: str) -> list[Bar]:
    found = [(row.name, getattr(row, name)) for row in rows]
    return [
        (row_name, share, 1.0, percent(share)) for row_name, share in found if share is not None
    ]


def _of_longest(values: Sequence[tuple[str, float]], unit: str) -> list[Bar]:
    longest = max((value for _, value in values), default=0.0)
    return [(name, value, longest, f"{value:,.1f} {unit}".rstrip()) for name, value in values]


def _plot(title: str, bars: Sequence[Bar]) -> str:
    """Horizontal bars, each a part of its whole; one short of 95 % of a share stands out."""
    if not bars:
        return ""
    height = len(bars) * (_BAR + _GAP)
    drawn = "".join(_bar(number, *bar) for number, bar in enumerate(bars))
    return (
        f"<h2>{escape(title)}</h2><svg viewBox='0 0 {_WIDTH} {height}' width={_WIDTH}"
        f" height={height} role=img aria-label='{escape(title, quote=True)}'>{drawn}</svg>"
    )


def _bar(number: int, name: str, part: float, whole: float, label: str = "") -> str:
    top, rail = number * (_BAR + _GAP), _WIDTH - _LABEL - 110
    share = ratio(part, whole)
    kind = "bar" if (label and not label.endswith("%")) or share >= 0.95 else "low"
    said = label or f"{part:.0f} of {whole:.0f}"
    return (
        f"<text x=0 y={top + 13}>{escape(name[:42])}</text>"
        f"<rect class=rail x={_LABEL} y={top} width={rail} height={_BAR} />"
        f"<rect class={kind} x={_LABEL} y={top} width={rail * share:.1f} height={_BAR} />"
        f"<text x={_LABEL + rail + 8} y={top + 13}>{escape(said)}</text>"
    )


def _changes(name: str, changes: Changes) -> str:
    lines = [
        f"<li>{escape(', '.join(fields))}: "
        + "; ".join(_change(str(before.get(f, "")), str(after.get(f, ""))) for f in fields)
        for before, after, fields in changes.changed
    ]
    lines += [f"<li><ins>{escape(item['action'])}</ins>" for item in changes.added]
    lines += [f"<li><del>{escape(item['action'])}</del>" for item in changes.removed]
    counts = (
        f"{changes.same} the same, {len(changes.changed)} changed, {len(changes.added)} added,"
        f" {len(changes.removed)} removed"
    )
    return (
        f"<details><summary>{escape(name)}: {counts}</summary><ul>{''.join(lines)}</ul></details>"
    )


def _change(before: str, after: str) -> str:
    return f"<del>{escape(before[:300])}</del> <ins>{escape(after[:300])}</ins>"
