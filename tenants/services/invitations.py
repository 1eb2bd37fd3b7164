"""Invitations: a role, for whoever holds the token and the e-mail address it was mailed to."""

import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from config.errors import DomainError
from tenants import audit, mail
from tenants.digests import secret_digest
from tenants.models import Invitation, Membership, Role, Scope, Tenant
from tenants.permissions import granted_scopes
from tenants.querysets import TenantQuerySet
from tenants.services.roles import LockedMembers, may_give, refuse_own_only

INVITATION_LASTS = timedelta(days=7)
INVITATION_PATH = "/accounts/invitations/{token}"
SHOWN = (
    "public_id",
    "email",
    "role",
    "sees_own_only",
    "created_at",
    "expires_at",
    "invited_by__email",
)


class AlreadyMember(DomainError):
    code = "already_member"
    title = "The person is a member already"
    detail = "Change the role of that member instead."


class InvitedMeanwhile(DomainError):
    code = "invited_meanwhile"
    title = "Somebody else invited the same person at this moment"
    detail = "Nothing was changed. Look at the open invitations."


class InvalidInvitation(DomainError):
    code = "invalid_invitation"
    title = "The invitation is not valid"
    status = 404
    detail = (
        "It may have been used or taken back, have expired, or be for another e-mail address than"
        " the one you signed in with. Ask for a new one."
    )


@transaction.atomic
def invite(
    *, tenant_id: UUID, by: int | None, email: str, role: str, sees_own_only: bool = False
) -> Invitation:
    """Mails a token to the address. An open invitation of the same address ends.

    Whether the address has an account makes no difference, here or to the mail.
    Raises NotYours, SeesEverything, AlreadyMember, InvitedMeanwhile or MailUnavailable; then
    nothing is changed.
    """
    members = LockedMembers(tenant_id, by)
    members.refuse_unless_allowed(roles=[role])
    refuse_own_only(role, sees_own_only)
    assert members.actor is not None  # noqa: S101  (refused above)
    if Membership.objects.for_tenant(tenant_id).filter(user__email__iexact=email).exists():
        raise AlreadyMember
    for older in open_invitations(tenant_id).filter(email__iexact=email).select_for_update():
        _revoke(older)
    token = secrets.token_urlsafe(32)
    invitation = Invitation(
        tenant=Tenant.objects.get(pk=tenant_id),
        email=email,
        role=role,
        sees_own_only=sees_own_only,
        digest=_digest(token),
        invited_by=members.actor.user,
        expires_at=timezone.now() + INVITATION_LASTS,
    )
    try:
        with transaction.atomic():
            invitation.save(force_insert=True)
    except IntegrityError:
        raise InvitedMeanwhile from None
    after = {"email": email, "role": role, "sees_own_only": sees_own_only}
    record("invitation.created", invitation, after=after)
    _mail(invitation, token, inviter=members.actor.user)
    return invitation


def _mail(invitation: Invitation, token: str, inviter: User) -> None:
    mail.send(
        "invitation",
        [invitation.email],
        subject=f"Join {invitation.tenant.name} on Guidepost",
        tenant=invitation.tenant,
        inviter=inviter.name or inviter.email,
        role=Role(invitation.role).label.lower(),
        expires_at=invitation.expires_at,
        link=settings.PUBLIC_URL + INVITATION_PATH.format(token=token),
    )


@transaction.atomic
def revoke_invitation(*, tenant_id: UUID, by: int | None, invitation_id: UUID) -> bool:
    """Takes an invitation back, once or again; False if there is none, or it was accepted.
    Raises NotYours.
    """
    members = LockedMembers(tenant_id, by)
    found = Invitation.objects.for_tenant(tenant_id).filter(
        public_id=invitation_id, accepted_at=None
    )
    invitation = found.select_for_update(no_key=True).first()
    if invitation is None:
        return False
    members.refuse_unless_allowed(roles=[invitation.role])
    if invitation.revoked_at is None:
        _revoke(invitation)
    return True


def revoke_beyond(inviter: Membership, role: str) -> None:
    """Ends the person's open invitations to what they may not give any more, now in this role."""
    mine = open_invitations(inviter.tenant_id).filter(invited_by_id=inviter.user_id)
    for invitation in mine.exclude(role__in=may_give(role)).order_by("id").select_for_update():
        _revoke(invitation)


def find_invitation(token: str) -> Invitation:
    """The invitation of this token, to be shown to whoever holds it. Raises InvalidInvitation."""
    found = Invitation.objects.across_tenants().filter(digest=_digest(token))
    invitation = found.select_related("tenant", "invited_by").first()
    if invitation is None or not _is_good(invitation):
        raise InvalidInvitation
    return invitation


def find_acceptable(token: str, user: User) -> Invitation:
    """The invitation of this token, locked, if the person may accept it. Raises InvalidInvitation,
    the same for every reason.
    """
    found = Invitation.objects.across_tenants().filter(digest=_digest(token))
    invitation = found.select_related("tenant").select_for_update(of=("self",), no_key=True).first()
    if invitation is None or not _may_accept(invitation, user):
        raise InvalidInvitation
    return invitation


def _may_accept(invitation: Invitation, user: User) -> bool:
    return _is_good(invitation) and user.is_active and is_for(invitation, user)


def is_for(invitation: Invitation, user: User) -> bool:
    return _folded(user.email) == _folded(invitation.email)


def _is_good(invitation: Invitation) -> bool:
    return (
        invitation.accepted_at is None
        and invitation.revoked_at is None
        and invitation.expires_at > timezone.now()
        and invitation.tenant.is_active
        and _may_still_give(invitation)
    )


def _may_still_give(invitation: Invitation) -> bool:
    """Whoever invited is a member still, and in a role that may give this one."""
    mine = Membership.objects.for_tenant(invitation.tenant_id)
    inviter = mine.filter(user=invitation.invited_by_id, user__is_active=True).first()
    if inviter is None or invitation.role not in may_give(inviter.role):
        return False
    return Scope.MEMBERS_MANAGE in granted_scopes(invitation.tenant, inviter.role)


def _folded(email: str) -> str:
    """Case matters beyond ASCII: there, letters that look different fold to the same."""
    return email.lower() if email.isascii() else email


def open_invitations(tenant_id: UUID) -> TenantQuerySet:
    """Neither accepted nor revoked; the expired ones too."""
    return Invitation.objects.for_tenant(tenant_id).filter(accepted_at=None, revoked_at=None)


def _revoke(invitation: Invitation) -> None:
    invitation.revoked_at = timezone.now()
    invitation.save(update_fields=["revoked_at"])
    record("invitation.revoked", invitation)


def _digest(token: str) -> str:
    """Not that of an API secret, should the two ever be alike."""
    return secret_digest(f"invitation:{token}")


def record(action: str, invitation: Invitation, after: dict[str, Any] | None = None) -> None:
    of = ("invitation", invitation.public_id)
    audit.record(action, tenant_id=invitation.tenant_id, of=of, after=after)
