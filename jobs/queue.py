"""Why a job is waiting, and for how long it may be, by its tenant's own queue and history.

The question is a function of the database, `jobs_wait` (migration 0022).
"""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection

from config.database import as_dicts
from jobs.breaker import provider_host
from jobs.models import Job

WAITING_ON = ["document", "worker", "concurrency", "retry", "provider", "paused"]
WAIT = "jobs_wait(%(tenant)s, {job}, %(provider)s, %(model)s)"


@dataclass(frozen=True)
class Waiting:
    """place counts from 1; estimated_seconds until it starts, None without a history."""

    waiting_on: str
    place: int
    estimated_seconds: float | None


def waiting(job: Job) -> Waiting | None:
    """None if the job waits no longer."""
    with connection.cursor() as cursor:
        question = f"SELECT * FROM {WAIT.format(job='%(job)s')}"  # noqa: S608
        cursor.execute(question, {"tenant": job.tenant_id, "job": job.pk, **asked()})
        rows = as_dicts(cursor)
    return of(rows[0]) if rows else None


def asked() -> dict[str, Any]:
    """What WAIT has to be told besides the job."""
    return {"provider": provider_host(), "model": settings.OPENAI_MODEL}


def of(row: dict[str, Any]) -> Waiting | None:
    """row: the columns of `jobs_wait`, null where it had no answer."""
    if row["waiting_on"] is None:
        return None
    seconds = row["seconds"]
    estimate = None if seconds is None else round(max(seconds, 0), 1)
    return Waiting(row["waiting_on"], row["place"], estimate)
