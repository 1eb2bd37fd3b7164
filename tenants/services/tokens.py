"""Access tokens: what a key or a person may have put into one."""

from collections.abc import Iterable
from datetime import timedelta

from django.utils import timezone

from accounts.tokens import AccessToken, issue_access_token
from config.errors import DomainError
from tenants.audit import record
from tenants.models import ApiKey
from tenants.permissions import INTEGRATION, granted_scopes

# A key that asks for a token with every request fills no log with it.
NOTED_ONCE_IN = timedelta(minutes=1)


class InvalidScope(DomainError):
    code = "invalid_scope"
    title = "The key does not have a scope that was asked for"
    status = 400


def issue_token(key: ApiKey, requested: Iterable[str] = ()) -> AccessToken:
    """A token with the scopes asked for, or all that the key has.

    Raises InvalidScope if one is asked for that the key, or its tenant's grant, does not hold.
    """
    allowed = granted_scopes(key.tenant, INTEGRATION) & set(key.scopes)
    wanted = set(requested) or allowed
    if not wanted <= allowed or not wanted:
        missing = ", ".join(sorted(wanted - allowed)) or "any"
        raise InvalidScope(f"Not held: {missing}. Held: {', '.join(sorted(allowed)) or 'none'}.")
    now = timezone.now()
    if key.last_used_at is None or key.last_used_at < now - NOTED_ONCE_IN:
        after = {"scopes": sorted(wanted)}
        record("token.issued", tenant_id=key.tenant_id, of=("key", key.client_id), after=after)
    ApiKey.objects.for_tenant(key.tenant_id).filter(pk=key.pk).update(last_used_at=now)
    return issue_access_token(
        subject=key.client_id, tenant=str(key.tenant_id), scopes=sorted(wanted)
    )
