"""Which job runs next, and who holds it: each a single statement, by the database's clock."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

# The attempt is counted, and its row written, before any work starts: a job that kills its
# worker every time runs out of attempts.
CLAIM = """
WITH next AS (
    SELECT id FROM jobs_job
    WHERE status = 'PENDING' AND due_at <= statement_timestamp() AND attempt < attempt_limit
    ORDER BY priority DESC, due_at, id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE jobs_job SET
        status = 'PROCESSING',
        attempt = attempt + 1,
        worker = %(worker)s,
        lease_expires_at = clock_timestamp() + %(lease)s,
        started_at = coalesce(started_at, clock_timestamp())
    FROM next WHERE jobs_job.id = next.id
    RETURNING jobs_job.id, event_id, tenant_id, document_id, attempt, attempt_limit, step
), attempted AS (
    INSERT INTO jobs_jobattempt (tenant_id, job_id, number, worker, step, outcome)
    SELECT tenant_id, id, attempt, %(worker)s, step, 'running' FROM claimed
)
SELECT claimed.*, EXISTS (
    SELECT FROM jobs_job
    WHERE status = 'PENDING' AND due_at <= statement_timestamp() AND id <> claimed.id
) FROM claimed
"""

RENEW = """
UPDATE jobs_job SET lease_expires_at = clock_timestamp() + %(lease)s
FROM unnest(%(ids)s::bigint[], %(attempts)s::smallint[]) AS held (id, attempt)
WHERE jobs_job.id = held.id AND jobs_job.attempt = held.attempt
    AND status = 'PROCESSING' AND lease_expires_at > clock_timestamp()
RETURNING jobs_job.id
"""

# Selected and changed in one statement: a job that its worker finishes meanwhile is locked, then
# no longer matches.
REAP = """
WITH lost AS (
    SELECT id FROM jobs_job
    WHERE status = 'PROCESSING' AND lease_expires_at < clock_timestamp()
    ORDER BY lease_expires_at
    LIMIT 100
    FOR UPDATE SKIP LOCKED
), reaped AS (
    UPDATE jobs_job SET
        status = CASE WHEN attempt < attempt_limit THEN 'PENDING' ELSE 'FAILED' END,
        error_code = CASE WHEN attempt < attempt_limit THEN '' ELSE 'worker_lost' END,
        error_detail = CASE WHEN attempt < attempt_limit THEN '' ELSE %(detail)s END,
        ended_at = CASE WHEN attempt < attempt_limit THEN NULL ELSE clock_timestamp() END,
        due_at = clock_timestamp(),
        worker = '',
        lease_expires_at = NULL
    FROM lost WHERE jobs_job.id = lost.id
    RETURNING jobs_job.id, event_id, attempt, status
), closed AS (
    UPDATE jobs_jobattempt SET outcome = 'lease_lost', error_code = 'worker_lost',
        ended_at = clock_timestamp()
    FROM reaped WHERE job_id = reaped.id AND number = reaped.attempt AND outcome = 'running'
)
SELECT event_id, status FROM reaped
"""

DUE = """
SELECT count(*) FROM (
    SELECT FROM jobs_job WHERE status = 'PENDING' AND due_at <= statement_timestamp() LIMIT %s
) AS due
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's hold on a job. `id` and `attempt` together name it in every later write."""

    id: int
    event_id: UUID
    tenant_id: UUID
    document_id: int
    attempt: int
    attempt_limit: int
    step: str
    more_waiting: bool


def claim_next(worker: str) -> Claim | None:
    """Takes the next job that is due, for one lease; None if there is none."""
    parameters: dict[str, Any] = {"worker": worker, "lease": settings.JOB_LEASE}
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, parameters)
        row = cursor.fetchone()
    return Claim(*row) if row else None


def renew(claims: list[Claim], lease: timedelta) -> set[int]:
    """Extends the leases still held; the ids of the others are missing from the answer."""
    parameters: dict[str, Any] = {
        "lease": lease,
        "ids": [claim.id for claim in claims],
        "attempts": [claim.attempt for claim in claims],
    }
    with connection.cursor() as cursor:
        cursor.execute(RENEW, parameters)
        return {row[0] for row in cursor.fetchall()}


def reap(detail: str) -> list[tuple[UUID, str]]:
    """Takes jobs back from workers that let their lease run out.

    Back to PENDING, at once due, or FAILED where no attempt is left, with `detail` as its safe
    text. Returns (event_id, status) of each.
    """
    with connection.cursor() as cursor:
        cursor.execute(REAP, {"detail": detail})
        return list(cursor.fetchall())


def count_due(limit: int) -> int:
    """How many jobs could start now; stops counting at `limit`."""
    with connection.cursor() as cursor:
        cursor.execute(DUE, [limit])
        return int(cursor.fetchone()[0])
