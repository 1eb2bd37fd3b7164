"""Retry or cancel many jobs by a filter: a few a second, with progress, and stoppable.

The pump works on it, a job at a time through the same services as everybody, so nothing is locked
for long, a crash repeats nothing, and two people who start the same make one retry of each job.
"""

import logging
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from config.errors import DomainError
from config.staff import because
from jobs import services
from jobs.errors import InvalidTransition, QuotaExceeded
from jobs.filters import JobFilter
from jobs.models import RETRYABLE, BulkAction, Job, JobStatus
from tenants.audit import Actor, acts_of, record
from tenants.models import ActorKind, Tenant

logger = logging.getLogger(__name__)

SLICE_SECONDS = 2.0  # what was missed beyond this, while nobody pumped, is not caught up with
POSSIBLE = {
    BulkAction.Kind.RETRY: RETRYABLE,
    BulkAction.Kind.CANCEL: [JobStatus.PENDING, JobStatus.PROCESSING],
}
COUNTED = 10_000  # a preview counts no further


class ImpossibleAction(DomainError):
    code = "impossible_action"
    title = "That cannot be done to jobs in this state"
    status = 422


@dataclass(frozen=True)
class Preview:
    """What an action would begin with: how many jobs (of at most COUNTED), of which tenants and
    with which errors, the most first, and the newest few."""

    total: int
    is_more: bool
    tenants: list[tuple[str, int]]
    errors: list[tuple[str, int]]
    newest: list[dict[str, Any]]


def preview(kind: str, chosen: JobFilter) -> Preview:
    """Raises ImpossibleAction."""
    jobs = _eligible(kind, chosen).order_by("-event_id")
    rows = list(jobs.values_list("tenant__slug", "error_code")[: COUNTED + 1])
    counted = rows[:COUNTED]
    columns = ("event_id", "tenant__slug", "title", "status", "error_code", "created_at")
    return Preview(
        total=len(counted),
        is_more=len(rows) > COUNTED,
        tenants=Counter(slug for slug, _ in counted).most_common(10),
        errors=Counter(code for _, code in counted if code).most_common(10),
        newest=list(jobs.values(*columns)[:10]),
    )


def start(
    *,
    kind: str,
    chosen: JobFilter,
    actor: str,
    reason: str,
    rate: int = 10,
    name: str = "",
    token: uuid.UUID | None = None,
) -> BulkAction:
    """Begins to `kind` ("retry" or "cancel") all jobs that match now, `rate` a second.

    token  the same twice is the same action. Raises ImpossibleAction for a state from which that
           is impossible.
    """
    begun = BulkAction.objects.filter(token=token).first() if token else None
    if begun:
        return begun
    matching = _eligible(kind, chosen)
    tenant = Tenant.objects.filter(slug=chosen.tenant).first() if chosen.tenant else None
    last = matching.aggregate(last=Max("id"))["last"] or 0
    with transaction.atomic():
        action, is_new = BulkAction.objects.get_or_create(
            token=token or uuid.uuid4(),
            defaults={
                "name": name or f"{kind} {chosen}"[:200],
                "kind": kind,
                "tenant": tenant,
                "filter": chosen.held(),
                "rate": rate,
                "actor": actor,
                "reason": reason,
                "until_id": last,
                "total": matching.count(),
            },
        )
        if is_new:
            record("bulk.started", tenant_id=action.tenant_id, of=_of(action), after=_said(action))
            logger.info("bulk_started", extra={"bulk": action.pk, "kind": kind})
    return action


def abort(action: BulkAction) -> bool:
    """Stops it where it is; False if it had ended."""
    with transaction.atomic():
        aborted = _end(action.pk, BulkAction.State.ABORTED)
        if aborted:
            action.refresh_from_db()
            record("bulk.aborted", tenant_id=action.tenant_id, of=_of(action), after=_done(action))
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
        if _end(pk, BulkAction.State.DONE):
            record("bulk.ended", tenant_id=action.tenant_id, of=_of(action), after=_done(action))
        return None
    left_alone = _act(action, job)
    if left_alone:
        action.skipped[left_alone] = action.skipped.get(left_alone, 0) + 1
    action.changed += not left_alone
    action.last_id = job.pk
    action.save(update_fields=["changed", "skipped", "last_id"])
    return not left_alone


def _act(action: BulkAction, job: Job) -> str:
    """The code of what stood against it: it has moved on by itself, or its tenant has nothing left
    to spend. "" where it was done."""
    act = services.retry_job if action.kind == BulkAction.Kind.RETRY else services.cancel_job
    actor = Actor(ActorKind.SYSTEM, "pump", on_behalf_of=action.actor)
    try:
        with acts_of(actor), because(action.reason), transaction.atomic():
            act(
                tenant_id=job.tenant_id,
                event_id=job.event_id,
                actor=action.actor,
                reason=action.reason,
            )
    except (InvalidTransition, QuotaExceeded) as refused:
        return refused.code
    return ""


def _of(action: BulkAction) -> tuple[str, int]:
    return "bulk_action", action.pk


def _said(action: BulkAction) -> dict[str, Any]:
    names = ("name", "kind", "filter", "rate", "total", "reason")
    return {name: getattr(action, name) for name in names}


def _done(action: BulkAction) -> dict[str, Any]:
    return {"changed": action.changed, "skipped": action.skipped, "total": action.total}


def _hold(pk: int) -> BulkAction | None:
    """Locks the action, unless another pump has it or it has ended."""
    return (
        BulkAction.objects.select_for_update(skip_locked=True)
        .filter(pk=pk, state=BulkAction.State.RUNNING)
        .first()
    )


def _eligible(kind: str, chosen: JobFilter) -> QuerySet[Job]:
    """Raises ImpossibleAction for a filter that leaves none that it could be done to."""
    possible = POSSIBLE[BulkAction.Kind(kind)]
    if chosen.status and chosen.status not in possible:
        raise ImpossibleAction(f"To {kind}, choose one of: {', '.join(possible)}.")
    return chosen.jobs().filter(status__in=possible)


def _matching(action: BulkAction) -> QuerySet[Job]:
    jobs = _eligible(action.kind, JobFilter.of(action.filter))
    return jobs.only("id", "tenant_id", "event_id").order_by("id")


def _end(pk: int, state: BulkAction.State) -> bool:
    ended = BulkAction.objects.filter(pk=pk, state=BulkAction.State.RUNNING).update(
        state=state, ended_at=Now()
    )
    return ended == 1
