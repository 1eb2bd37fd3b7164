"""The refusals of this app, and what a failed job says."""

from typing import TYPE_CHECKING

from config.errors import DomainError

if TYPE_CHECKING:
    from jobs.models import Job


class DocumentTooLarge(DomainError):
    code = "document_too_large"
    title = "The guideline is too long"
    status = 413


class InvalidTransition(DomainError):
    code = "invalid_transition"
    title = "The job's status does not allow this"
    status = 409


class NotCompleted(DomainError):
    code = "not_completed"
    title = "The job has no checklist"
    status = 409

    @classmethod
    def of(cls, job: "Job") -> "NotCompleted":
        if job.is_over:
            return cls(
                f"The job is {job.status}. Retry it, or see its `error`.", job_status=job.status
            )
        return cls(
            f"The job is {job.status}. Ask again once GET /jobs/{job.event_id} says COMPLETED.",
            headers={"Retry-After": "1"},
            job_status=job.status,
        )


class TooManyWaiting(DomainError):
    code = "too_many_waiting"
    title = "Too many of your jobs are waiting"
    status = 429


class QuotaExceeded(DomainError):
    code = "quota_exceeded"
    title = "A budget of your plan is used up"
    status = 429


class BudgetExhausted(Exception):
    """A model call may not start: its tenant's budget (the argument) does not hold what it may
    cost."""

    code = "budget_exhausted"


POISON = "poison"
INTERNAL_ERROR = "internal_error"
SAFE_DETAIL = {
    BudgetExhausted.code: "A budget of your plan was used up before the job was done; GET /limits"
    " says which, and when it begins anew. Retry the job then: what step 1 has made is kept.",
    POISON: "The worker stopped before the job was done, three times. We look into it. Retry the"
    " job; if it fails again, tell support its event_id.",
    INTERNAL_ERROR: "We made a mistake while working on this job; nothing is wrong with your"
    " request. Retry the job; if it fails again, tell support its event_id.",
}
