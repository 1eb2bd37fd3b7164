"""The audit log: who did what to which object, for whom, and what was refused.

An entry is written in the transaction of its act, so neither stands without the other. A refused
act has no transaction that stays: its entry is written after the refusal (`tenants.refusals`).
Entries are inserted without a lock and sealed into hash chains soon after (`tenants.sealing`).
"""

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from config import logs
from config.staff import current_reason
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


def operator() -> Actor:
    """Whoever runs a command of manage.py, by the name they have on that machine."""
    return Actor(ActorKind.STAFF, getpass.getuser())


# `id` and `at` are the database's to give, and nobody has the right to.
INSERT = """
INSERT INTO tenants_auditentry (tenant_id, actor_kind, actor, on_behalf_of, address, request_id,
    action, outcome, object_type, object_id, before, after)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s::jsonb)
"""


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
    of             type and public id of the object, such as ("key", "gpc_..."); no personal data
    before, after  what changed, by field; never a secret, never text of a document

    What staff do has a reason (`config.staff.because`): it stands in `after`.
    """
    object_type, object_id = of
    what = (action, outcome.value, object_type, str(object_id)[:100])
    whose = signature().values()
    with connection.cursor() as cursor:
        cursor.execute(
            INSERT, [tenant_id, *whose, *what, _json(before), _json(_with_reason(after))]
        )


def signature() -> dict[str, str]:
    """Whose act it is, by the columns of an entry: for a statement that writes one itself."""
    actor = current_actor.get()
    return {
        "actor_kind": actor.kind.value,
        "actor": actor.name[:254],
        "on_behalf_of": actor.on_behalf_of[:254],
        "address": actor.address[:45],
        "request_id": logs.request_id.get(),
    }


def _with_reason(after: dict[str, Any] | None) -> dict[str, Any] | None:
    reason = current_reason()
    return {**(after or {}), "reason": reason} if reason else after


def _json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, default=str, ensure_ascii=False)
