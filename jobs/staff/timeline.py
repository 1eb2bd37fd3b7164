"""Where a job's time went, drawn as bars: its attempts, and the model calls of each."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.models import Job, JobAttempt, JobEvent, LLMCall

WIDTH, ROW, LABEL = 1000, 22, 130  # user units of the drawing
CALLS_DRAWN = 60  # a guideline of a megabyte makes hundreds; the table beside it has them all


@dataclass(frozen=True)
class Bar:
    """x and width in user units; `kind` is its class, `says` its tooltip."""

    label: str
    x: float
    width: float
    y: int
    kind: str
    says: str


@dataclass(frozen=True)
class Drawing:
    bars: list[Bar]
    height: int
    span: timedelta
    left_out: int

    width: int = WIDTH
    label: int = LABEL


def draw(
    job: Job, attempts: Iterable[JobAttempt], calls: list[LLMCall], until: datetime
) -> Drawing:
    """until: the end of the axis, for what has not ended. The axis begins with the job."""
    end = max([job.ended_at or until, job.created_at + timedelta(milliseconds=1)])
    scale = (WIDTH - LABEL) / (end - job.created_at).total_seconds()
    bars: list[Bar] = []

    def add(label: str, start: datetime, stop: datetime | None, kind: str, says: str) -> None:
        first = max((start - job.created_at).total_seconds(), 0)
        length = max(((stop or end) - start).total_seconds(), 0)
        x, width = LABEL + first * scale, max(length * scale, 2)
        bars.append(Bar(label, round(x, 1), round(width, 1), len(bars) * ROW, kind, says))

    drawn = 0
    for attempt in attempts:
        name = f"attempt {attempt.number}"
        ended = attempt.ended_at
        add(name, attempt.started_at, ended, f"try-{attempt.outcome}", f"{name}: {attempt.outcome}")
        for call in calls:
            if call.attempt == attempt.number and drawn < CALLS_DRAWN:
                drawn += 1
                says = f"{call.step} call: {call.outcome}"
                add(
                    f"{call.step} call",
                    call.started_at,
                    call.ended_at,
                    f"call-{call.outcome}",
                    says,
                )
    return Drawing(bars, len(bars) * ROW, end - job.created_at, len(calls) - drawn)


def with_durations(events: Iterable[JobEvent]) -> list[tuple[JobEvent, timedelta | None]]:
    """Each move with how long the state before it had lasted."""
    moves: list[tuple[JobEvent, timedelta | None]] = []
    before: JobEvent | None = None
    for event in events:
        moves.append((event, event.at - before.at if before else None))
        before = event
    return moves
