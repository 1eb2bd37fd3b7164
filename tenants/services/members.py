"""Tenants and their members."""

import hashlib
import secrets
from datetime import timedelta

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from config.errors import DomainError
from tenants import audit
from tenants.models import Invitation, Membership, Role, Tenant
from tenants.permissions import create_groups, group_name


@transaction.atomic
def create_tenant(*, name: str, slug: str) -> Tenant:
    """Raises IntegrityError if the slug is taken."""
    tenant = Tenant.objects.create(name=name, slug=slug)
    create_groups(tenant)
    return tenant


@transaction.atomic
def add_member(*, tenant: Tenant, user: User, role: Role) -> Membership:
    """Raises IntegrityError if the user is a member already."""
    membership = Membership.objects.create(tenant=tenant, user=user, role=role)
    user.groups.add(Group.objects.get(name=group_name(tenant, role)))
    return membership


# --- Invitations --------------------------------------------------------------------------------

INVITATION_LIFE = timedelta(days=7)


class InvalidInvitation(DomainError):
    """The same for every reason: unknown, used, expired, or for somebody else."""

    code = "invalid_invitation"
    title = "This invitation does not work"
    status = 404
    detail = "It may have been used or have expired. Ask whoever invited you for another one."


def invite(
    *, tenant: Tenant, email: str, role: Role, invited_by: User | None = None
) -> tuple[Invitation, str]:
    """An invitation, and its token: for a mail to that address and for nothing else."""
    token = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        tenant=tenant,
        email=email.lower(),
        role=role,
        digest=_digest(token),
        invited_by=invited_by,
        expires_at=timezone.now() + INVITATION_LIFE,
    )
    return invitation, token


def find_invitation(token: str) -> Invitation:
    """The invitation, if it can be accepted. Raises InvalidInvitation."""
    invitation = (
        Invitation.objects.across_tenants()
        .select_related("tenant", "invited_by")
        .filter(digest=_digest(token), accepted_at=None, expires_at__gt=timezone.now())
        .first()
    )
    if invitation is None or not invitation.tenant.is_active:
        raise InvalidInvitation
    return invitation


@transaction.atomic
def accept_invitation(token: str, user: User) -> Membership:
    """Makes the person a member, once. Raises InvalidInvitation."""
    invitation = find_invitation(token)
    theirs = invitation.email.lower() == user.email.lower()
    used = (
        Invitation.objects.for_tenant(invitation.tenant_id)
        .filter(pk=invitation.pk, accepted_at=None)
        .update(accepted_at=timezone.now())
        if theirs
        else 0
    )
    if not used:
        raise InvalidInvitation
    role = Role(invitation.role)
    membership = Membership.objects.for_tenant(invitation.tenant_id).filter(
        user=user
    ).first() or add_member(tenant=invitation.tenant, user=user, role=role)
    audit.record(
        "invitation.accepted",
        tenant_id=invitation.tenant_id,
        of=("member", user.email),
        after={"role": membership.role},
    )
    return membership


def _digest(token: str) -> str:
    """256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()
