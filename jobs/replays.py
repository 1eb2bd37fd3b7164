"""The same guideline once more, with other versions: a new job, so that both can be compared.

Both jobs have one document; it is erased when the last of them is deleted.
"""

import logging
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from config.errors import DomainError
from jobs import budget, cache, dispatch
from jobs.errors import InvalidTransition
from jobs.models import SEALED, Document, Job
from jobs.options import asked_by, current_prompts, refuse_unless_allowed, resolve
from jobs.services import DEFAULT_EXPIRY
from llm import prompts as prompt_files
from llm.estimate import estimate
from tenants.audit import record
from tenants.authentication import Principal

logger = logging.getLogger(__name__)


class UnknownPrompt(DomainError):
    code = "unknown_prompt"
    title = "There is no such version of this prompt"
    status = 422


@transaction.atomic
def replay_job(
    *,
    caller: Principal,
    event_id: UUID,
    prompts: dict[str, int] | None = None,
    options: dict[str, Any] | None = None,
    reason: str = "",
) -> Job | None:
    """Runs an ended job's guideline again, as a new job of the caller; None if the caller knows of
    no such job.

    prompts, options  what is to be different; all else is as it was for the first job. An earlier
                      result will do only where `options` say so: a replay is there to be compared.

    Raises UnknownPrompt, ModelNotAllowed, InvalidTransition while the job waits or runs,
    TooManyWaiting or QuotaExceeded.
    """
    # Locked against its deletion, which erases the document unless another job has it.
    jobs = (
        Job.objects.visible_to(caller).select_for_update(no_key=True, of=("self",)).defer(*SEALED)
    )
    job = jobs.filter(event_id=event_id, deleted_at=None).first()
    if job is None:
        return None
    if not job.is_over:
        raise InvalidTransition(
            f"The job is {job.status}; only a job that has ended can be replayed.",
            job_status=job.status,
        )
    _check_prompts(prompts or {})
    holding = _holding(job, options or {}, caller)
    refuse_unless_allowed(holding, caller.preferences, "/model")
    document = Document.objects.for_tenant(job.tenant_id).get(pk=job.document_id)
    text = document.text
    if text is None:
        raise InvalidTransition(
            "The job's guideline was never read, so it cannot be replayed. Submit it again.",
            job_status=job.status,
        )
    again = Job(
        tenant_id=job.tenant_id,
        document=document,
        submitted_by=caller.subject,
        title=job.title,
        priority=job.priority,
        metadata=job.metadata,
        options=holding,
        prompts=current_prompts() | job.prompts | (prompts or {}),
        replay_of=job,
        deadline_at=Now() + DEFAULT_EXPIRY,
    )
    again.fingerprint = cache.fingerprint(again)
    again.save(force_insert=True)
    record(
        "job.replayed",
        tenant_id=job.tenant_id,
        of=("job", again.event_id),
        after={
            "replay_of": str(job.event_id),
            "prompts": again.prompts,
            "model": again.options["model"],
            "reason": reason,
        },
    )
    transaction.on_commit(dispatch.wake_worker)
    # The last, as everywhere: whoever submits for this tenant waits for it.
    asked = asked_by(holding, own_key=caller.preferences.own_key)
    budget.admit(job.tenant_id, again.pk, estimate(text), asked)
    logger.info("job_replayed", extra={"event_id": again.event_id, "replay_of": event_id})
    return again


def _holding(job: Job, changes: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """The job's options with these changes, and without models that the tenant may not use now."""
    holding = resolve(job.options) | {"cache": False} | changes
    # Whoever names a model gets that one.
    fallbacks = [] if "model" in changes else holding["fallback_models"]
    allowed = caller.preferences.allowed
    return holding | {"fallback_models": [model for model in fallbacks if model in allowed]}


def _check_prompts(prompts: dict[str, int]) -> None:
    wrong = [name for name, version in prompts.items() if not prompt_files.exists(name, version)]
    if wrong:
        known: dict[str, list[str]] = {}
        for prompt in prompt_files.every():
            known.setdefault(prompt.name, []).append(str(prompt.version))
        there_are = ", ".join(f"{name} {' or '.join(known[name])}" for name in sorted(known))
        raise UnknownPrompt(
            f"`prompts` names versions of prompts. There are: {there_are}.",
            errors=[
                {"pointer": f"/prompts/{name}", "code": "unknown", "detail": UnknownPrompt.title}
                for name in wrong
            ],
        )
