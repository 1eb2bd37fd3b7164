"""API keys: made, checked, ended."""

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from config.errors import DomainError
from tenants.audit import record
from tenants.digests import secret_digest
from tenants.models import ApiKey, Scope, Tenant
from tenants.permissions import GRANTS, INTEGRATION

CLIENT_PREFIX = "gpc_"
SECRET_PREFIX = "gps_"  # noqa: S105  (what scanners look for)


class InvalidClient(DomainError):
    code = "invalid_client"
    title = "The client could not be authenticated"
    status = 401
    detail = "Check client_id and client_secret; the key may also be revoked or expired."


@dataclass(frozen=True)
class NewApiKey:
    """The only time the secret is known."""

    key: ApiKey
    client_secret: str


def issue_api_key(
    *,
    tenant: Tenant,
    name: str,
    scopes: Iterable[Scope] = tuple(GRANTS[INTEGRATION]),
    expires_at: datetime | None = None,
    created_by: User | None = None,
) -> NewApiKey:
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        tenant=tenant,
        client_id=CLIENT_PREFIX + secrets.token_hex(12),
        digest=secret_digest(secret),
        name=name,
        scopes=sorted(scopes),
        expires_at=expires_at,
        created_by=created_by,
    )
    with transaction.atomic():
        key.save(force_insert=True)
        record(
            "key.created",
            tenant_id=tenant.id,
            of=("key", key.client_id),
            after={"name": name, "scopes": key.scopes, "expires_at": expires_at},
        )
    return NewApiKey(key, secret)


def revoke_api_key(key: ApiKey) -> bool:
    """Ends the key; False if it had ended before. Its tokens end within a second."""
    keys = ApiKey.objects.for_tenant(key.tenant_id).filter(pk=key.pk, revoked_at=None)
    with transaction.atomic():
        revoked = keys.update(revoked_at=timezone.now()) == 1
        if revoked:
            record("key.revoked", tenant_id=key.tenant_id, of=("key", key.client_id))
    return revoked


def authenticate_client(client_id: str, client_secret: str) -> ApiKey:
    """The key that these two belong to. Raises InvalidClient, the same for every reason."""
    key = (
        ApiKey.objects.across_tenants().select_related("tenant").filter(client_id=client_id).first()
    )
    digest = secret_digest(client_secret)  # also for an unknown client: equal work, equal time
    matches = hmac.compare_digest(digest, key.digest if key else "0" * 64)
    if key is None or not matches or not key.is_usable or not key.tenant.is_active:
        raise InvalidClient
    return key
