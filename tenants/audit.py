"""The audit log: who did what to which object, for whom, and what was refused.

An entry is written in the transaction of its act, so neither stands without the other. A refused
act has no transaction that stays: its entry is written after the refusal.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from config import logs
from tenants.models import ActorKind, AuditEntry

Outcome = AuditEntry.Outcome


@dataclass(frozen=True, slots=True)
class Actor:
    """Whose act it is. Set once for each request, by the door through which it came."""

    kind: ActorKind
    name: str
    on_behalf_of: str = ""
    address: str = ""


SYSTEM = Actor(ActorKind.SYSTEM, "system")
current_actor: ContextVar[Actor] = ContextVar("current_actor", default=SYSTEM)


@contextmanager
def acts_of(actor: Actor) -> Iterator[None]:
    """What is recorded inside is the actor's."""
    token = current_actor.set(actor)
    try:
        yield
    finally:
        current_actor.reset(token)


def record(
    action: str,
    *,
    tenant_id: UUID | None,
    of: tuple[str, object] = ("", ""),
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    outcome: Outcome = Outcome.DONE,
) -> None:
    """Writes an entry for what the current actor does, in the current transaction.

    action         "key.revoked": a noun and what became of it
    of             type and public id of the object, such as ("key", "gpc_...")
    before, after  what changed, by field; never a secret, never text of a document
    """
    actor = current_actor.get()
    object_type, object_id = of
    AuditEntry(
        tenant_id=tenant_id,
        actor_kind=actor.kind,
        actor=actor.name,
        on_behalf_of=actor.on_behalf_of,
        address=actor.address,
        request_id=logs.request_id.get(),
        action=action,
        outcome=outcome,
        object_type=object_type,
        object_id=str(object_id),
        before=before,
        after=after,
    ).save(force_insert=True)
