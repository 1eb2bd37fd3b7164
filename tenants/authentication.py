"""A bearer token becomes `request.user`: a principal, read from the token without a query."""

from dataclasses import dataclass
from typing import cast
from uuid import UUID

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework_simplejwt.exceptions import TokenError

from accounts.tokens import AccessToken
from tenants.models import ActorKind


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, for which tenant, and what the token may be used for."""

    subject: str  # a key's client_id, or a person's public id
    tenant_id: UUID
    scopes: frozenset[str]
    kind: ActorKind = ActorKind.KEY
    name: str = ""  # for the audit log, where it is not the subject: a person's e-mail
    user_id: int | None = None  # of a person
    role: str = ""  # of a person
    sees_own_only: bool = False  # a person who sees only jobs of their own and those shared
    is_authenticated: bool = True

    @property
    def pk(self) -> str:
        return self.subject


class TokenAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Principal, AccessToken] | None:
        """None without a header. Raises AuthenticationFailed (401) for any but a good token."""
        parts = get_authorization_header(request).split()
        if not parts:
            return None
        if len(parts) != 2 or parts[0].lower() != b"bearer":
            raise AuthenticationFailed("Send the header as `Authorization: Bearer <token>`.")
        try:
            token = AccessToken(parts[1])  # type: ignore[arg-type]
            return principal_of(token), token
        except (TokenError, KeyError, ValueError, AttributeError):
            raise AuthenticationFailed(
                "It is malformed, expired or not ours. Get a new one from POST /oauth/token."
            ) from None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="guidepost"'


def principal(request: Request) -> Principal:
    """Who calls, in a view whose permissions have let the request in."""
    return cast(Principal, request.user)


def principal_of(token: AccessToken) -> Principal:
    """Raises KeyError, ValueError or AttributeError for claims that are not as we issue them."""
    return Principal(
        subject=token["sub"],
        tenant_id=UUID(token["tenant"]),
        scopes=frozenset(token["scope"].split()),
    )
