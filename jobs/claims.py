"""Which job runs next, and who holds it: each a single statement, by the database's clock."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

MAX_CRASHES = 3  # workers that one run of a job may cost
TRIES = 5  # at a claim, while others take the last jobs of one queue after another
BATCH = 100  # jobs that one sweep moves at most; the next sweep is a second away

# How these statements stay fast, however much waits:
# - A queue's first job is asked for in the order of the index job_claim. By EXISTS alone the
#   planner may walk the table instead, past everything that has ended.
# - Due times are compared with statement_timestamp(). clock_timestamp() may change from row to
#   row, so no index can search for it.
# And how they never lock each other out: a job before its queue, queues by tenant_id. A claim
# holds a queue first, but waits for no job.

# See jobs_claim in migration 0026.
CLAIM = """
SELECT id, event_id, tenant_id, document_id, attempt, failures, step, seconds_left
FROM jobs_claim(%(worker)s, %(lease)s, %(names)s, %(circuits)s, %(probing)s, %(in_turn)s)
"""

RENEW = """
UPDATE jobs_job SET lease_expires_at = clock_timestamp() + %(lease)s
FROM unnest(%(ids)s::bigint[], %(attempts)s::smallint[]) AS held (id, attempt)
WHERE jobs_job.id = held.id AND jobs_job.attempt = held.attempt
    AND status = 'PROCESSING' AND lease_expires_at > clock_timestamp()
RETURNING jobs_job.id
"""

# Selected and changed in one statement: a job that its worker finishes meanwhile is locked, then
# no longer matches. Oldest lease first, so that no set of jobs can hide another. The calls of the
# lost attempt are counted with it, as in SETTLE.
#
# It was a crash only if the worker could have renewed the lease: PostgreSQL was there.
REAP = """
WITH lost AS (
    SELECT id, tenant_id, attempt,
        (lease_expires_at > pg_postmaster_start_time() + %(grace)s)::int AS crash
    FROM jobs_job
    WHERE status = 'PROCESSING' AND lease_expires_at < statement_timestamp()
    ORDER BY lease_expires_at
    LIMIT %(batch)s
    FOR NO KEY UPDATE SKIP LOCKED
), queues AS (
    SELECT tenant_id FROM jobs_tenantqueue WHERE tenant_id IN (SELECT tenant_id FROM lost)
    ORDER BY tenant_id
    FOR NO KEY UPDATE
), left_open AS (
    UPDATE jobs_llmcall AS call SET
        outcome = CASE outcome WHEN 'started' THEN 'unknown' ELSE 'lost' END,
        ended_at = coalesce(ended_at, clock_timestamp())
    FROM lost
    WHERE call.job_id = lost.id AND call.attempt = lost.attempt
        AND outcome IN ('started', 'answered')
    RETURNING call.job_id
), reaped AS (
    UPDATE jobs_job SET
        status = CASE WHEN crashes + crash < %(max)s THEN 'PENDING' ELSE 'FAILED' END,
        ready = crashes + crash < %(max)s,
        error_code = CASE WHEN crashes + crash < %(max)s THEN '' ELSE 'poison' END,
        error_detail = CASE WHEN crashes + crash < %(max)s THEN '' ELSE %(detail)s END,
        ended_at = CASE WHEN crashes + crash < %(max)s THEN NULL ELSE clock_timestamp() END,
        crashes = crashes + crash,
        unknown_calls = unknown_calls + (SELECT count(*) FROM left_open WHERE job_id = lost.id),
        due_at = clock_timestamp(),
        worker = '',
        lease_expires_at = NULL
    FROM lost WHERE jobs_job.id = lost.id AND (SELECT count(*) FROM queues) > 0
    RETURNING jobs_job.id, event_id, jobs_job.attempt, status, crash
), closed AS (
    UPDATE jobs_jobattempt SET
        outcome = 'lease_lost',
        error_code = CASE crash WHEN 1 THEN 'worker_lost' ELSE 'database_away' END,
        ended_at = clock_timestamp()
    FROM reaped WHERE job_id = reaped.id AND number = reaped.attempt AND outcome = 'running'
)
SELECT event_id, status FROM reaped
"""

PROMOTE = """
WITH due AS (
    SELECT id, tenant_id FROM jobs_job
    WHERE status = 'PENDING' AND NOT ready AND due_at <= statement_timestamp()
    ORDER BY due_at
    LIMIT %(batch)s
    FOR NO KEY UPDATE SKIP LOCKED
), queues AS (
    SELECT tenant_id FROM jobs_tenantqueue WHERE tenant_id IN (SELECT tenant_id FROM due)
    ORDER BY tenant_id
    FOR NO KEY UPDATE
)
UPDATE jobs_job SET ready = true
FROM due WHERE jobs_job.id = due.id AND (SELECT count(*) FROM queues) >= 0
"""

# Holds the queues although it changes none: budgets of several tenants are given back at its
# commit, and two of these must not wait for each other.
EXPIRE = """
WITH late AS (
    SELECT id, tenant_id FROM jobs_job
    WHERE status = 'PENDING' AND deadline_at <= statement_timestamp()
    ORDER BY deadline_at
    LIMIT %(batch)s
    FOR NO KEY UPDATE SKIP LOCKED
), queues AS (
    SELECT tenant_id FROM jobs_tenantqueue WHERE tenant_id IN (SELECT tenant_id FROM late)
    ORDER BY tenant_id
    FOR NO KEY UPDATE
)
UPDATE jobs_job SET status = 'EXPIRED', ready = false, ended_at = clock_timestamp()
FROM late WHERE jobs_job.id = late.id AND (SELECT count(*) FROM queues) >= 0
RETURNING event_id
"""

# Calls whose attempt is over, written in the instant in which its job was taken away. Whoever
# settles or closes a call holds its job first, so each is counted once, as unknown or lost; a job
# that somebody holds is left for the next sweep.
SETTLE = """
WITH held AS (
    SELECT job.id, call.id AS call_id
    FROM jobs_llmcall AS call JOIN jobs_job AS job ON job.id = call.job_id
    WHERE outcome IN ('started', 'answered')
        AND (job.status <> 'PROCESSING' OR job.attempt <> call.attempt)
    FOR NO KEY UPDATE OF job SKIP LOCKED
), left_open AS (
    UPDATE jobs_llmcall AS call SET
        outcome = CASE outcome WHEN 'started' THEN 'unknown' ELSE 'lost' END,
        ended_at = coalesce(call.ended_at, clock_timestamp())
    FROM held WHERE call.id = held.call_id AND outcome IN ('started', 'answered')
    RETURNING call.job_id
), counted AS (
    SELECT job_id, count(*) AS calls FROM left_open GROUP BY job_id
)
UPDATE jobs_job SET unknown_calls = unknown_calls + counted.calls
FROM counted WHERE jobs_job.id = counted.job_id
RETURNING event_id
"""

# A queue that looks empty is passed over by claims; one that was filled in the same moment is
# found again by the next sweep. So is one that somebody has locked.
TIDY = """
UPDATE jobs_tenantqueue SET is_active = NOT is_active
WHERE tenant_id IN (
    SELECT tenant_id FROM jobs_tenantqueue AS queue
    WHERE is_active <> ((
        SELECT id FROM jobs_job
        WHERE jobs_job.tenant_id = queue.tenant_id AND status = 'PENDING' AND ready
        ORDER BY priority DESC, id
        LIMIT 1
    ) IS NOT NULL)
    FOR NO KEY UPDATE SKIP LOCKED
)
"""

# Counts no further than anybody wants to know.
CLAIMABLE = """
SELECT count(*) FROM (
    SELECT FROM jobs_tenantqueue AS queue
    CROSS JOIN LATERAL (
        SELECT FROM jobs_job
        WHERE jobs_job.tenant_id = queue.tenant_id AND status = 'PENDING' AND ready
        ORDER BY priority DESC, id
        LIMIT least(queue.max_running - queue.running, %(limit)s)
    ) AS next
    WHERE is_active AND NOT is_paused AND running < max_running
    LIMIT %(limit)s
) AS claimable
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's hold on a job. `id` and `attempt` together name it in every later write."""

    id: int
    event_id: UUID
    tenant_id: UUID
    document_id: int
    attempt: int
    failures: int
    step: str
    seconds_left: float  # of the job's deadline
    probing: str = ""  # the circuit of a model that was away, for all to try; "" is none


def claim_next(worker: str, *, circuits: Collection[str] = (), probing: str = "") -> Claim | None:
    """Takes the job that should run next, for one lease; None if none may.

    circuits  while none of these is closed no job is claimed that depends on them
    probing   one of them that this worker may try

    The first try passes over queues that others claim from at this moment; only if that leaves
    nothing does it wait for its turn.
    """
    parameters: dict[str, Any] = {
        "worker": worker,
        "lease": settings.JOB_LEASE,
        "names": list(circuits),
        "circuits": len(circuits),
        "probing": bool(probing),
    }
    with connection.cursor() as cursor:
        for in_turn in (False, True):
            for _ in range(TRIES):
                cursor.execute(CLAIM, parameters | {"in_turn": in_turn})
                row = cursor.fetchone()
                if row is None:
                    break
                if row[0] is not None:  # else the queue's last job was taken meanwhile
                    return replace(Claim(*row), probing=probing)
    return None


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


def reap(detail: str, *, grace: timedelta = timedelta()) -> list[tuple[UUID, str]]:
    """Takes jobs back from workers that let their lease run out.

    grace  a lease that ran out sooner than this after PostgreSQL's start is no crash: one lease,
           for one that was granted before could not be renewed while the server was away

    Back to PENDING, at once ready, or FAILED as `poison` with `detail` as its safe text. Returns
    (event_id, status) of each.
    """
    parameters: dict[str, Any] = {
        "detail": detail,
        "grace": grace,
        "max": MAX_CRASHES,
        "batch": BATCH,
    }
    with connection.cursor() as cursor:
        cursor.execute(REAP, parameters)
        return list(cursor.fetchall())


def promote() -> None:
    """Makes ready what is due."""
    with connection.cursor() as cursor:
        cursor.execute(PROMOTE, {"batch": BATCH})


def sweep() -> list[UUID]:
    """Settles calls that nobody answers for any more, ends what is past its deadline, makes ready
    what is due, and finds queues that filled. The event_ids of jobs that say something else now."""
    with connection.cursor() as cursor:
        cursor.execute(SETTLE)
        settled = cursor.fetchall()
        cursor.execute(EXPIRE, {"batch": BATCH})
        expired = cursor.fetchall()
        promote()
        cursor.execute(TIDY)
    return [event_id for (event_id,) in settled + expired]


def count_claimable(limit: int) -> int:
    """How many jobs could start now, within their tenants' caps; at most `limit` matter."""
    with connection.cursor() as cursor:
        cursor.execute(CLAIMABLE, {"limit": limit})
        return int(cursor.fetchone()[0])
