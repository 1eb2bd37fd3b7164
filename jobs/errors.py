"""The refusals of this app, and what a failed job says."""

from typing import TYPE_CHECKING

from config.errors import DomainError
from jobs.documents.formats import TOO_LARGE, UNREADABLE, UNSAFE
from llm.errors import SAFE_DETAIL as OF_MODELS
from llm.errors import LLMError, TransientLLMError

if TYPE_CHECKING:
    from jobs.models import Job


class DocumentTooLarge(DomainError):
    code = "document_too_large"
    title = "The guideline is too long"
    status = 413


class FileTooLarge(DomainError):
    code = "file_too_large"
    title = "The file is too large"
    status = 413


class UnsupportedOrUnsafeFile(DomainError):
    code = "unsupported_or_unsafe_file"
    title = "The file cannot be accepted"
    status = 422

    def __init__(self, detail: str) -> None:
        super().__init__(
            detail,
            errors=[{"pointer": "/document", "code": self.code, "detail": detail}],
        )


class InvalidTransition(DomainError):
    code = "invalid_transition"
    title = "The job's status does not allow this"
    status = 409


class UnknownEarlierJob(DomainError):
    code = "unknown_earlier_job"
    title = "There is no such earlier job"
    status = 422
    detail = "`supersedes` is the `event_id` of a COMPLETED job of yours that is not deleted."


class NotCompleted(DomainError):
    code = "not_completed"
    title = "The job has no checklist"
    status = 409

    @classmethod
    def of(cls, job: "Job") -> "NotCompleted":
        if job.is_over:
            next_step = (
                "its `error` says why and what to do."
                if job.error_code
                else f"retry it with POST /jobs/{job.event_id}/retry, or submit its text anew."
            )
            return cls(
                f"The job is {job.status}, so there is none; {next_step}", job_status=job.status
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


class ModelsAway(TransientLLMError):
    """Every model of the job is away, as its circuit says: nobody was asked."""

    code = "llm_unavailable"


class OwnKeyRefused(LLMError):
    """The tenant's own key opens nothing, or none of the job's models."""

    code = "provider_key_refused"


class OwnQuotaExhausted(LLMError):
    """The account of the tenant's own key has no credit left."""

    code = "provider_quota_exhausted"


POISON = "poison"
DOCUMENT_POISON = (
    "Reading the document stopped its reader three times. Save it anew, or send its text; if that"
    " fails again, tell support the job's event_id."
)
INTERNAL_ERROR = "internal_error"
SAFE_DETAIL = OF_MODELS | {  # what a failed job says, by its code
    BudgetExhausted.code: "A budget of your plan was used up before the job was done; GET /limits"
    " says which, and when it begins anew. Retry the job then: what step 1 has made is kept.",
    OwnKeyRefused.code: "The provider does not accept your own key for the models of this job. Set"
    " another one with PUT /settings/provider, choose models that it may use, or remove it. Retry"
    " the job then.",
    OwnQuotaExhausted.code: "Your account with the provider has no credit left, or has reached its"
    " limit. Mend that with the provider, or remove your own key. Retry the job then.",
    POISON: "The worker stopped before the job was done, three times. We look into it. Retry the"
    " job; if it fails again, tell support its event_id.",
    UNSAFE: "Reading the document takes more time or memory than any ordinary document does. Print"
    " it to a new PDF, or send its text, as a new job.",
    UNREADABLE: "The document is damaged, protected, or holds no text. The job's `error.detail`"
    " says which; send a mended file as a new job.",
    TOO_LARGE: "The document holds more text or pages than a guideline may. Send it in parts, each"
    " as a new job.",
    INTERNAL_ERROR: "We made a mistake while working on this job; nothing is wrong with your"
    " request. Retry the job; if it fails again, tell support its event_id.",
}
