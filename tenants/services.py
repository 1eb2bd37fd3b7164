"""Every change of a tenant, its members and its keys."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.tokens import AccessToken, issue_access_token
from config.errors import DomainError
from tenants.models import ApiKey, Membership, Role, Scope, Tenant
from tenants.permissions import INTEGRATION, create_groups, granted_scopes, group_name

CLIENT_PREFIX = "gpc_"
SECRET_PREFIX = "gps_"  # noqa: S105  (what scanners look for)


class InvalidClient(DomainError):
    code = "invalid_client"
    title = "The client could not be authenticated"
    status = 401
    detail = "Check client_id and client_secret; the key may also be revoked or expired."


class InvalidScope(DomainError):
    code = "invalid_scope"
    title = "The key does not have a scope that was asked for"
    status = 400


@dataclass(frozen=True)
class NewApiKey:
    """The only time the secret is known."""

    key: ApiKey
    client_secret: str


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


def issue_api_key(
    *,
    tenant: Tenant,
    name: str,
    scopes: Iterable[Scope] = tuple(Scope),
    expires_at: datetime | None = None,
    created_by: User | None = None,
) -> NewApiKey:
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        tenant=tenant,
        client_id=CLIENT_PREFIX + secrets.token_hex(12),
        digest=secret_digest(secret),
        name=name,
        scopes=sorted(scopes),
        expires_at=expires_at,
        created_by=created_by,
    )
    return NewApiKey(key, secret)


def revoke_api_key(key: ApiKey) -> bool:
    """Ends the key; False if it had ended before. Tokens already issued run out by themselves."""
    now = timezone.now()
    return ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now) == 1


def secret_digest(secret: str) -> str:
    """256 random bits need no slow hash, but the pepper makes a stolen table worthless."""
    return hmac.new(settings.API_KEY_PEPPER.encode(), secret.encode(), hashlib.sha256).hexdigest()


def authenticate_client(client_id: str, client_secret: str) -> ApiKey:
    """The key that these two belong to. Raises InvalidClient, the same for every reason."""
    key = ApiKey.objects.select_related("tenant").filter(client_id=client_id).first()
    digest = secret_digest(client_secret)  # also for an unknown client: equal work, equal time
    matches = hmac.compare_digest(digest, key.digest if key else "0" * 64)
    if key is None or not matches or not key.is_usable or not key.tenant.is_active:
        raise InvalidClient
    return key


def issue_token(key: ApiKey, requested: Iterable[str] = ()) -> AccessToken:
    """A token with the scopes asked for, or all that the key has.

    Raises InvalidScope if one is asked for that the key, or its tenant's grant, does not hold.
    """
    allowed = granted_scopes(key.tenant, INTEGRATION) & set(key.scopes)
    wanted = set(requested) or allowed
    if not wanted <= allowed or not wanted:
        missing = ", ".join(sorted(wanted - allowed)) or "any"
        raise InvalidScope(f"Not held: {missing}. Held: {', '.join(sorted(allowed)) or 'none'}.")
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=timezone.now())
    return issue_access_token(
        subject=key.client_id, tenant=str(key.tenant_id), scopes=sorted(wanted)
    )
