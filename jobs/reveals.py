"""Blind mode: staff see what becomes of a guideline, not what it says, until they give a reason.

The database role of staff cannot read the columns that hold a tenant's words. To reveal a job's
text is an act like any other: its entry in the audit log, which the tenant's owners read too, is
what opens the text, for whoever made it, for that job, for half an hour. There is no revealing
without an entry, since the entry is the revealing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

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


@dataclass(frozen=True)
class Revealed:
    until: datetime
    reason: str


def revealed(tenant_id: UUID, event_id: UUID) -> Revealed | None:
    """Until when the current actor may read the job's text, and why; None if not now."""
    actor = current_actor.get()
    if actor.kind != ActorKind.STAFF:
        return None
    entries = AuditEntry.objects.for_tenant(tenant_id).filter(
        object_type="job",
        object_id=str(event_id),
        action=REVEALED,
        outcome=AuditEntry.Outcome.DONE,
        actor_kind=ActorKind.STAFF,
        actor=actor.name,
        at__gt=timezone.now() - LASTS,
    )
    last = entries.order_by("-at").first()
    return Revealed(last.at + LASTS, (last.after or {}).get("reason", "")) if last else None


@contextmanager
def opened(tenant_id: UUID, event_id: UUID) -> Iterator[None]:
    """Inside, the tenant's own words can be read. Raises NotRevealed."""
    if revealed(tenant_id, event_id) is None:
        raise NotRevealed
    with acting_as(DatabaseRole.API, tenant_id):
        yield
