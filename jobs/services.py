"""Every change of a job. Views, tasks, the admin and commands are doors to what stands here."""

import logging
import random
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from jobs import claims, dispatch
from jobs.claims import Claim
from jobs.errors import (
    INTERNAL_ERROR,
    SAFE_DETAIL,
    WORKER_LOST,
    DocumentTooLarge,
    InvalidTransition,
)
from jobs.models import (
    Document,
    Job,
    JobAttempt,
    JobStatus,
    Outcome,
    Priority,
    Step,
    attempt_limit,
)
from llm.errors import SAFE_DETAIL as MODEL_DETAIL
from llm.errors import LLMError

logger = logging.getLogger(__name__)

RETRY_BASE = timedelta(seconds=2)
RETRY_CAP = timedelta(minutes=5)


class LeaseLost(Exception):
    """The job is no longer this worker's: taken back, cancelled, or over."""


# --- What the API and staff ask for ---------------------------------------------------------


def submit_job(
    *,
    tenant_id: UUID,
    submitted_by: str,
    guideline_text: str,
    title: str = "",
    priority: Priority = Priority.NORMAL,
    metadata: dict[str, str] | None = None,
) -> Job:
    """Accepts a guideline and promises its processing, all or nothing.

    Raises DocumentTooLarge beyond settings.GUIDELINE_MAX_BYTES of UTF-8.
    """
    size, limit = len(guideline_text.encode()), settings.GUIDELINE_MAX_BYTES
    if size > limit:
        raise DocumentTooLarge(
            f"guideline_text has {size:,} bytes in UTF-8. It may have 1 character to"
            f" {limit:,} bytes (1 MB); send a longer guideline in parts.",
            limit_bytes=limit,
            errors=[{"pointer": "/guideline_text", "code": "too_large", "detail": "Too long."}],
        )
    with transaction.atomic():
        document = Document.of(tenant_id=tenant_id, text=guideline_text)
        document.save(force_insert=True)
        job = Job(
            tenant_id=tenant_id,
            document=document,
            submitted_by=submitted_by,
            title=title,
            priority=priority,
            metadata=metadata or {},
            attempt_limit=attempt_limit(),
        )
        job.save(force_insert=True)
        # Only a nudge: if it is lost, the pump wakes a worker for the same row within seconds.
        transaction.on_commit(dispatch.wake_worker)
    return job


@transaction.atomic
def cancel_job(*, tenant_id: UUID, event_id: UUID) -> Job | None:
    """Stops a job, waiting or running; None if the tenant has no such job.

    A worker that holds it finds its writes refused and starts no further model call. A job
    that is cancelled already stays so. Raises InvalidTransition if it has ended otherwise.
    """
    job = Job.objects.for_tenant(tenant_id).select_for_update().filter(event_id=event_id).first()
    if job is None or job.status == JobStatus.CANCELLED:
        return job
    if job.is_over:
        raise InvalidTransition(
            f"The job is {job.status}; only a job that has not ended can be cancelled.",
            job_status=job.status,
        )
    Job.objects.filter(pk=job.pk).update(
        status=JobStatus.CANCELLED, ended_at=Now(), worker="", lease_expires_at=None
    )
    _close_attempt(job.pk, job.attempt, Outcome.CANCELLED)
    job.refresh_from_db()
    logger.info("job_cancelled", extra={"event_id": event_id})
    return job


@transaction.atomic
def retry_job(*, tenant_id: UUID, event_id: UUID) -> Job | None:
    """Gives a failed or cancelled job new attempts; None if the tenant has no such job.

    What step 1 has paid for is kept; the old attempts stay on record. A job that waits or runs
    stays as it is. Raises InvalidTransition if it is completed.
    """
    job = Job.objects.for_tenant(tenant_id).select_for_update().filter(event_id=event_id).first()
    if job is None or not job.is_over:
        return job
    if job.status == JobStatus.COMPLETED:
        raise InvalidTransition(
            "The job is COMPLETED; submit the guideline again to have a new result.",
            job_status=job.status,
        )
    Job.objects.filter(pk=job.pk).update(
        status=JobStatus.PENDING,
        due_at=Now(),
        attempt_limit=F("attempt") + attempt_limit(),
        error_code="",
        error_detail="",
        ended_at=None,
    )
    transaction.on_commit(dispatch.wake_worker)
    job.refresh_from_db()
    logger.info("job_retried_by_hand", extra={"event_id": event_id})
    return job


# --- What a worker does while it holds a job ------------------------------------------------


def start_next_job(worker: str) -> Claim | None:
    """Claims the job that should run next, and wakes another worker if more are waiting."""
    claim = claims.claim_next(worker)
    if claim is None:
        return None
    if claim.more_waiting:
        dispatch.wake_worker()
    logger.info("job_started", extra={"event_id": claim.event_id, "attempt": claim.attempt})
    return claim


def save_summary(claim: Claim, summary: dict[str, Any]) -> None:
    """The checkpoint between the steps: from here on step 1 is not paid for again.

    summary  {"value", "usage", "provenance"} of step 1. Raises LeaseLost.
    """
    _write(claim, step=Step.CHECKLIST, summary=summary, **_spent(summary["usage"]))


@transaction.atomic
def complete_job(claim: Claim, result: dict[str, Any], usage: dict[str, int]) -> None:
    """Raises LeaseLost."""
    _write(
        claim,
        status=JobStatus.COMPLETED,
        result=result,
        ended_at=Now(),
        worker="",
        lease_expires_at=None,
        **_spent(usage),
    )
    _close_attempt(claim.id, claim.attempt, Outcome.COMPLETED)
    logger.info("job_completed", extra={"event_id": claim.event_id, "attempt": claim.attempt})


def fail_attempt(claim: Claim, error: Exception) -> None:
    """Ends this attempt: the job waits for the next one, or is FAILED. Raises LeaseLost."""
    code = error.code if isinstance(error, LLMError) else INTERNAL_ERROR
    retryable = error.retryable if isinstance(error, LLMError) else True
    raw = f"{type(error).__name__}: {error}"
    if isinstance(error, LLMError) and error.detail:
        raw += f"\n{error.detail}"
    again = retryable and claim.attempt < claim.attempt_limit
    with transaction.atomic():
        if again:
            delay = retry_delay(claim.attempt, getattr(error, "retry_after", None))
            _write(
                claim,
                status=JobStatus.PENDING,
                due_at=Now() + delay,
                worker="",
                lease_expires_at=None,
            )
        else:
            _write(
                claim,
                status=JobStatus.FAILED,
                error_code=code,
                error_detail=(MODEL_DETAIL | SAFE_DETAIL)[code],
                ended_at=Now(),
                worker="",
                lease_expires_at=None,
            )
        outcome = Outcome.RETRIED if again else Outcome.FAILED
        _close_attempt(claim.id, claim.attempt, outcome, code, raw)
    logger.warning(
        "job_attempt_failed",
        extra={"event_id": claim.event_id, "attempt": claim.attempt, "code": code, "again": again},
    )


def retry_delay(attempt: int, retry_after: float | None) -> timedelta:
    """Exponential with full jitter, never sooner than the provider asked for.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    ceiling = min(RETRY_CAP, RETRY_BASE * 2 ** (attempt - 1))
    delay = random.uniform(0, ceiling.total_seconds())  # noqa: S311  (spreads load, no secret)
    return timedelta(seconds=max(delay, retry_after or 0))


# --- The pump -------------------------------------------------------------------------------


def pump() -> int:
    """Takes back what has lost its lease and wakes workers for what is due.

    Any number may run at once. Returns the number of wake-ups sent; raises what
    `dispatch.publish` raises while Redis is away.
    """
    for event_id, status in claims.reap(SAFE_DETAIL[WORKER_LOST]):
        logger.warning("job_taken_back", extra={"event_id": event_id, "status": status})
    due = claims.count_due(dispatch.AT_ONCE)
    missing = due - dispatch.waiting_wake_ups() if due else 0
    if missing > 0:
        dispatch.publish(missing)
    return max(missing, 0)


# --- Fenced writes --------------------------------------------------------------------------


def _write(claim: Claim, **values: Any) -> None:
    """Changes the job if this attempt still holds it. Raises LeaseLost otherwise."""
    held = Job.objects.filter(
        pk=claim.id, attempt=claim.attempt, status=JobStatus.PROCESSING
    ).update(**values)
    if not held:
        raise LeaseLost(f"{claim.event_id} attempt {claim.attempt}")


def _spent(usage: dict[str, int]) -> dict[str, Any]:
    return {
        "llm_calls": F("llm_calls") + usage["calls"],
        "prompt_tokens": F("prompt_tokens") + usage["prompt_tokens"],
        "completion_tokens": F("completion_tokens") + usage["completion_tokens"],
    }


def _close_attempt(
    job_id: int, number: int, outcome: Outcome, code: str = "", error: str = ""
) -> None:
    JobAttempt.objects.filter(job_id=job_id, number=number, outcome=Outcome.RUNNING).update(
        outcome=outcome, error_code=code, error=error[:10_000], ended_at=Now()
    )
