"""People at the API: a consent becomes a code, a code a session, a session tokens.

Source: RFC 6749 sections 4.1 and 6, RFC 7636 (PKCE), OAuth 2.1 and RFC 9700 section 4.14: a
refresh token is good for one use, and a second use ends the session. There is no grace for an
answer that was lost on its way: a client that cannot tell has to sign in again, and a thief never
gets a second token.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.utils import timezone

from accounts.models import User
from accounts.tokens import AccessToken
from config.database import ClockTimestamp
from config.errors import DomainError
from tenants import audit
from tenants.digests import password_digest, secret_digest
from tenants.models import (
    ActorKind,
    ApiSession,
    AuthorizationCode,
    Membership,
    OAuthClient,
    RefreshToken,
)
from tenants.permissions import granted_scopes
from tenants.services.clients import CLI
from tenants.services.tokens import InvalidScope, NotYourToken, issue_session_token

CODE_LIVES = timedelta(seconds=60)
REFRESH_PREFIX = "gpr_"  # what scanners look for
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")

Ended = ApiSession.Ended


class InvalidGrant(DomainError):
    code = "invalid_grant"
    title = "The code or refresh token is not good"
    status = 400
    detail = (
        "It is unknown, expired, ended or not this client's, or the redirect_uri or code_verifier"
        " is not the one it was asked for with. Sign in again."
    )


class SecondUse(Exception):
    """A used code or refresh token came again. Whoever catches it ends the session."""

    def __init__(self, session: ApiSession):
        super().__init__()
        self.session = session


@dataclass(frozen=True)
class Tokens:
    access: AccessToken
    refresh: str  # the only time it is known


# --- Consent ----------------------------------------------------------------------------------


def approve(
    *,
    membership: Membership,
    client: OAuthClient,
    redirect_uri: str,
    challenge: str,
    scopes: Iterable[str],
) -> str:
    """The code that stands for a person's consent, good once and for a minute.

    Raises InvalidScope if the person's role does not hold one of the scopes, or for none.
    """
    wanted, held = set(scopes), granted_scopes(membership.tenant, membership.role)
    if not wanted or not wanted <= held:
        raise InvalidScope("Choose among the scopes that your role holds.")
    code = secrets.token_urlsafe(32)
    _forget_old()
    AuthorizationCode.objects.create(
        digest=secret_digest(code),
        tenant=membership.tenant,
        user=membership.user,
        client_id=client.client_id,
        redirect_uri=redirect_uri,
        challenge=challenge,
        scopes=sorted(wanted),
        grounds=_grounds(membership),
        expires_at=timezone.now() + CODE_LIVES,
    )
    audit.record(
        "client.approved",
        tenant_id=membership.tenant_id,
        of=("client", client.client_id),
        after={"scopes": sorted(wanted)},
    )
    return code


# One statement: of two that come with the same code, one finds it.
TAKE_CODE = """
DELETE FROM tenants_authorizationcode
WHERE digest = %(digest)s AND client_id = %(client_id)s AND redirect_uri = %(redirect_uri)s
  AND challenge = %(challenge)s AND expires_at > clock_timestamp()
RETURNING *
"""


def open_session(
    *, code: str, client_id: str, redirect_uri: str, verifier: str, address: str
) -> Tokens:
    """Raises InvalidGrant, or SecondUse for a code that opened a session before."""
    digest = secret_digest(code)
    found = AuthorizationCode.objects.raw(
        TAKE_CODE,
        {
            "digest": digest,
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "challenge": challenge_of(verifier) if _VERIFIER.fullmatch(verifier) else "",
        },
    )
    for taken in found:
        return _open(taken, address)
    opened = ApiSession.objects.across_tenants().filter(code_digest=digest).first()
    if opened is not None:
        raise SecondUse(opened)
    raise InvalidGrant


def challenge_of(verifier: str) -> str:
    """RFC 7636 section 4.2, S256."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _grounds(membership: Membership) -> str:
    """What a consent was given on: whoever leaves, or chooses a new password, takes it back."""
    return secret_digest(f"consent:{membership.public_id}:{membership.user.password}")


def _open(code: AuthorizationCode, address: str) -> Tokens:
    """Raises InvalidGrant if the consent was given as another member, or with another password."""
    members = Membership.objects.for_tenant(code.tenant_id).select_related("user")
    member = members.filter(user_id=code.user_id).first()
    if member is None or not hmac.compare_digest(_grounds(member), code.grounds):
        raise InvalidGrant
    session = ApiSession.objects.create(
        tenant_id=code.tenant_id,
        user=member.user,
        client_id=code.client_id,
        scopes=code.scopes,
        code_digest=code.digest,
        password_digest=password_digest(member.user.password),
        address=address,
    )
    with audit.acts_of(_person(session.user, address)):
        audit.record(
            "session.opened",
            tenant_id=session.tenant_id,
            of=("session", session.id),
            after={"client": session.client_id, "scopes": session.scopes},
        )
    return _tokens(session)


# --- Refresh ----------------------------------------------------------------------------------

# One statement: of any number that come with the same token, one finds it unused.
ROTATE = """
UPDATE tenants_refreshtoken AS token SET used_at = clock_timestamp()
FROM tenants_apisession AS session
WHERE token.digest = %(digest)s AND token.used_at IS NULL AND token.created_at > %(idle_since)s
  AND session.id = token.session_id AND session.client_id = %(client_id)s
  AND session.revoked_at IS NULL AND session.created_at > %(opened_since)s
RETURNING token.*
"""


def refresh(*, token: str, client_id: str, scopes: Iterable[str], address: str) -> Tokens:
    """New tokens for a refresh token, which is used up by it.

    Raises InvalidGrant, InvalidScope, or SecondUse for a token that was used before.
    """
    digest, now = secret_digest(token), timezone.now()
    found = RefreshToken.objects.raw(
        ROTATE,
        {
            "digest": digest,
            "client_id": client_id,
            "idle_since": now - settings.API_SESSION_IDLE,
            "opened_since": now - settings.API_SESSION_MAX,
        },
    )
    for used in found:
        return _go_on(used.session_id, scopes, address)
    known = RefreshToken.objects.select_related("session").filter(digest=digest).first()
    if known is not None and known.used_at and known.session.client_id == client_id:
        raise SecondUse(known.session)
    raise InvalidGrant


def _go_on(session_id: UUID, scopes: Iterable[str], address: str) -> Tokens:
    sessions = ApiSession.objects.across_tenants().filter(pk=session_id)
    sessions.update(last_used_at=ClockTimestamp(), address=address)
    return _tokens(sessions.select_related("tenant", "user").get(), scopes)


def _tokens(session: ApiSession, scopes: Iterable[str] = ()) -> Tokens:
    """Raises InvalidGrant if the person may not act for the tenant any more, or InvalidScope."""
    member = (
        Membership.objects.for_tenant(session.tenant_id).filter(user_id=session.user_id).first()
    )
    same_password = session.password_digest == password_digest(session.user.password)
    if not (member and session.user.is_active and session.tenant.is_active and same_password):
        raise InvalidGrant
    token = REFRESH_PREFIX + secrets.token_urlsafe(32)
    RefreshToken.objects.create(digest=secret_digest(token), session=session)
    return Tokens(issue_session_token(session, member.role, scopes), token)


# --- The end ----------------------------------------------------------------------------------


def sessions_of(*, user_id: int, tenant_id: UUID) -> list[ApiSession]:
    """Those that go on, the one used last first."""
    return list(_going_on(ApiSession.objects.for_tenant(tenant_id).filter(user_id=user_id)))


def all_sessions_of(user: User) -> list[ApiSession]:
    """Those that go on in any tenant, with their tenants: `sessions_of` for the person's own pages,
    and for staff. Not those that a new password has ended."""
    own = ApiSession.objects.across_tenants().filter(
        user=user, password_digest=password_digest(user.password)
    )
    return list(_going_on(own).select_related("tenant"))


def with_clients(found: Iterable[ApiSession]) -> list[tuple[ApiSession, str]]:
    """Each with its program's name, or the id where the program is no longer known."""
    found = list(found)
    known = OAuthClient.objects.filter(pk__in={session.client_id for session in found})
    names = {client.pk: client.name for client in [*known, CLI]}
    return [(session, names.get(session.client_id, session.client_id)) for session in found]


def _going_on(sessions: QuerySet[ApiSession]) -> QuerySet[ApiSession]:
    now = timezone.now()
    fresh = sessions.filter(
        revoked_at=None,
        last_used_at__gt=now - settings.API_SESSION_IDLE,
        created_at__gt=now - settings.API_SESSION_MAX,
    )
    return fresh.order_by("-last_used_at", "id")


def end_session(session: ApiSession, *, reason: Ended) -> bool:
    """Ends all of its tokens within a second; False if it had ended before."""
    ended = (
        ApiSession.objects.for_tenant(session.tenant_id)
        .filter(pk=session.pk, revoked_at=None)
        .update(revoked_at=ClockTimestamp(), reason=reason)
    )
    if ended:
        audit.record(
            "session.ended",
            tenant_id=session.tenant_id,
            of=("session", session.id),
            after={"reason": str(reason)},
        )
    return bool(ended)


def end_with_membership(*, user_id: int, tenant_id: UUID) -> None:
    """Ends all sessions of who is a member no more: coming back is no way back into them."""
    theirs = ApiSession.objects.for_tenant(tenant_id).filter(user_id=user_id, revoked_at=None)
    for session in theirs.order_by("id"):
        end_session(session, reason=Ended.MEMBER_REMOVED)


def end_everywhere(user: User) -> None:
    """Ends all sessions of who is shut out. Tenants' logs say nothing: why is staff's alone."""
    theirs = ApiSession.objects.across_tenants().filter(user=user, revoked_at=None)
    theirs.update(revoked_at=ClockTimestamp(), reason=Ended.PERSON_DISABLED)


def end_by_refresh_token(token: str, *, client_id: str, address: str) -> None:
    """Ends the session whose token this is. One that is not ours is no error.

    A used token will do: who signs out after a thief has used theirs has signed out all the same.
    Raises NotYourToken.
    """
    known = RefreshToken.objects.select_related("session__user")
    token_found = known.filter(digest=secret_digest(token)).first()
    if token_found is None:
        return
    session = token_found.session
    if session.client_id != client_id:
        raise NotYourToken
    with audit.acts_of(_person(session.user, address)):
        end_session(session, reason=Ended.BY_CLIENT)


def end_for_second_use(session: ApiSession, *, address: str) -> None:
    """Ends the session and tells its owner, once."""
    with audit.acts_of(_person(session.user, address)):
        if end_session(session, reason=Ended.TOKEN_REUSED):
            audit.record(
                "token.reused",
                tenant_id=session.tenant_id,
                of=("session", session.id),
                after={"client": session.client_id},
                outcome=audit.Outcome.REFUSED,
            )
            _tell_owner(session, address)


def _tell_owner(session: ApiSession, address: str) -> None:
    """Once the session is over, whether or not the mail goes out; a failure is logged."""
    text = render_to_string("mail/token_reused.txt", {"session": session, "address": address})
    subject, _, body = text.partition("\n\n")
    send = partial(send_mail, subject, body, None, [session.user.email])
    transaction.on_commit(send, robust=True)


def _person(user: User, address: str) -> audit.Actor:
    return audit.Actor(ActorKind.PERSON, user.email, "", address)


def _forget_old(batch: int = 100) -> None:
    """Removes what nobody can use any more: a few rows with each consent, so no sweep is due."""
    now = timezone.now()
    codes = AuthorizationCode.objects.across_tenants().filter(expires_at__lt=now)
    long_over = ApiSession.objects.across_tenants().filter(
        created_at__lt=now - 2 * settings.API_SESSION_MAX
    )
    both: list[QuerySet[Any]] = [codes, long_over]
    for rows in both:
        rows.filter(pk__in=list(rows.values_list("pk", flat=True)[:batch])).delete()
