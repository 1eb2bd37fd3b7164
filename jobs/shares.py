"""Shares: a single job, shown to somebody who sees only their own, or to everybody of a role.

django-guardian holds them. Whoever sees all of the tenant's jobs needs none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group
from django.db import transaction
from guardian.shortcuts import assign_perm

from config.errors import DomainError
from config.isolation import in_role
from jobs import shown
from jobs.models import SEALED, VIEW_JOB, Job, JobGroupObjectPermission, JobUserObjectPermission
from jobs.shown import Row, Wanted
from tenants import audit
from tenants.authentication import Principal
from tenants.models import Membership, Role, Tenant
from tenants.permissions import group_name

SHOWN = ("public_id", "user__email")  # of a member


class UnknownMember(DomainError):
    code = "unknown_member"
    title = "There is no such member"
    status = 422
    detail = "`member` is the `id` of an entry of GET /members."


def may_see(caller: Principal, event_id: UUID) -> bool:
    """Whether a job of the tenant is one that the caller may know of."""
    if not caller.sees_own_only:
        return True
    with in_role():
        jobs = Job.objects.visible_to(caller).filter(event_id=event_id, deleted_at=None)
        return jobs.exists()


def page(caller: Principal, wanted: Wanted) -> Sequence[Job | Row]:
    """The jobs that the caller may know of."""
    if caller.sees_own_only:
        return _page_of_own(caller, wanted)
    return shown.page(caller.tenant_id, wanted)


def _page_of_own(caller: Principal, wanted: Wanted) -> list[Job]:
    """As `shown.page`, for a caller who is confined to some."""
    conditions = {
        "status": wanted.status,
        "event_id__lt": wanted.before,
        "created_at__gte": wanted.since,
        "created_at__lt": wanted.until,
        "metadata__contains": wanted.metadata,
    }
    jobs = Job.objects.visible_to(caller).filter(deleted_at=None).with_links().defer(*SEALED)
    jobs = jobs.filter(**{name: value for name, value in conditions.items() if value})
    with in_role():
        return list(jobs.order_by("-event_id")[: wanted.most])


@dataclass(frozen=True)
class Share:
    """With a member, or with a role."""

    id: UUID
    member_id: UUID | None = None
    email: str = ""
    role: str = ""

    def audited(self) -> dict[str, str]:
        return {"share": str(self.id), "with": self.email or self.role}


@transaction.atomic
def share_job(
    *, caller: Principal, event_id: UUID, member_id: UUID | None = None, role: str = ""
) -> Share | None:
    """Shows the job to the member, or to the role; None if the caller knows of no such job.

    A share that exists stays as it is. Raises UnknownMember.
    """
    job = _job(caller, event_id)
    if job is None:
        return None
    share = _with_member(job, member_id) if member_id else _with_role(job, role)
    audit.record(
        "job.shared", tenant_id=job.tenant_id, of=("job", job.event_id), after=share.audited()
    )
    return share


def _with_member(job: Job, member_id: UUID) -> Share:
    members = Membership.objects.for_tenant(job.tenant_id).select_related("user").only(*SHOWN)
    # Locked: a share refers to the membership, which somebody may be ending.
    member = (
        members.filter(public_id=member_id).select_for_update(of=("self",), no_key=True).first()
    )
    if member is None:
        raise UnknownMember(
            errors=[{"pointer": "/member", "code": "unknown", "detail": UnknownMember.title}]
        )
    grant: Any = assign_perm(VIEW_JOB, member.user, job)
    return Share(grant.pk, member_id=member.public_id, email=member.user.email)


def _with_role(job: Job, role: str) -> Share:
    group = Group.objects.get(name=group_name(Tenant(id=job.tenant_id), role))
    grant: Any = assign_perm(VIEW_JOB, group, job)
    return Share(grant.pk, role=role)


def shares_of(*, caller: Principal, event_id: UUID) -> list[Share] | None:
    """Roles in their order, then members by address; None if the caller knows of no such job."""
    job = _job(caller, event_id)
    if job is None:
        return None
    groups = JobGroupObjectPermission.objects.for_tenant(job.tenant_id).filter(content_object=job)
    roles = [Share(grant.pk, role=_role(grant)) for grant in groups.select_related("group")]
    people = JobUserObjectPermission.objects.for_tenant(job.tenant_id).filter(content_object=job)
    found = {grant.user_id: grant.pk for grant in people}
    members = (
        Membership.objects.for_tenant(job.tenant_id)
        .filter(user__in=found)
        .select_related("user")
        .only(*SHOWN)
        .order_by("user__email")
    )
    return [
        *sorted(roles, key=lambda share: Role.values.index(share.role)),
        *(Share(found[m.user_id], member_id=m.public_id, email=m.user.email) for m in members),
    ]


@transaction.atomic
def unshare_job(*, caller: Principal, event_id: UUID, share_id: UUID) -> bool:
    """Ends a share; False if the caller knows of no such job, or it has no such share."""
    existing = shares_of(caller=caller, event_id=event_id)
    share = next((share for share in existing or () if share.id == share_id), None)
    if share is None:
        return False
    model = JobUserObjectPermission if share.member_id else JobGroupObjectPermission
    model.objects.for_tenant(caller.tenant_id).filter(pk=share_id).delete()
    audit.record(
        "job.unshared",
        tenant_id=caller.tenant_id,
        of=("job", event_id),
        before=share.audited(),
    )
    return True


def _job(caller: Principal, event_id: UUID) -> Job | None:
    jobs = Job.objects.visible_to(caller).only("tenant", "event_id")
    return jobs.filter(event_id=event_id, deleted_at=None).first()


def _role(grant: JobGroupObjectPermission) -> str:
    """A role's group is named `<tenant>:<role>`."""
    name: str = grant.group.name
    return name.rpartition(":")[2]
