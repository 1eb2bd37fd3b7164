"""Access tokens: what a key or a person may have put into one, and giving one back."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.utils import timezone
from rest_framework_simplejwt.exceptions import TokenError

from accounts.tokens import AccessToken, issue_access_token
from config.errors import DomainError
from tenants import audit
from tenants.models import ApiKey, ApiSession, RevokedToken, Role, Scope
from tenants.permissions import INTEGRATION, granted_scopes

# A key that asks for a token with every request fills no log with it.
NOTED_ONCE_IN = timedelta(minutes=1)


class InvalidScope(DomainError):
    code = "invalid_scope"
    title = "A scope that was asked for is not held"
    status = 400


class NotYourToken(DomainError):
    code = "unauthorized_client"
    title = "The token was issued to another client"
    status = 400
    detail = "Only the client that got a token may revoke it. Nothing was changed."


def issue_token(key: ApiKey, requested: Iterable[str] = ()) -> AccessToken:
    """A token with the scopes asked for, or all that the key has.

    Raises InvalidScope if one is asked for that the key, or its tenant's grant, does not hold.
    """
    allowed = granted_scopes(key.tenant, INTEGRATION) & set(key.scopes)
    wanted = _narrowed(allowed, requested)
    # `last_used_at` as it was before this use: see keys.note_use.
    if key.last_used_at is None or key.last_used_at < timezone.now() - NOTED_ONCE_IN:
        of, after = ("key", key.client_id), {"scopes": sorted(wanted)}
        audit.record("token.issued", tenant_id=key.tenant_id, of=of, after=after)
    return issue_access_token(
        subject=key.client_id, tenant=str(key.tenant_id), scopes=sorted(wanted)
    )


def issue_session_token(
    session: ApiSession, role: Role | str, requested: Iterable[str] = ()
) -> AccessToken:
    """A token with the scopes asked for, or all that the session was opened with, as far as the
    person's role still holds them. Raises InvalidScope."""
    allowed = granted_scopes(session.tenant, role) & set(session.scopes)
    wanted = _narrowed(allowed, requested)
    return issue_access_token(
        subject=str(session.user.public_id),
        tenant=str(session.tenant_id),
        scopes=sorted(wanted),
        client_id=session.client_id,
        session=str(session.id),
    )


def _narrowed(allowed: set[Scope] | set[str], requested: Iterable[str]) -> set[str]:
    wanted = set(requested) or set(allowed)
    if not wanted <= allowed or not wanted:
        missing = ", ".join(sorted(wanted - allowed)) or "any"
        raise InvalidScope(f"Not held: {missing}. Held: {', '.join(sorted(allowed)) or 'none'}.")
    return wanted


def revoke_access_token(encoded: str, *, client_id: str) -> None:
    """Ends the token within a second. One that is not ours or over already is no error.

    Raises NotYourToken.
    """
    try:
        token = AccessToken(encoded)  # type: ignore[arg-type]
    except TokenError:
        return
    if token.get("client_id", token["sub"]) != client_id:
        raise NotYourToken
    forget_expired()
    _, is_new = RevokedToken.objects.get_or_create(
        jti=token["jti"], defaults={"expires_at": datetime.fromtimestamp(token["exp"], UTC)}
    )
    if is_new:
        audit.record("token.revoked", tenant_id=token["tenant"], of=("token", token["jti"]))


def forget_expired(batch: int = 100) -> None:
    """Removes marks of tokens that would be refused without one: a few each time, no sweep."""
    # A token verifies a leeway longer than it lives. Twice that: this machine's clock may be ahead
    # of the one that verifies.
    leeway = timedelta(seconds=settings.SIMPLE_JWT["LEEWAY"])
    over = timezone.now() - 2 * leeway
    expired = RevokedToken.objects.filter(expires_at__lt=over).values("pk")[:batch]
    RevokedToken.objects.filter(pk__in=list(expired.values_list("pk", flat=True))).delete()
