"""Tenants and their members."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from tenants import audit, vault
from tenants.models import MAY_SEE_OWN_ONLY, ActorKind, Membership, Role, Tenant
from tenants.permissions import create_groups, group_name
from tenants.services import invitations, sessions
from tenants.services.invitations import InvalidInvitation
from tenants.services.roles import LockedMembers, NotYours, refuse_own_only


@transaction.atomic
def create_tenant(*, name: str, slug: str) -> Tenant:
    """Raises IntegrityError if the slug is taken."""
    tenant = Tenant.objects.create(name=name, slug=slug)
    vault.make_data_key(tenant.id)
    create_groups(tenant)
    audit.record(
        "tenant.created",
        tenant_id=tenant.id,
        of=("tenant", tenant.id),
        after={"name": name, "slug": slug},
    )
    return tenant


@transaction.atomic
def add_member(
    *, tenant: Tenant, user: User, role: Role | str, sees_own_only: bool = False
) -> Membership:
    """Raises IntegrityError if the user is a member already."""
    membership = Membership.objects.create(
        tenant=tenant, user=user, role=role, sees_own_only=sees_own_only
    )
    # One that was opened while they were removed, or before removing ended any.
    sessions.end_with_membership(user_id=user.pk, tenant_id=tenant.id)
    user.groups.add(Group.objects.get(name=group_name(tenant, role)))
    _record("member.added", membership, after=_described(membership))
    return membership


@transaction.atomic
def change_member(
    *,
    tenant_id: UUID,
    by: int | None,
    member_id: UUID,
    role: str | None = None,
    sees_own_only: bool | None = None,
) -> Membership | None:
    """Changes a member's role, or whether they see only jobs of their own; None if there is none.

    by  id of the person who does it. Who gets a role that sees everything sees everything.

    Raises NotYours, LastOwner or SeesEverything.
    """
    members = LockedMembers(tenant_id, by, member_id)
    member = members.target
    if member is None:
        return None
    wanted = role or member.role
    members.refuse_unless_allowed(roles=[member.role, wanted])
    if member.user_id == by:
        raise NotYours("Nobody changes their own role, or what they see of others' jobs.")
    if wanted != Role.OWNER:
        members.refuse_last_owner()
    before = _described(member)
    if sees_own_only is None:
        sees_own_only = member.sees_own_only and wanted in MAY_SEE_OWN_ONLY
    refuse_own_only(wanted, sees_own_only)
    member.role, member.sees_own_only = wanted, sees_own_only
    member.save(update_fields=["role", "sees_own_only"])
    _move_to_group(member)
    invitations.revoke_beyond(member, wanted)
    after = _described(member)
    if before != after:
        _record("member.changed", member, before=before, after=after)
    return member


@transaction.atomic
def remove_member(*, tenant_id: UUID, by: int | None, member_id: UUID) -> Membership | None:
    """Ends a membership, one's own too; None if there is none. What was shared with the person
    goes with it, and their sessions at the API. Raises NotYours or LastOwner.
    """
    members = LockedMembers(tenant_id, by, member_id)
    member = members.target
    if member is None:
        return None
    members.refuse_unless_allowed(roles=[member.role])
    members.refuse_last_owner()
    _move_to_group(member, leave=True)
    invitations.revoke_beyond(member, "")
    sessions.end_with_membership(user_id=member.user_id, tenant_id=tenant_id)
    Membership.objects.for_tenant(tenant_id).filter(pk=member.pk).delete()
    _record("member.removed", member, before=_described(member))
    return member


@transaction.atomic
def accept_invitation(token: str, user: User) -> Membership:
    """Makes the signed-in person a member. Their e-mail address has been verified.

    Raises InvalidInvitation, the same for every reason: used, taken back or expired, for another
    address, from somebody who may not give the role any more, or the person is a member already.
    """
    invitation = invitations.find_acceptable(token, user)
    actor = replace(audit.current_actor.get(), kind=ActorKind.PERSON, name=user.email)
    before = audit.current_actor.set(actor)
    try:
        with transaction.atomic():
            member = add_member(
                tenant=invitation.tenant,
                user=user,
                role=invitation.role,
                sees_own_only=invitation.sees_own_only,
            )
        invitation.accepted_at = timezone.now()
        invitation.save(update_fields=["accepted_at"])
        invitations.record("invitation.accepted", invitation)
    except IntegrityError:  # a member already; another role is for PATCH /members
        raise InvalidInvitation from None
    finally:
        audit.current_actor.reset(before)
    return member


def _move_to_group(member: Membership, *, leave: bool = False) -> None:
    """Exactly the role's group: what guardian grants follows the role."""
    tenant = Tenant(id=member.tenant_id)
    names = [group_name(tenant, role) for role in Role]
    groups = {group.name: group for group in Group.objects.filter(name__in=names)}
    member.user.groups.remove(*groups.values())
    if not leave:
        member.user.groups.add(groups[group_name(tenant, member.role)])


def _record(action: str, member: Membership, **change: Any) -> None:
    audit.record(action, tenant_id=member.tenant_id, of=("member", member.public_id), **change)


def _described(member: Membership) -> dict[str, Any]:
    return {
        "email": member.user.email,
        "role": str(member.role),
        "sees_own_only": member.sees_own_only,
    }
