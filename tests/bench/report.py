"""What was measured, as a table, as JSON, as plots, and in the last line."""

import json
import sys
from pathlib import Path
from typing import Any

from tests.bench.contenders import ENDPOINTS
from tests.bench.load import Result

OURS, FLOOR = "guidepost", "floor"
WIDTH, BAR, GAP, LEFT = 640, 18, 26, 120


def progress(name: str, endpoint: str, connections: int, result: Result, cpu: float) -> None:
    sys.stderr.write(
        f"{name:<10} {endpoint:<21} {connections:>2} connections  {result.rate:>7.0f}/s"
        f"  p50 {result.p50:>6.1f}  p99 {result.p99:>6.1f} ms  cpu {cpu:.2f} ms\n"
    )


def write(measured: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(measured, indent=1))
    for endpoint in measured["cpu_ms"][OURS]:
        name = endpoint.replace("{event_id}", "one").replace("/", "").replace(" ", "-").lower()
        totals = {each: _cpu(measured, each, endpoint) for each in measured["cpu_ms"]}
        (folder / f"{name}.svg").write_text(_bars(f"{endpoint}: CPU ms a request", totals))


def text(measured: dict[str, Any]) -> str:
    lines = [""]
    for endpoint in ENDPOINTS:
        lines += _table(measured, endpoint)
    lines.append(_last_line(measured))
    return "\n".join(lines) + "\n"


def _cpu(measured: dict[str, Any], name: str, endpoint: str) -> float:
    return float(sum(measured["cpu_ms"][name][endpoint].values()))


def _table(measured: dict[str, Any], endpoint: str) -> list[str]:
    head = (
        f"| {endpoint} | web | postgresql | valkey | CPU ms | of the floor | /s at 1 | 16 | 64"
        " | p50 at 16 | p95 | p99 | SQL | Redis | MB |"
    )
    lines = [head, "| --- |" + " ---: |" * 14]
    for name, cpu in measured["cpu_ms"].items():
        rates, total = measured["rates"][name][endpoint], _cpu(measured, name, endpoint)
        floor = _cpu(measured, FLOOR, endpoint) if FLOOR in measured["cpu_ms"] else total
        counts = measured["statements"][name][endpoint]
        cells = [
            name,
            *(f"{cpu[endpoint][part]:.2f}" for part in ("web", "postgresql", "valkey")),
            f"{total:.2f}",
            f"{total / floor:.1f}",
            *(f"{rates[connections]['rate']:.0f}" for connections in (1, 16, 64)),
            *(f"{rates[16][which]:.1f}" for which in ("p50", "p95", "p99")),
            f"{counts['statements']:.1f}",
            f"{counts['redis_round_trips']:.1f}",
            f"{measured['memory_mb'][name]:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _last_line(measured: dict[str, Any]) -> str:
    def rate(name: str) -> float:
        return float(measured["rates"][name]["POST /jobs"][16]["rate"])

    post, get = ENDPOINTS[:2]
    said = {}
    if FLOOR in measured["cpu_ms"]:
        said["post_cpu_vs_floor"] = _cpu(measured, OURS, post) / _cpu(measured, FLOOR, post)
        said["get_cpu_vs_floor"] = _cpu(measured, OURS, get) / _cpu(measured, FLOOR, get)
    for peer in ("fastapi", "drf"):
        if peer in measured["cpu_ms"]:
            said[f"post_rate_vs_{peer}"] = rate(OURS) / rate(peer)
    said["post_p99_ms_at_half_load"] = measured["half_load"]["p99"]
    if "worker" in measured:
        said["worker_cpu_ms_per_job"] = measured["worker"]["cpu_ms_per_job"]
    return "bench: " + " ".join(f"{name}={value:.2f}" for name, value in said.items())


def _bars(title: str, values: dict[str, float]) -> str:
    """A plot of bars with their numbers, as SVG."""
    longest, height = max(values.values()), 34 + GAP * len(values)
    rows = []
    for number, (name, value) in enumerate(values.items()):
        y, width = 34 + GAP * number, value / longest * (WIDTH - LEFT - 70)
        colour = "#1d6fd1" if name == OURS else "#9aa4b2"
        rows.append(
            f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{name}</text>'
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>'
            f'<text x="{LEFT + width + 6:.1f}" y="{y + 14}">{value:.2f}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        ' font-family="system-ui, sans-serif" font-size="13">'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
        f'<text x="8" y="20" font-weight="600">{title}</text>{"".join(rows)}</svg>\n'
    )
