"""What differs between the results of two jobs of a tenant, see docs/revisions.md."""

from typing import Any
from uuid import UUID

from config.errors import DomainError
from jobs.models import Job
from llm.diff import Version, diff
from tenants.authentication import Principal


class NoResult(DomainError):
    code = "no_result"
    title = "A job has no result to compare"
    status = 409


def diff_jobs(*, caller: Principal, before: UUID, after: UUID) -> dict[str, Any] | None:
    """{before, after, items, statements}; None unless the caller knows of both jobs.

    Raises NoResult unless both are COMPLETED.
    """
    rows = (
        Job.objects.visible_to(caller)
        .filter(event_id__in={before, after}, deleted_at=None)
        .select_related("document")
        .with_result()
    )
    jobs = {job.event_id: job for job in rows}
    if before not in jobs or after not in jobs:
        return None
    old, new = _version(jobs[before]), _version(jobs[after])
    sides = {"before": _named(jobs[before]), "after": _named(jobs[after])}
    return sides | diff(old, new)


def _version(job: Job) -> Version:
    result = job.result
    if result is None:
        raise NoResult(
            f"The job {job.event_id} is {job.status}; only results of COMPLETED jobs are compared.",
            event_id=str(job.event_id),
            job_status=job.status,
        )
    return Version(job.document.text or "", result)


def _named(job: Job) -> dict[str, Any]:
    return {"event_id": job.event_id, "completed_at": job.ended_at}
