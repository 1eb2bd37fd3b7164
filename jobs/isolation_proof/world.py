"""Two tenants with one of everything, and what is whose.

A model with a tenant has a maker here; without one the proof fails, since it would prove nothing
of that model. A maker writes the tenant's row and says by what ids the world knows it.
"""

import secrets
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction
from django.db.models.functions import Now

from accounts.models import User
from config.catalogue import tenant_tables
from jobs import sealed, services
from jobs.models import (
    ENDED,
    BulkAction,
    CallOutcome,
    Document,
    Job,
    JobAttempt,
    JobEvent,
    JobStatus,
    LLMCall,
    Outcome,
    Step,
    TenantQueue,
)
from tenants import audit
from tenants.models import ApiKey, AuditEntry, Membership, Role, Scope, Tenant
from tenants.permissions import INTEGRATION, granted_scopes
from tenants.services import keys, members


@dataclass
class Side:
    """One of the tenants, and everything that is known to be its own."""

    tenant: Tenant
    canary: str  # stands in every text of the tenant
    people: dict[Role, User] = field(default_factory=dict)
    keys: dict[str, ApiKey] = field(default_factory=dict)
    ids: dict[str, list[str]] = field(default_factory=dict)  # by kind: "job", "key", "member"

    def show(self, kind: str, *ids: object) -> None:
        """Ids by which the API knows a thing of the tenant: tried by the other tenant."""
        self.ids.setdefault(kind, []).extend(map(str, ids))

    def marks(self) -> set[str]:
        """What no answer to anybody else may contain. Short numbers say nothing, so they are
        not searched for."""
        known = {each for ids in self.ids.values() for each in ids if len(each) > 8}
        return known | {self.canary, str(self.tenant.id)}


Maker = Callable[[Side], None]
_makers: dict[type[models.Model], Maker] = {}


def makes(*made: type[models.Model]) -> Callable[[Maker], Maker]:
    """Registers a maker. They run in the order in which they are registered."""

    def register(maker: Maker) -> Maker:
        for model in made:
            _makers[model] = maker
        return maker

    return register


def models_without_a_maker() -> list[str]:
    """Models with a tenant of which the proof would have no row."""
    return sorted(
        model._meta.label
        for model in apps.get_models()
        if any(field.related_model is Tenant for field in model._meta.concrete_fields)
        and model not in _makers
    )


# --- Makers -----------------------------------------------------------------------------------


@makes(Membership)
def people(side: Side) -> None:
    for role in Role:
        user = User.objects.create_user(f"{role}.{side.canary}@example.com", name=side.canary)
        members.add_member(tenant=side.tenant, user=user, role=role)
        side.people[role] = user
        side.show("member", user.pk)
        side.show("email", user.email)


@makes(ApiKey)
def api_keys(side: Side) -> None:
    """One with every scope, one for each scope, one revoked."""
    held = granted_scopes(side.tenant, INTEGRATION)
    wanted: dict[str, set[Scope]] = {"key with every scope": held, "revoked key": held}
    wanted |= {f"key with {scope}": {scope} for scope in sorted(held)}
    for name, scopes in wanted.items():
        key = keys.issue_api_key(tenant=side.tenant, name=side.canary, scopes=scopes).key
        side.keys[name] = key
        side.show("key", key.client_id)
    keys.revoke_api_key(side.keys["revoked key"])


@makes(TenantQueue)
def queue(side: Side) -> None:
    """Paused, so that no worker of a running stack takes the jobs."""
    services.set_queue(side.tenant.id, is_paused=True)


@makes(Document, Job, JobAttempt, JobEvent, LLMCall)
def jobs(side: Side) -> None:
    """A job in every status, each with a document, attempts, events and calls.

    Written past the services where those would claim whichever job is next, be it of others.
    """
    for status in JobStatus:
        job = services.submit_job(
            tenant_id=side.tenant.id,
            submitted_by=side.keys["key with every scope"].client_id,
            guideline_text=f"Staff MUST keep {side.canary} to themselves.",
            title=side.canary,
            metadata={"ward": side.canary},
        )
        side.show("job", job.event_id)
        if status is not JobStatus.PENDING:
            _move(job, status, side.canary)


def _move(job: Job, status: JobStatus, canary: str) -> None:
    mine = Job.objects.for_tenant(job.tenant_id).filter(pk=job.pk)
    if status in (JobStatus.CANCELLED, JobStatus.EXPIRED):
        mine.update(status=status, ready=False, ended_at=Now())
        return
    mine.update(
        status=JobStatus.PROCESSING,
        ready=False,
        attempt=1,
        worker=canary,
        lease_expires_at=Now() + timedelta(days=1),
        started_at=Now(),
    )
    of_the_job = {"tenant_id": job.tenant_id, "job_id": job.pk}
    error = sealed.seal_text(job.tenant_id, canary, sealed.ERROR.format(job.pk, 1))
    JobAttempt(
        **of_the_job, number=1, worker=canary, step=Step.SUMMARIZE, sealed_error=error
    ).save()
    LLMCall(
        **of_the_job, attempt=1, step=Step.SUMMARIZE, label=f"{job.event_id}", model=canary
    ).save()
    if status is JobStatus.PROCESSING:
        return
    ended: dict[str, Any] = {"status": status, "ended_at": Now(), "worker": ""}
    ended |= {"lease_expires_at": None}
    if status is JobStatus.COMPLETED:
        result, place = {"checklist": [], "canary": canary}, sealed.RESULT.format(job.event_id)
        ended |= {"sealed_result": sealed.seal_json(job.tenant_id, result, place)}
    else:
        ended |= {"error_code": "llm_refused", "error_detail": canary}
    mine.update(**ended)
    attempts = JobAttempt.objects.for_tenant(job.tenant_id).filter(job_id=job.pk)
    attempts.update(outcome=Outcome.COMPLETED, ended_at=Now())
    calls = LLMCall.objects.for_tenant(job.tenant_id).filter(job_id=job.pk)
    calls.update(outcome=CallOutcome.OK, ended_at=Now())


@makes(BulkAction)
def bulk_action(side: Side) -> None:
    BulkAction.objects.create(
        name=side.canary,
        kind=BulkAction.Kind.RETRY,
        tenant=side.tenant,
        status=JobStatus.FAILED,
        actor="isolation proof",
        reason=side.canary,
        state=BulkAction.State.DONE,
        until_id=0,
        total=0,
        ended_at=Now(),
    )


@makes(AuditEntry)
def audit_entry(side: Side) -> None:
    audit.record("proof.made", tenant_id=side.tenant.id, of=("proof", side.canary))


# --- The world ----------------------------------------------------------------------------------


@dataclass
class World:
    """a is the tenant that is tried to be broken out of, b the one whose rows are looked for."""

    a: Side
    b: Side
    suspended: Side
    staff: User

    def unknown(self, kind: str) -> str:
        """An id of this kind that never was."""
        return _never_was(self.b.ids[kind][0])


@transaction.atomic
def make_world() -> World:
    suspended = _side("Suspended", [people, api_keys])
    Tenant.objects.filter(pk=suspended.tenant.pk).update(is_active=False)
    makers = list(dict.fromkeys(_makers.values()))
    a, b = _side("A", makers), _side("B", makers)
    mark = secrets.token_hex(8)
    staff = User.objects.create_superuser(f"proof-{mark}@example.com", secrets.token_urlsafe())
    return World(a, b, suspended, staff)


def _side(name: str, makers: list[Maker]) -> Side:
    mark = secrets.token_hex(8)
    canary = f"canary-{mark}"
    tenant = members.create_tenant(
        name=f"Isolation proof {name} {canary}", slug=f"isolation-proof-{mark}"
    )
    side = Side(tenant, canary)
    side.show("tenant", tenant.id)
    for maker in makers:
        maker(side)
    return side


@transaction.atomic
def close_world(world: World) -> None:
    """Nothing of the proof runs or may sign in any more. Rows stay: histories are never deleted."""
    for side in (world.a, world.b, world.suspended):
        for job in Job.objects.for_tenant(side.tenant.id).exclude(status__in=ENDED):
            services.cancel_job(
                tenant_id=side.tenant.id, event_id=job.event_id, actor="isolation proof"
            )
        for key in ApiKey.objects.for_tenant(side.tenant.id):
            keys.revoke_api_key(key)
        User.objects.filter(pk__in=[user.pk for user in side.people.values()]).update(
            is_active=False
        )
        Tenant.objects.filter(pk=side.tenant.pk).update(is_active=False)
    User.objects.filter(pk=world.staff.pk).update(is_active=False)


@contextmanager
def world_for_a_while() -> Iterator[World]:
    world = make_world()
    try:
        yield world
    finally:
        close_world(world)


def _never_was(example: str) -> str:
    """An id of the same shape: a UUID, a number, a prefix and hex digits, an address."""
    try:
        uuid.UUID(example)
    except ValueError:
        pass
    else:
        return str(uuid.uuid4())
    if example.isdecimal():
        return str(2**52 + secrets.randbelow(2**40))
    if "@" in example:
        return f"{secrets.token_hex(8)}@example.com"
    prefix, _, rest = example.rpartition("_")
    return f"{prefix}_{secrets.token_hex(len(rest) // 2)}"


# --- The rows of a tenant, whatever table they stand in -----------------------------------------

# Tables without a tenant_id whose rows are still somebody's: how to tell.
BELONGS = {
    "tenants_tenant": "id = %(tenant)s",
    "accounts_user": "id IN (SELECT user_id FROM tenants_membership WHERE tenant_id = %(tenant)s)",
    "auth_group": "name LIKE %(tenant)s::text || ':%%'",
}
OF_TENANT = "tenant_id = %(tenant)s"


def owned_tables() -> dict[str, str]:
    """Every table with rows of a tenant, and the condition on them. To be read as the owner."""
    return dict.fromkeys(tenant_tables(), OF_TENANT) | BELONGS


def checksum(side: Side, owned: dict[str, str]) -> str:
    """Of all rows of the tenant in these tables (see owned_tables): a line for each."""
    parts = [
        f"SELECT '{table}' || ': ' || coalesce(md5(string_agg(each::text, '|'"
        f" ORDER BY each::text)), '') AS line FROM {table} AS each WHERE {condition}"
        for table, condition in owned.items()
    ]
    query = " UNION ALL ".join(parts)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT string_agg(line, E'\\n' ORDER BY line) FROM ({query}) AS lines",
            {"tenant": side.tenant.id},
        )
        lines: str = cursor.fetchone()[0]
    return lines
