"""The refusals of this app, and what a failed job says."""

from config.errors import DomainError


class DocumentTooLarge(DomainError):
    code = "document_too_large"
    title = "The guideline is too long"
    status = 413


class InvalidTransition(DomainError):
    code = "invalid_transition"
    title = "The job's status does not allow this"
    status = 409


class TooManyWaiting(DomainError):
    code = "too_many_waiting"
    title = "Too many of your jobs are waiting"
    status = 429


POISON = "poison"
INTERNAL_ERROR = "internal_error"
SAFE_DETAIL = {
    POISON: "The worker stopped before the job was done, three times. We look into it. Retry the"
    " job; if it fails again, tell support its event_id.",
    INTERNAL_ERROR: "We made a mistake while working on this job; nothing is wrong with your"
    " request. Retry the job; if it fails again, tell support its event_id.",
}
