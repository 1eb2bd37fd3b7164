"""python -m tests.chaos --kills 500 --seed 1: kills under load, then looks what is left."""

import argparse
import shutil
import signal
import sys
from pathlib import Path

from deploy.local.processes import StartFailed
from deploy.local.stack import ROOT
from tests.chaos import report
from tests.chaos.guidepost import Guidepost
from tests.chaos.harness import run, say, temporary_home, watched
from tests.chaos.invariants import Violation, check
from tests.chaos.naive.world import Naive, tell
from tests.chaos.rows import Sampler, read_evidence

LOCAL = ROOT / ".local"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--settle", type=float, default=180, help="seconds after the last kill")
    parser.add_argument("--naive", action="store_true", help="a plain Celery design instead")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if options.naive:
            print(run_naive(options.kills, options.seed, options.settle, LOCAL))
            return 0
        line, violations = run_chaos(options.kills, options.seed, options.settle, LOCAL)
    except KeyboardInterrupt:
        return 130
    except StartFailed as error:
        say(str(error))
        return 1
    print(line)
    return 1 if violations else 0


def run_chaos(kills: int, seed: int, settle: float, folder: Path) -> tuple[str, list[Violation]]:
    """Writes chaos.json to the folder, and the logs of all processes beside it."""
    say(f"starting the stack, then {kills} kills")
    with temporary_home() as home, Guidepost(home) as world, watched(world) as failed:
        with Sampler(world.database_url, seed) as sampler:
            done = run(world, failed, kills=kills, seed=seed, settle=settle)
        evidence = read_evidence(world.database_url, world.model_url, world.stack.env)
        evidence.samples = sampler.samples
        evidence.accepted, evidence.cancelled = done.accepted, done.cancelled
        evidence.answers = done.answers
        violations = check(evidence)
        found = report.recoveries(done.strikes, evidence)
        line = report.line(done, evidence, violations, found, world.logged("stale_write_refused"))
        told = {
            "line": line,
            **report.detail(done, evidence, violations, found),
            "leases_lost": world.logged("lease_lost"),
            "restarts": world.deaths,
        }
        report.write(folder / "chaos.json", told)
        shutil.rmtree(folder / "chaos-log", ignore_errors=True)
        shutil.copytree(home / "log", folder / "chaos-log")
    for violation in violations[:20]:
        say(f"{violation.heading}: {violation.rule}: {violation.job} {violation.detail}")
    return line, violations


def run_naive(kills: int, seed: int, settle: float, folder: Path) -> str:
    """Writes naive.json to the folder, and the logs of all processes beside it."""
    say(f"starting the naive design, then {kills} kills")
    with temporary_home() as home, Naive(home) as world, watched(world) as failed:
        done = run(world, failed, kills=kills, seed=seed, settle=settle)
        told = tell(world, done)
        report.write(folder / "naive.json", told)
        shutil.rmtree(folder / "naive-log", ignore_errors=True)
        shutil.copytree(home / "log", folder / "naive-log")
    return told["line"]


def _interrupt(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough, stopping takes a moment
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
