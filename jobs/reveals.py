"""Blind mode: staff see what becomes of a guideline, not what it says, until they give a reason.

The database role of staff cannot read the columns that hold a tenant's words. To reveal a job's
text is an act like any other: its entry in the audit log, which the tenant's owners read too, is
what opens the text, for whoever made it, for that job, for half an hour. There is no revealing
without an entry, since the entry is the revealing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Max
from django.utils import timezone

from config.errors import DomainError
from config.isolation import DatabaseRole, acting_as
from tenants.audit import current_actor, record
from tenants.models import ActorKind, AuditEntry

LASTS = timedelta(minutes=30)
REVEALED = "job.revealed"


class NotRevealed(DomainError):
    code = "not_revealed"
    title = "The text is not revealed"
    status = 403
    detail = "Give a reason first; it holds for half an hour."


def reveal(tenant_id: UUID, event_id: UUID) -> datetime:
    """Opens the job's text to the current actor; until when."""
    until = timezone.now() + LASTS
    record(REVEALED, tenant_id=tenant_id, of=("job", event_id), after={"until": until})
    return until


def revealed_until(tenant_id: UUID, event_id: UUID) -> datetime | None:
    """Until when the current actor may read the job's text; None if not now."""
    actor = current_actor.get()
    entries = AuditEntry.objects.for_tenant(tenant_id).filter(
        object_type="job",
        object_id=str(event_id),
        action=REVEALED,
        outcome=AuditEntry.Outcome.DONE,
        actor_kind=ActorKind.STAFF,
        actor=actor.name,
        at__gt=timezone.now() - LASTS,
    )
    last = entries.aggregate(last=Max("at"))["last"]
    return last + LASTS if last and actor.kind == ActorKind.STAFF else None


@contextmanager
def opened(tenant_id: UUID, event_id: UUID) -> Iterator[None]:
    """Inside, the tenant's own words can be read. Raises NotRevealed."""
    if revealed_until(tenant_id, event_id) is None:
        raise NotRevealed
    with acting_as(DatabaseRole.API, tenant_id):
        yield
