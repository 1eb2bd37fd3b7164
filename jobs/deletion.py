"""What is left of a job that is deleted: that it was, when, and what it cost. Nothing it said.

By request of its tenant, or because the tenant keeps jobs only so long (retention). Either way
the text, the summary, the checklist, the result, raw errors, title and metadata are gone when the
transaction ends; the audit log keeps the document's keyed digest, with which the tenant's own copy
of a text can be recognised and nobody else's guess confirmed.
"""

import logging
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from config.database import ClockTimestamp
from config.failpoints import failpoint
from jobs import dispatch
from jobs.errors import InvalidTransition
from jobs.models import Document, Job, JobAttempt
from tenants import audit, idempotency
from tenants.authentication import Principal

logger = logging.getLogger(__name__)

BATCH = 100  # jobs that are purged in one transaction

RETENTION_DAYS = "coalesce(tenant.retention_days, plan.retention_days)"

OUT_OF_TIME = f"""
SELECT job.id, job.tenant_id, job.event_id, job.document_id, job.status, digest
FROM tenants_tenant AS tenant
JOIN tenants_plan AS plan ON plan.code = tenant.plan_id
CROSS JOIN LATERAL (
    SELECT id, tenant_id, event_id, document_id, status FROM jobs_job
    WHERE tenant_id = tenant.id AND deleted_at IS NULL
        AND ended_at < statement_timestamp() - make_interval(days => {RETENTION_DAYS})
    ORDER BY ended_at
    LIMIT %(batch)s
    FOR NO KEY UPDATE SKIP LOCKED
) AS job
JOIN jobs_document AS document ON document.id = job.document_id
WHERE {RETENTION_DAYS} IS NOT NULL
LIMIT %(batch)s
"""  # noqa: S608  (of our own parts)


@dataclass(frozen=True, slots=True)
class Ended:
    """A job to be deleted, locked by this transaction. digest: of its document."""

    id: int
    tenant_id: UUID
    event_id: UUID
    document_id: int
    status: str
    digest: str


@transaction.atomic
def delete_job(*, tenant_id: UUID, event_id: UUID, visible_to: Principal | None = None) -> bool:
    """False if the tenant, or `visible_to`, has no such job, or it is deleted already.

    Raises InvalidTransition while it waits or runs.
    """
    jobs = Job.objects.known(tenant_id, visible_to).select_for_update(no_key=True, of=("self",))
    job = (
        jobs.filter(event_id=event_id, deleted_at=None)
        .select_related("document")
        .only("tenant_id", "event_id", "status", "document__digest")
        .first()
    )
    if job is None:
        return False
    if not job.is_over:
        raise InvalidTransition(
            f"The job is {job.status}; only a job that has ended can be deleted. Cancel it first.",
            job_status=job.status,
        )
    digest = job.document.digest
    _delete(tenant_id, [Ended(job.pk, tenant_id, event_id, job.document_id, job.status, digest)])
    return True


def purge(seconds: float = 2.0) -> int:
    """Deletes jobs that have been over for longer than their tenant keeps them; how many.

    In batches, each a transaction, for `seconds` at most: what is left is for the next time. Any
    number may run at once.
    """
    started, deleted = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        count = _purge_batch()
        deleted += count
        if count < BATCH:
            break
    if deleted:
        logger.info("jobs_purged", extra={"jobs": deleted})
    return deleted


@transaction.atomic
def _purge_batch() -> int:
    with connection.cursor() as cursor:
        cursor.execute(OUT_OF_TIME, {"batch": BATCH})
        jobs = [Ended(*row) for row in cursor.fetchall()]
    of_tenants: dict[UUID, list[Ended]] = defaultdict(list)
    for job in jobs:
        of_tenants[job.tenant_id].append(job)
    for tenant_id, theirs in sorted(of_tenants.items()):
        _delete(tenant_id, theirs, because="retention")
    failpoint("before_purge_commit")
    return len(jobs)


def _delete(tenant_id: UUID, jobs: list[Ended], because: str = "request") -> None:
    """In the transaction that holds the jobs' locks. A trigger empties the rows themselves."""
    ids = [job.id for job in jobs]
    Job.objects.for_tenant(tenant_id).filter(pk__in=ids).update(deleted_at=ClockTimestamp())
    attempts = JobAttempt.objects.for_tenant(tenant_id)
    attempts.filter(job_id__in=ids, sealed_error__isnull=False).update(sealed_error=None)
    # Locked first: of two jobs with one document that are deleted at once, the second to come sees
    # that the first is gone.
    documents = Document.objects.for_tenant(tenant_id).filter(pk__in=[j.document_id for j in jobs])
    list(documents.select_for_update(no_key=True).order_by("pk").values_list("pk"))
    still_needed = Job.objects.for_tenant(tenant_id).filter(document=OuterRef("pk"))
    documents.filter(~Exists(still_needed.filter(deleted_at=None))).update(
        sealed_text=None, digest=""
    )
    idempotency.forget_jobs(tenant_id, [job.event_id for job in jobs])
    for job in jobs:
        what: dict[str, Any] = {"status": job.status, "document": job.digest, "because": because}
        audit.record("job.deleted", tenant_id=tenant_id, of=("job", job.event_id), before=what)
        dispatch.changed(job.event_id)
        logger.info("job_deleted", extra={"event_id": job.event_id, "because": because})
