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
from django.conf import settings
from django.db import connection, models, transaction
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import User
from config.catalogue import tenant_tables
from jobs import plans, sealed, services, shares
from jobs.documents.formats import Format
from jobs.documents.reading import Incoming
from jobs.models import (
    ENDED,
    BulkAction,
    CallOutcome,
    Document,
    ErrorGroup,
    ErrorGroupCount,
    Failure,
    Intake,
    Job,
    JobAttempt,
    JobEvent,
    JobGroupObjectPermission,
    JobLabel,
    JobStatus,
    JobUserObjectPermission,
    LLMCall,
    Outcome,
    Reservation,
    Step,
    TenantQueue,
    Upload,
)
from llm.result import build_result
from tenants import audit, vault
from tenants.authentication import Principal
from tenants.limits import Limits
from tenants.models import (
    ActorKind,
    ApiKey,
    ApiSession,
    AuditEntry,
    AuditSeal,
    AuthorizationCode,
    DataKey,
    IdempotencyRecord,
    Invitation,
    Membership,
    Plan,
    ProviderKey,
    RateBucket,
    Role,
    RouteClass,
    Scope,
    Tenant,
    Usage,
)
from tenants.permissions import INTEGRATION, granted_scopes
from tenants.sealing import sealer
from tenants.services import clients, keys, members, provider_keys, sessions
from tenants.services.invitations import INVITATION_LASTS


@dataclass
class Side:
    """One of the tenants, and everything that is known to be its own."""

    tenant: Tenant
    canary: str  # stands in every text of the tenant
    people: dict[Role, Membership] = field(default_factory=dict)
    keys: dict[str, ApiKey] = field(default_factory=dict)
    sessions: dict[str, ApiSession] = field(default_factory=dict)  # by role, or what became of it
    # By kind: "job", "key", "member". The first is what the tenant's own requests act on.
    ids: dict[str, list[str]] = field(default_factory=dict)

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
    """The owner first: nobody removes or changes a tenant's only one, so they stay."""
    for role in Role:
        # Without the canary: others may say an address, and read in their log that they did.
        user = User.objects.create_user(_address(), name=side.canary)
        side.people[role] = members.add_member(tenant=side.tenant, user=user, role=role)
        side.show("member", side.people[role].public_id)
    side.show("email", side.people[Role.OWNER].user.email)


@makes(Invitation)
def invitations(side: Side) -> None:
    """One to be taken back, one to stay. Written past the service, which would send mails."""
    for name in ("first", "second"):
        invitation = Invitation.objects.create(
            tenant=side.tenant,
            email=f"{name}.{side.canary}@example.com",
            role=Role.VIEWER,
            digest=secrets.token_hex(32),
            invited_by=side.people[Role.OWNER].user,
            expires_at=timezone.now() + INVITATION_LASTS,
        )
        side.show("invitation", invitation.public_id)


@makes(ApiSession, AuthorizationCode)
def api_sessions(side: Side) -> None:
    """One to be ended by its owner, one for each role, one over, one of somebody who left; and a
    consent whose code nobody has come for."""
    spare = _session(side.people[Role.OWNER])
    side.sessions = {role: _session(member) for role, member in side.people.items()}
    side.sessions["ended session"] = _session(side.people[Role.OWNER])
    sessions.end_session(side.sessions["ended session"], reason=ApiSession.Ended.BY_OWNER)
    left = User.objects.create_user(_address(), name=side.canary)
    member = members.add_member(tenant=side.tenant, user=left, role=Role.ADMIN)
    side.sessions["removed member"] = _session(member)
    owner = side.people[Role.OWNER].user_id
    members.remove_member(tenant_id=side.tenant.id, by=owner, member_id=member.public_id)
    for session in (spare, *side.sessions.values()):
        side.show("session", session.id)
    _consent(side.people[Role.OWNER])
    codes = AuthorizationCode.objects.for_tenant(side.tenant.id)
    codes.update(expires_at=timezone.now() + timedelta(days=1))


REDIRECT_URI, VERIFIER = "http://127.0.0.1:8400/callback", "v" * 43


def _consent(member: Membership) -> str:
    return sessions.approve(
        membership=member,
        client=clients.CLI,
        redirect_uri=REDIRECT_URI,
        challenge=sessions.challenge_of(VERIFIER),
        scopes=granted_scopes(member.tenant, member.role),
    )


def _session(member: Membership) -> ApiSession:
    tokens = sessions.open_session(
        code=_consent(member),
        client_id=clients.CLI.client_id,
        redirect_uri=REDIRECT_URI,
        verifier=VERIFIER,
        address="192.0.2.1",
    )
    return ApiSession.objects.for_tenant(member.tenant_id).get(pk=tokens.access["sid"])


@makes(ApiKey)
def api_keys(side: Side) -> None:
    """One to be changed and revoked, one with every scope, one for each scope, one revoked."""
    held = granted_scopes(side.tenant, INTEGRATION)
    spare = keys.issue_api_key(tenant=side.tenant, name=side.canary).key
    wanted: dict[str, set[Scope]] = {"key with every scope": held, "revoked key": held}
    wanted |= {f"key with {scope}": {scope} for scope in sorted(held)}
    for name, scopes in wanted.items():
        key = keys.issue_api_key(tenant=side.tenant, name=side.canary, scopes=scopes).key
        side.keys[name] = key
    keys.revoke_api_key(side.keys["revoked key"])
    side.show("key", spare.client_id, side.keys["key with every scope"].client_id)


@makes(DataKey, RateBucket, IdempotencyRecord)
def kept(side: Side) -> None:
    """What is kept for the tenant's requests. Its data key was made with the tenant."""
    RateBucket.objects.create(
        tenant=side.tenant, route_class=RouteClass.READ, tokens=1.0, refilled_at=timezone.now()
    )
    IdempotencyRecord.objects.create(
        tenant=side.tenant,
        route="jobs",
        key=side.canary,
        request_hash=bytes(32),
        status=201,
        body=vault.seal(side.tenant.id, side.canary.encode(), side.canary),
        expires_at=timezone.now() + timedelta(days=1),
    )


@makes(ProviderKey)
def provider_key(side: Side) -> None:
    provider_keys.put_key(
        tenant_id=side.tenant.id,
        provider=next(iter(settings.PROVIDERS)),
        api_key=f"sk-{side.canary}",
        by=side.people[Role.OWNER].user_id,
    )


@makes(TenantQueue)
def queue(side: Side) -> None:
    """Paused, so that no worker of a running stack takes the jobs."""
    services.set_queue(side.tenant.id, is_paused=True)


@makes(Document, Intake, Job, JobAttempt, JobEvent, JobLabel, LLMCall, Reservation, Usage)
def jobs(side: Side) -> None:
    """A job in every status, each with a document, attempts, events and calls; those that go on
    have reserved some of the budgets.

    Written past the services where those would claim whichever job is next, be it of others.
    """
    for status in JobStatus:
        job = services.submit_job(
            tenant_id=side.tenant.id,
            submitted_by=side.keys["key with every scope"].client_id,
            guideline_text=_guideline(side.canary),
            title=side.canary,
            metadata={"ward": side.canary},
        )
        side.show("job", job.event_id)
        if status is JobStatus.COMPLETED:
            side.show("completed job", job.event_id)
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
        result, place = _result(job, canary), sealed.RESULT.format(job.event_id)
        ended |= {"sealed_result": sealed.seal_json(job.tenant_id, result, place)}
    else:
        ended |= {"error_code": "llm_refused", "error_detail": canary}
    mine.update(**ended)
    attempts = JobAttempt.objects.for_tenant(job.tenant_id).filter(job_id=job.pk)
    attempts.update(outcome=Outcome.COMPLETED, ended_at=Now())
    calls = LLMCall.objects.for_tenant(job.tenant_id).filter(job_id=job.pk)
    # Charged, so that the pump of a running stack has nothing to do with them.
    calls.update(outcome=CallOutcome.OK, ended_at=Now(), charged_tokens=0, cost_micros=0)


def _guideline(canary: str) -> str:
    return f"Staff MUST keep {canary} to themselves."


def _result(job: Job, canary: str) -> dict[str, Any]:
    text = _guideline(canary)
    item = {
        **{"action": text, "actor": "Staff", "level": "must", "category": "Silence"},
        **{"priority": "high", "condition": "", "citations": [{"passage": 1, "quote": text}]},
    }
    summary = {"title": canary, "scope": "", "audience": "", "statements": []}
    said = {"app_version": "proof", "steps": {}, "canary": canary}
    return build_result(job.document.text or "", summary, {"items": [item]}, said)


@makes(Upload)
def documents(side: Side) -> None:
    """A job whose file waits to be read, which the paused queue keeps it from."""
    job = services.submit_job(
        tenant_id=side.tenant.id,
        submitted_by=side.keys["key with every scope"].client_id,
        file=Incoming(side.canary.encode(), Format.HTML),
        title=side.canary,
    )
    side.show("job", job.event_id)


@makes(JobUserObjectPermission, JobGroupObjectPermission)
def job_shares(side: Side) -> None:
    share_with_a_role(side)
    member_id = side.people[Role.MEMBER].public_id
    share = shares.share_job(caller=_owner(side), event_id=_first_job(side), member_id=member_id)
    assert share is not None  # noqa: S101  (it is the owner's own job)
    side.show("share", share.id)


def share_with_a_role(side: Side) -> None:
    """The first of the tenant's shares; made anew where its own request has ended it."""
    share = shares.share_job(caller=_owner(side), event_id=_first_job(side), role=Role.VIEWER)
    assert share is not None  # noqa: S101  (it is the owner's own job)
    side.ids["share"] = [str(share.id), *side.ids.get("share", [])[1:]]


# By kind of id, what has to be made again before one's own request deletes it.
MADE_AGAIN: dict[str, Maker] = {"share": share_with_a_role}


def _owner(side: Side) -> Principal:
    owner = side.people[Role.OWNER]
    return Principal(
        subject=str(owner.user.public_id),
        tenant_id=side.tenant.id,
        scopes=frozenset(Scope.values),
        limits=Limits(PLAN, {}),
        kind=ActorKind.PERSON,
        user_id=owner.user_id,
        role=Role.OWNER,
    )


def _first_job(side: Side) -> uuid.UUID:
    return uuid.UUID(side.ids["job"][0])


@makes(BulkAction)
def bulk_action(side: Side) -> None:
    BulkAction.objects.create(
        name=side.canary,
        kind=BulkAction.Kind.RETRY,
        tenant=side.tenant,
        filter={"status": JobStatus.FAILED},
        actor="isolation proof",
        reason=side.canary,
        state=BulkAction.State.DONE,
        until_id=0,
        total=0,
        ended_at=Now(),
    )


@makes(Failure, ErrorGroupCount)
def failures(side: Side) -> None:
    """One that waits to be counted, and one that was."""
    now, first = timezone.now(), _first_job(side)
    said = {"error_code": "proof", "detail": side.canary}
    Failure.objects.create(tenant=side.tenant, event_id=first, **said)
    group = ErrorGroup.objects.create(
        error_code="proof",
        shape=side.canary,
        first_seen_at=now,
        last_seen_at=now,
        last_event_id=first,
    )
    ErrorGroupCount.objects.create(group=group, tenant=side.tenant, since=now, count=1)


@makes(AuditEntry, AuditSeal)
def audit_entries(side: Side) -> None:
    """The last, so that nothing of the tenant's making is left for the sealer."""
    audit.record("proof.made", tenant_id=side.tenant.id, of=("proof", side.canary))
    sealer.seal_tenant(side.tenant.id)


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


PLAN = "isolation-proof"
AS_MUCH_AS_IT_TAKES = {
    "submits_per_minute": 10**9,
    "reads_per_minute": 10**9,
    "manages_per_minute": 10**9,
    "max_waiting": 10**9,
    "tokens_per_day": 10**15,
    "money_per_month": 10**15,
}


@transaction.atomic
def make_world() -> World:
    plans.save_plan(Plan(code=PLAN, name="Isolation proof", **AS_MUCH_AS_IT_TAKES))
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
    plans.assign_plan(tenant=tenant, plan=Plan.objects.get(pk=PLAN))
    side = Side(tenant, canary)
    side.show("tenant", tenant.id)
    side.show("slug", tenant.slug)
    side.show("canary", canary)
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
        AuthorizationCode.objects.for_tenant(side.tenant.id).delete()
        for session in ApiSession.objects.for_tenant(side.tenant.id):
            sessions.end_session(session, reason=ApiSession.Ended.BY_OWNER)
        User.objects.filter(name=side.canary).update(is_active=False)
        Tenant.objects.filter(pk=side.tenant.pk).update(is_active=False)
    User.objects.filter(pk=world.staff.pk).update(is_active=False)
    plans.save_plan(
        Plan(code=PLAN, name="Isolation proof", **dict.fromkeys(AS_MUCH_AS_IT_TAKES, 1))
    )


@contextmanager
def world_for_a_while() -> Iterator[World]:
    world = make_world()
    try:
        yield world
    finally:
        close_world(world)


def _address() -> str:
    return f"{secrets.token_hex(8)}@example.com"


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
        return _address()
    prefix, _, rest = example.rpartition("_")
    return f"{prefix}_{secrets.token_hex(len(rest) // 2)}"


# --- The rows of a tenant, whatever table they stand in -----------------------------------------

# Tables without a tenant_id whose rows are still somebody's: how to tell.
BELONGS = {
    "tenants_tenant": "id = %(tenant)s",
    "accounts_user": "id IN (SELECT user_id FROM tenants_membership WHERE tenant_id = %(tenant)s)",
    "auth_group": "name LIKE %(tenant)s::text || ':%%'",
    "tenants_refreshtoken": "session_id IN"
    " (SELECT id FROM tenants_apisession WHERE tenant_id = %(tenant)s)",
}
OF_TENANT = "tenant_id = %(tenant)s"


def owned_tables() -> dict[str, str]:
    """Every table with rows of a tenant, and the condition on them. To be read as the owner."""
    return dict.fromkeys(tenant_tables(), OF_TENANT) | BELONGS


class Checksum:
    """Of all rows of the tenant in these tables (see owned_tables): a line for each.

    It is asked after each of many thousand requests, and planning it costs four times what
    running it does: so it is planned once a connection.
    """

    def __init__(self, side: Side, owned: dict[str, str]) -> None:
        self.tenant_id = side.tenant.id
        parts = [
            f"SELECT '{table}: ' || count(*) || ' ' || coalesce(sum("
            f"hashtextextended(each::text, 0)), 0) AS line FROM {table} AS each"
            f" WHERE {condition % {'tenant': '$1'}}"
            for table, condition in owned.items()
        ]
        query = (
            f"SELECT string_agg(line, E'\\n' ORDER BY line) FROM ({' UNION ALL '.join(parts)}) AS l"
        )
        self._name = f"checksum_{secrets.token_hex(8)}"
        self._statement = f"PREPARE {self._name} (uuid) AS {query}"
        self._prepared_on: Any = None

    def __call__(self) -> str:
        with connection.cursor() as cursor:
            if self._prepared_on is not connection.connection:
                cursor.execute(self._statement)
                self._prepared_on = connection.connection
            cursor.execute(f"EXECUTE {self._name} (%s)", [self.tenant_id])
            lines: str = cursor.fetchone()[0]
        return lines
