"""What is wrong, in a sentence, and what to do about it: the first thing that the overview says."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils import timezone

from config.templatetags.values import span
from jobs.models import Circuit
from jobs.staff.numbers import Busy

PUMP_LATE = timedelta(seconds=15)
LONG_WAIT = timedelta(minutes=10)
MANY_FAILED = 0.2  # of the jobs that ended in the last hour,
FEW = 10  # if there were so many at least


@dataclass(frozen=True)
class Alarm:
    """link: (where it leads, what it is called), where something can be done in these pages."""

    says: str
    do: str
    is_mild: bool = False
    link: tuple[str, str] | None = None


def alarms(
    *,
    workers: list[Busy],
    circuits: list[Circuit],
    oldest: datetime | None,
    ended: dict[str, Any],
    paused: list[tuple[str, UUID]],
    bulk_running: int,
    sealing_is_late: bool,
) -> list[Alarm]:
    return [
        *_of_workers(workers, waits=oldest is not None),
        *_of_sealing(sealing_is_late),
        *_of_circuits(circuits),
        *_of_waiting(oldest),
        *_of_failures(ended),
        *_mild(paused, bulk_running),
    ]


def _of_workers(workers: list[Busy], *, waits: bool) -> Iterator[Alarm]:
    there = [busy for busy in workers if busy.is_there]
    if not there:
        yield Alarm(
            "No worker is alive.",
            "Nothing runs, nothing is lost: start the Celery workers (docs/operations.md), and look"
            " into their logs for why they ended.",
        )
        return
    pumped = [busy.worker.pumped_at for busy in there if busy.worker and busy.worker.pumped_at]
    if not pumped or max(pumped) < timezone.now() - PUMP_LATE:
        yield Alarm(
            "The pump does not run.",
            "Retries that are due, deadlines and bulk actions wait for it. Look at beat and at the"
            " worker of the queue `maintenance`: both have to run.",
        )
    gone = [busy.name for busy in workers if not busy.is_there]
    if gone and waits:
        yield Alarm(
            f"Not heard of for a while: {', '.join(gone[:5])}.",
            "Their jobs run elsewhere by now. Start them again if nobody stopped them on purpose.",
            is_mild=True,
        )


def _of_sealing(is_late: bool) -> Iterator[Alarm]:
    if is_late:
        yield Alarm(
            "The audit log is not sealed.",
            "Entries are written, but nothing keeps them from being changed until they are sealed:"
            " that is the pump's work. See the log of the worker of the queue `maintenance`.",
            link=(reverse("admin:audit"), "Audit log"),
        )


def _of_circuits(circuits: list[Circuit]) -> Iterator[Alarm]:
    link = (reverse("admin:circuits"), "Circuits")
    for circuit in circuits:
        if circuit.state == Circuit.State.CLOSED:
            continue
        if circuit.open_until is None and circuit.state == Circuit.State.OPEN:
            yield Alarm(
                f"{circuit.name} is held open: {circuit.reason}.",
                "Jobs that need it wait, without losing attempts, until a person closes it. Mend"
                " the account or the key at the provider first.",
                link=link,
            )
        else:
            yield Alarm(
                f"{circuit.name} does not answer: {circuit.reason}.",
                "Jobs that need it wait; one tries now and then, and the circuit closes by itself."
                " See the provider's status page.",
                is_mild=True,
                link=link,
            )


def _of_waiting(oldest: datetime | None) -> Iterator[Alarm]:
    if oldest and timezone.now() - oldest > LONG_WAIT:
        yield Alarm(
            f"A job that could run has waited for {span(timezone.now() - oldest)}.",
            "Neither its tenant's cap nor a pause holds it: there are too few workers for what"
            " comes, or they wait for the provider.",
            link=(f"{reverse('admin:jobs')}?status=PENDING", "Waiting jobs"),
        )


def _of_failures(ended: dict[str, Any]) -> Iterator[Alarm]:
    total = ended["completed"] + ended["failed"]
    if total >= FEW and ended["failed"] > MANY_FAILED * total:
        yield Alarm(
            f"{ended['failed']} of {total} jobs failed in the last hour.",
            "See which class they are of; once the cause is mended, retry the whole group.",
            link=(reverse("admin:error_groups"), "Error groups"),
        )


def _mild(paused: list[tuple[str, UUID]], bulk_running: int) -> Iterator[Alarm]:
    if paused:
        [(slug, first), *_] = paused
        yield Alarm(
            f"Paused: {', '.join(slug for slug, _ in paused)}.",
            "Their jobs wait until somebody resumes.",
            is_mild=True,
            link=(reverse("admin:tenant", args=[first]), slug),
        )
    if bulk_running:
        yield Alarm(
            f"{bulk_running} bulk action{'s' if bulk_running > 1 else ''} under way.",
            "Watch it, or abort it, on its page.",
            is_mild=True,
            link=(reverse("admin:bulk"), "Bulk actions"),
        )
