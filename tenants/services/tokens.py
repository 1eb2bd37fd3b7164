"""Access tokens: what a key or a person may have put into one."""

from collections.abc import Iterable

from accounts.tokens import AccessToken, issue_access_token
from config.errors import DomainError
from tenants.models import ApiKey
from tenants.permissions import INTEGRATION, granted_scopes


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
    return issue_access_token(
        subject=key.client_id, tenant=str(key.tenant_id), scopes=sorted(wanted)
    )
