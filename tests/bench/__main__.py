"""python -m tests.bench: what a request costs, ours beside a floor and two peers, in one run.

All of them are asked in turns, over and over, so that whatever else the machine does slows all of
them. The number to look at is CPU per request: web process, PostgreSQL and Valkey together.
"""

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench import report, worker
from tests.bench.contenders import (
    ENDPOINTS,
    PEERS,
    Contender,
    Guidepost,
    cost,
    memory_mb,
)
from tests.bench.counted import Counted, counted
from tests.bench.load import Result, flat_out, paced
from tests.chaos.harness import temporary_home

CONNECTIONS = (1, 16, 64)
WARM_UP = 1.0  # seconds
HALF_LOAD_SECONDS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is asked")
    parser.add_argument("--seconds", type=float, default=2, help="of load each time")
    parser.add_argument("--only", default="", help="contenders, by commas: floor,drf")
    parser.add_argument("--no-worker", action="store_true", help="leave the worker's part out")
    parser.add_argument("--to", type=Path, default=Path(".local/bench"), help="folder to write to")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        contenders = _start(stack, chosen.only)
        ours = contenders[0]
        assert isinstance(ours, Guidepost)
        measured = _measure(contenders, ours, chosen.rounds, chosen.seconds)
        measured["statements"] = {
            each.name: {name: asdict(found) for name, found in _counts(each, ours)}
            for each in contenders
        }
        measured["memory_mb"] = {each.name: memory_mb(each) for each in contenders}
        measured["half_load"] = asdict(_at_half_load(ours, measured))
    if not chosen.no_worker:
        measured["worker"] = worker.measure()
    report.write(measured, chosen.to)
    sys.stdout.write(report.text(measured))


def _start(stack: ExitStack, only: str) -> list[Contender]:
    ours = Guidepost(stack.enter_context(temporary_home()))
    stack.callback(ours.stop)
    started: list[Contender] = [ours]
    for number, peer in enumerate(PEERS, start=1):
        if not only or peer.name in only.split(","):
            one = peer(ours, number)
            stack.callback(one.stop)
            started.append(one)
    return started


def _measure(
    contenders: list[Contender], ours: Guidepost, rounds: int, seconds: float
) -> dict[str, Any]:
    """Medians over the rounds: {"rates": {name: {endpoint: {connections: {...}}}}, "cpu": ...}."""
    times: dict[tuple[str, str, int], list[Result]] = defaultdict(list)
    costs: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for each in contenders:
        for endpoint in ENDPOINTS:
            flat_out(each.request(endpoint), connections=4, seconds=WARM_UP)
        each.analyze()
    for _ in range(rounds):
        for endpoint in ENDPOINTS:
            for connections in CONNECTIONS:
                for each in contenders:
                    before = cost(each, ours.servers())
                    result = flat_out(
                        each.request(endpoint), connections=connections, seconds=seconds
                    )
                    after = cost(each, ours.servers())
                    spent = {
                        part: (after[part] - before[part]) * 1000 / result.requests
                        for part in after
                    }
                    times[each.name, endpoint, connections].append(result)
                    costs[each.name, endpoint].append(spent)
                    total = sum(spent.values())
                    report.progress(each.name, endpoint, connections, result, total)
    return {
        "rates": {
            each.name: {
                endpoint: {c: _median(times[each.name, endpoint, c]) for c in CONNECTIONS}
                for endpoint in ENDPOINTS
            }
            for each in contenders
        },
        "cpu_ms": {
            each.name: {
                endpoint: {
                    part: statistics.median(one[part] for one in costs[each.name, endpoint])
                    for part in costs[each.name, endpoint][0]
                }
                for endpoint in ENDPOINTS
            }
            for each in contenders
        },
    }


def _median(results: list[Result]) -> dict[str, float]:
    fields = ("rate", "p50", "p95", "p99")
    return {name: statistics.median(getattr(one, name) for one in results) for name in fields}


def _counts(each: Contender, ours: Guidepost) -> Iterator[tuple[str, Counted]]:
    for endpoint in ENDPOINTS:
        yield endpoint, counted(each, endpoint, ours.stack)


def _at_half_load(ours: Guidepost, measured: dict[str, Any]) -> Result:
    """POST at half of the rate that 16 connections reached."""
    half = measured["rates"][ours.name]["POST /jobs"][16]["rate"] / 2
    time.sleep(2)  # what the load before has left behind settles
    request = ours.request("POST /jobs")
    return paced(request, rate=half, connections=16, seconds=HALF_LOAD_SECONDS)


if __name__ == "__main__":
    main()
