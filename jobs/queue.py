"""Why a job is waiting, and for how long it may be, by its tenant's own queue and history."""

from dataclasses import dataclass
from typing import Any

from django.db import connection

from jobs.breaker import circuit_name
from jobs.models import Job
from jobs.options import models_of, resolve

WAITING_ON = ["document", "worker", "concurrency", "retry", "provider", "paused"]

# The place counts no further than it helps anybody; the estimate takes the last jobs' own time.
WAITING = """
SELECT
    CASE
        WHEN queue.is_paused THEN 'paused'
        WHEN job.step = 'read' THEN 'document'
        WHEN NOT job.ready THEN 'retry'
        WHEN %(models)s = (
            SELECT count(*) FROM jobs_circuit WHERE name = ANY(%(circuits)s) AND state <> 'closed'
        ) AND NOT EXISTS (
            SELECT FROM tenants_providerkey AS own WHERE own.tenant_id = job.tenant_id
        ) THEN 'provider'
        WHEN queue.running >= queue.max_running THEN 'concurrency'
        ELSE 'worker'
    END,
    ahead.count + 1,
    CASE
        WHEN job.step = 'read' THEN NULL
        WHEN NOT job.ready THEN extract(epoch FROM job.due_at - clock_timestamp())
        ELSE ceil((ahead.count + queue.running) / queue.max_running) * history.seconds
    END::float
FROM jobs_job AS job
JOIN jobs_tenantqueue AS queue USING (tenant_id)
CROSS JOIN LATERAL (
    SELECT count(*) FROM (
        SELECT FROM jobs_job AS other
        WHERE other.tenant_id = job.tenant_id AND other.status = 'PENDING' AND other.ready
            AND (other.priority > job.priority
                OR other.priority = job.priority AND other.id < job.id)
        LIMIT 999
    ) AS earlier
) AS ahead
CROSS JOIN LATERAL (
    SELECT extract(epoch FROM avg(ended_at - started_at)) AS seconds FROM (
        SELECT ended_at, started_at FROM jobs_job AS past
        WHERE past.tenant_id = job.tenant_id AND past.status = 'COMPLETED'
            AND past.deleted_at IS NULL
        ORDER BY past.event_id DESC LIMIT 20
    ) AS latest
) AS history
WHERE job.id = %(id)s AND job.status = 'PENDING'
"""


@dataclass(frozen=True)
class Waiting:
    """place counts from 1; estimated_seconds until it starts, None without a history."""

    waiting_on: str
    place: int
    estimated_seconds: float | None


def waiting(job: Job) -> Waiting | None:
    """None if the job waits no longer."""
    circuits = [circuit_name(model) for model in models_of(resolve(job.options))]
    asked: dict[str, Any] = {"id": job.pk, "circuits": circuits, "models": len(circuits)}
    with connection.cursor() as cursor:
        cursor.execute(WAITING, asked)
        row = cursor.fetchone()
    if row is None:
        return None
    waiting_on, place, seconds = row
    return Waiting(waiting_on, place, None if seconds is None else round(max(seconds, 0), 1))
