"""A bearer token becomes `request.user`: a principal, from the token and what stands now.

The token says who and for which tenant; what they may do is the less of what it was issued for
and what they hold now (tenants.standing).
"""

from dataclasses import dataclass
from typing import Self, cast
from uuid import UUID

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework_simplejwt.exceptions import TokenError

from accounts.tokens import AccessToken
from config.addresses import client_address
from tenants import standing
from tenants.errors import SessionEndedByReuse
from tenants.limits import Limits
from tenants.models import ActorKind, ApiSession
from tenants.preferences import NOTHING_SET, Preferences
from tenants.standing import Standing


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, for which tenant, and what the token may be used for."""

    subject: str  # a key's client_id, or a person's public id
    tenant_id: UUID
    scopes: frozenset[str]
    limits: Limits
    kind: ActorKind = ActorKind.KEY
    name: str = ""  # for the audit log, where it is not the subject: a person's e-mail
    user_id: int | None = None  # of a person
    role: str = ""  # of a person
    sees_own_only: bool = False  # a person who sees only jobs of their own and those shared
    session: str = ""  # of a person: the family of the token
    preferences: Preferences = NOTHING_SET  # the tenant's
    is_authenticated: bool = True

    @property
    def pk(self) -> str:
        return self.subject

    @classmethod
    def of(
        cls,
        subject: str,
        tenant_id: UUID,
        now: Standing,
        *,
        scopes: frozenset[str],
        session: str = "",
    ) -> Self:
        return cls(
            subject=subject,
            tenant_id=tenant_id,
            scopes=scopes,
            limits=now.limits,
            kind=now.kind,
            name=now.name,
            user_id=now.user_id,
            role=now.role,
            sees_own_only=now.sees_own_only,
            session=session,
            preferences=now.preferences,
        )


CHALLENGE = 'Bearer realm="guidepost"'
REFUSED = f'{CHALLENGE}, error="invalid_token"'  # RFC 6750 section 3


class TokenAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Principal, AccessToken] | None:
        """None without a header. Raises AuthenticationFailed (401) for any but a good token."""
        if "access_token" in request.query_params:
            raise AuthenticationFailed(
                "Addresses end up in logs: send the token in the header Authorization, and"
                " revoke the one that was sent in the address."
            )
        parts = get_authorization_header(request).split()
        if not parts:
            return None
        # The server joins repeated headers by a comma, so two tokens are more than two parts.
        if len(parts) != 2 or parts[0].lower() != b"bearer":
            raise AuthenticationFailed("Send the header as `Authorization: Bearer <token>`.")
        try:
            token = AccessToken(parts[1])  # type: ignore[arg-type]
            now = standing.standing_of(token)
        except (TokenError, KeyError, ValueError, AttributeError):
            raise AuthenticationFailed(
                "It is malformed, expired or not ours. Get a new one from POST /oauth/token."
            ) from None
        if now is None or not standing.may_come_from(now, client_address(request)):
            raise AuthenticationFailed(
                "What it was issued for has ended: the key, the membership, the tenant or the"
                " token itself was taken back; or the key may not be used from this address."
            )
        _refuse_if_ended(now)
        return principal_of(token, now), token

    def authenticate_header(self, request: Request) -> str:
        return REFUSED if get_authorization_header(request) else CHALLENGE


def _refuse_if_ended(now: Standing) -> None:
    if now.ended == ApiSession.Ended.TOKEN_REUSED:
        raise SessionEndedByReuse(headers={"WWW-Authenticate": REFUSED})
    if now.ended:
        raise AuthenticationFailed(f"The session is over: {ApiSession.Ended(now.ended).label}.")


def principal(request: Request) -> Principal:
    """Who calls, in a view whose permissions have let the request in."""
    return cast(Principal, request.user)


def principal_of(token: AccessToken, now: Standing) -> Principal:
    return Principal.of(
        token["sub"],
        UUID(token["tenant"]),
        now,
        scopes=now.granted & frozenset(token["scope"].split()),
        session=token.get("sid", ""),
    )
