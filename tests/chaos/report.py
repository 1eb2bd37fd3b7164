"""What came of a run: recovery after each kill, the line for people, the detail for machines."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.chaos.harness import LEASE_SECONDS, Run
from tests.chaos.invariants import ENDED, Attempt, Evidence, Violation, paid_again
from tests.chaos.kills import Strike


@dataclass(frozen=True)
class Recovery:
    """seconds: of each job that was held, until it was taken up again or ended; where none was
    held, until the next job completed anywhere. Infinite if that never happened."""

    strike: Strike
    held: list[str]
    seconds: list[float]


def recoveries(strikes: Sequence[Strike], evidence: Evidence) -> list[Recovery]:
    completed = sorted(
        event.at.timestamp() for event in evidence.events if event.to_status == "COMPLETED"
    )
    cut = _cut_jobs(strikes, evidence)
    found = []
    for strike in strikes:
        held = cut[strike.kill.number]
        following = [next((at - strike.at for at in completed if at > strike.at), math.inf)]
        found.append(Recovery(strike, sorted(held), sorted(held.values()) if held else following))
    return found


def _cut_jobs(strikes: Sequence[Strike], evidence: Evidence) -> dict[int, dict[str, float]]:
    """Number of a kill: the jobs it cut short, and seconds until each was taken up or over."""
    names = {job.id: job.event_id for job in evidence.jobs}
    cut: dict[int, dict[str, float]] = defaultdict(dict)
    for job_id, attempts in evidence.attempts_of().items():
        for this, following in pairwise([*attempts, None]):
            again = following.started_at if following else this.ended_at
            if culprit := culprit_of(this, strikes):
                seconds = again.timestamp() - culprit.at if again else math.inf
                cut[culprit.kill.number][names[job_id]] = seconds
    return cut


def culprit_of(attempt: Attempt, strikes: Sequence[Strike]) -> Strike | None:
    """The kill of its worker that an attempt came to nothing by. A worker that was frozen for
    less than its lease goes on, unless it is killed before."""
    if attempt.outcome not in ("lease_lost", "handed_back", "running"):
        return None
    started_at = attempt.started_at.timestamp()
    ended_at = attempt.ended_at.timestamp() if attempt.ended_at else math.inf
    worker = attempt.worker.partition("@")[0]
    blows = [s for s in strikes if s.victim == worker and started_at <= s.at <= ended_at]
    for blow, following in pairwise([*blows, None]):
        thawed_at = min(blow.at + blow.kill.seconds, following.at if following else math.inf)
        survived = blow.kill.how == "frozen" and blow.kill.seconds < LEASE_SECONDS
        if not survived or (following and following.at <= thawed_at):
            return blow
    return None


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; nan of nothing."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else math.nan


def worker_recovery(found: Iterable[Recovery]) -> list[float]:
    return [seconds for recovery in found if recovery.held for seconds in recovery.seconds]


def line(
    run: Run,
    evidence: Evidence,
    violations: Sequence[Violation],
    found: Sequence[Recovery],
    refused: int,
) -> str:
    status = {job.event_id: job.status for job in evidence.jobs}
    headings = Counter(violation.heading for violation in violations)
    recovery = worker_recovery(found)
    facts = {
        "kills": len(run.strikes),
        "accepted": len(run.accepted),
        "terminal": sum(status.get(event_id) in ENDED for event_id in run.accepted),
        "lost": headings["lost"],
        "duplicated": headings["duplicated"],
        "illegal": headings["illegal"],
        "stale_writes_refused": refused,
        "unknown_calls": sum(job.unknown_calls for job in evidence.jobs),
        "p50_recovery_s": f"{percentile(recovery, 0.50):.2f}",
        "p99_recovery_s": f"{percentile(recovery, 0.99):.2f}",
    }
    return "chaos: " + " ".join(f"{name}={value}" for name, value in facts.items())


def detail(
    run: Run, evidence: Evidence, violations: Sequence[Violation], found: Sequence[Recovery]
) -> dict[str, Any]:
    return {
        "jobs": dict(Counter(f"{job.status} {job.error_code}".strip() for job in evidence.jobs)),
        "leases_lost_unprovoked": sum(
            attempt.outcome == "lease_lost"
            and culprit_of(attempt, [recovery.strike for recovery in found]) is None
            for attempt in evidence.attempts
        ),
        "attempts": dict(Counter(attempt.outcome for attempt in evidence.attempts)),
        "calls": dict(Counter(call.outcome for call in evidence.calls)),
        "answers_paid_for_again": paid_again(evidence),
        "jobs_of_unanswered_requests": len({job.event_id for job in evidence.jobs} - run.accepted),
        "longest_silence_s": _longest_silence(run, evidence),
        "samples": len(evidence.samples),
        "violations": [asdict(violation) for violation in violations],
        **about(run, found),
    }


def _longest_silence(run: Run, evidence: Evidence) -> list[float]:
    """Seconds without any completion, and seconds from the start until they began."""
    ends = [e.at.timestamp() for e in evidence.events if e.to_status == "COMPLETED"]
    pairs = pairwise(sorted([run.started_at, *ends]))
    length, began = max(((b - a, a - run.started_at) for a, b in pairs), default=(0.0, 0.0))
    return [round(length, 1), round(began, 1)]


def about(run: Run, found: Sequence[Recovery]) -> dict[str, Any]:
    """What is told of any world."""
    return {
        "seed": run.seed,
        "started_at": run.started_at,
        "seconds": round(run.seconds, 1),
        "settle_seconds": round(run.settle_seconds, 1),
        "answers": dict(sorted(run.answers.items())),
        "kinds": _by_kind(found),
        "kills": [_told(recovery, run.started_at) for recovery in found],
    }


def _by_kind(found: Iterable[Recovery]) -> dict[str, dict[str, Any]]:
    kinds: dict[str, list[Recovery]] = defaultdict(list)
    for recovery in found:
        kinds[f"{recovery.strike.kill.target} {recovery.strike.kill.how}"].append(recovery)
    told = {}
    for kind, group in sorted(kinds.items()):
        seconds = [value for recovery in group for value in recovery.seconds]
        told[kind] = {
            "kills": len(group),
            "struck": sum(bool(recovery.strike.victim) for recovery in group),
            "held_a_job": sum(bool(recovery.held) for recovery in group),
            "p50_recovery_s": _rounded(percentile(seconds, 0.50)),
            "p99_recovery_s": _rounded(percentile(seconds, 0.99)),
        }
    return told


def _told(recovery: Recovery, started_at: float) -> dict[str, Any]:
    strike = recovery.strike
    return {
        **asdict(strike.kill),
        "at": round(strike.at - started_at, 3),
        "victim": strike.victim,
        "held": recovery.held,
        "recovery_s": [_rounded(seconds) for seconds in recovery.seconds],
    }


def write(path: Path, told: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1))


def _rounded(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None
