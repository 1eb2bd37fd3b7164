"""Retry or cancel many jobs by a filter: a few a second, with progress, and stoppable.

The pump works on it, a job at a time through the same services as everybody, so nothing is locked
for long, a crash repeats nothing, and two people who start the same make one retry of each job.
"""

import logging
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Max, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from jobs import services
from jobs.errors import InvalidTransition, QuotaExceeded
from jobs.models import RETRYABLE, BulkAction, Job, JobStatus
from tenants.audit import Actor, acts_of, record
from tenants.models import ActorKind, Tenant

logger = logging.getLogger(__name__)

SLICE_SECONDS = 2.0  # what was missed beyond this, while nobody pumped, is not caught up with
CANCELLABLE = [JobStatus.PENDING, JobStatus.PROCESSING]


def start(
    *,
    kind: str,
    status: str,
    actor: str,
    reason: str,
    tenant: Tenant | None = None,
    error_code: str = "",
    rate: int = 10,
    name: str = "",
) -> BulkAction:
    """Begins to `kind` ("retry" or "cancel") all jobs that match now, `rate` a second.

    Raises ValueError for a status from which that is impossible.
    """
    possible = RETRYABLE if kind == BulkAction.Kind.RETRY else CANCELLABLE
    if status not in possible:
        raise ValueError(f"To {kind}, choose one of: {', '.join(possible)}.")
    action = BulkAction(
        name=name or f"{kind} {status} {error_code}".strip(),
        kind=kind,
        tenant=tenant,
        status=status,
        error_code=error_code,
        rate=rate,
        actor=actor,
        reason=reason,
    )
    matching = _matching(action)
    action.until_id = matching.aggregate(last=Max("id"))["last"] or 0
    action.total = matching.count()
    with transaction.atomic():
        action.save()
        record("bulk.started", tenant_id=action.tenant_id, of=_of(action), after=_said(action))
    logger.info("bulk_started", extra={"bulk": action.pk, "kind": kind, "total": action.total})
    return action


def abort(action: BulkAction) -> bool:
    """Stops it where it is; False if it had ended."""
    with transaction.atomic():
        aborted = _end(action.pk, BulkAction.State.ABORTED)
        if aborted:
            record("bulk.aborted", tenant_id=action.tenant_id, of=_of(action))
    return aborted


def work() -> int:
    """Goes on with every action that runs, as far as its rate allows. Returns jobs changed."""
    running = BulkAction.objects.filter(state=BulkAction.State.RUNNING)
    return sum(_work_on(pk) for pk in running.values_list("pk", flat=True))


def _work_on(pk: int) -> int:
    with transaction.atomic():
        action = _hold(pk)
        if action is None:
            return 0
        elapsed = min((timezone.now() - action.worked_at).total_seconds(), SLICE_SECONDS)
        allowed = int(elapsed * action.rate)
        if not allowed:
            return 0
        worked_at = action.worked_at + timedelta(seconds=allowed / action.rate)
        latest = timezone.now() - timedelta(seconds=SLICE_SECONDS)
        BulkAction.objects.filter(pk=pk).update(worked_at=max(worked_at, latest))
    changed = 0
    for _ in range(allowed):
        outcome = _next(pk)
        if outcome is None:
            break
        changed += outcome
    return changed


@transaction.atomic
def _next(pk: int) -> bool | None:
    """One job: was it changed? None if there is none left, or somebody else is at it."""
    action = _hold(pk)
    if action is None:
        return None
    job = _matching(action).filter(id__gt=action.last_id, id__lte=action.until_id).first()
    if job is None:
        _end(pk, BulkAction.State.DONE)
        return None
    changed = _act(action, job)
    BulkAction.objects.filter(pk=pk).update(last_id=job.pk, changed=F("changed") + int(changed))
    return changed


def _act(action: BulkAction, job: Job) -> bool:
    act = services.retry_job if action.kind == BulkAction.Kind.RETRY else services.cancel_job
    said: dict[str, Any] = {"actor": action.actor, "reason": action.reason}
    actor = Actor(ActorKind.SYSTEM, "pump", on_behalf_of=action.actor)
    try:
        with acts_of(actor), transaction.atomic():
            act(tenant_id=job.tenant_id, event_id=job.event_id, **said)
    except (InvalidTransition, QuotaExceeded):
        return False  # it has moved on by itself, or its tenant has nothing left to spend
    return True


def _of(action: BulkAction) -> tuple[str, int]:
    return "bulk_action", action.pk


def _said(action: BulkAction) -> dict[str, Any]:
    names = ("kind", "status", "error_code", "rate", "total", "reason")
    return {name: getattr(action, name) for name in names}


def _hold(pk: int) -> BulkAction | None:
    """Locks the action, unless another pump has it or it has ended."""
    return (
        BulkAction.objects.select_for_update(skip_locked=True)
        .filter(pk=pk, state=BulkAction.State.RUNNING)
        .first()
    )


def _matching(action: BulkAction) -> QuerySet[Job]:
    jobs = Job.objects.across_tenants().filter(status=action.status, deleted_at=None)
    if action.tenant_id is not None:
        jobs = jobs.for_tenant(action.tenant_id)
    if action.error_code:
        jobs = jobs.filter(error_code=action.error_code)
    return jobs.only("id", "tenant_id", "event_id").order_by("id")


def _end(pk: int, state: BulkAction.State) -> bool:
    ended = BulkAction.objects.filter(pk=pk, state=BulkAction.State.RUNNING).update(
        state=state, ended_at=Now()
    )
    return ended == 1
