"""A tenant's own key of a model provider: set, shown without being shown, removed, used.

Requests seal it and cannot read it back; only workers open it, one call at a time. A tenant says
the provider's name, never its address: where a key and a guideline are sent is for the
installation to say.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone

from config.errors import DomainError
from tenants import audit, vault
from tenants.models import ProviderKey

SEALED_KEY = "tenants_providerkey.sealed_key:{}"  # of the tenant's id
SHOWN = ("tenant", "provider", "last4", "set_at", "set_by__email")

# The values twice: who reads EXCLUDED needs the right to read the column itself.
PUT = """
INSERT INTO tenants_providerkey (tenant_id, provider, sealed_key, last4, set_at, set_by_id)
VALUES (%(tenant)s, %(provider)s, %(sealed)s, %(last4)s, %(at)s, %(by)s)
ON CONFLICT (tenant_id) DO UPDATE SET
    provider = %(provider)s, sealed_key = %(sealed)s, last4 = %(last4)s, set_at = %(at)s,
    set_by_id = %(by)s
"""


class UnknownProvider(DomainError):
    code = "unknown_provider"
    title = "There is no such provider here"
    status = 422


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A tenant's key, opened."""

    provider: str
    key: str = field(repr=False)


def shown_key(tenant_id: UUID) -> ProviderKey | None:
    """Everything but the key."""
    rows = ProviderKey.objects.for_tenant(tenant_id).select_related("set_by").only(*SHOWN)
    return rows.first()


def put_key(*, tenant_id: UUID, provider: str, api_key: str, by: int | None) -> ProviderKey:
    """Sets or replaces the tenant's key; it is used from the next call on.

    by  id of the person who does it. Raises UnknownProvider
    """
    if provider not in settings.PROVIDERS:
        known = ", ".join(settings.PROVIDERS) or "none"
        raise UnknownProvider(
            f"Name one of the providers of this installation: {known}.",
            errors=[{"pointer": "/provider", "code": "unknown", "detail": f"One of {known}."}],
        )
    before = shown_key(tenant_id)
    values: dict[str, Any] = {
        "tenant": tenant_id,
        "provider": provider,
        "sealed": vault.seal(tenant_id, api_key.encode(), SEALED_KEY.format(tenant_id)),
        "last4": api_key[-4:],
        "at": timezone.now(),
        "by": by,
    }
    with connection.cursor() as cursor:
        cursor.execute(PUT, values)
    after = ProviderKey.objects.for_tenant(tenant_id).select_related("set_by").only(*SHOWN).get()
    _record("provider_key.set", tenant_id, before=_described(before), after=_described(after))
    return after


def remove_key(tenant_id: UUID) -> bool:
    """From the next call on the installation's own key is used. False if there was none."""
    before = shown_key(tenant_id)
    if before is None:
        return False
    ProviderKey.objects.for_tenant(tenant_id).delete()
    _record("provider_key.removed", tenant_id, before=_described(before))
    return True


def opened(tenant_id: UUID, provider: str, sealed_key: bytes | memoryview) -> OwnKey:
    """For workers. Raises `config.crypto.CannotUnseal`."""
    key = vault.unseal(tenant_id, sealed_key, SEALED_KEY.format(tenant_id))
    return OwnKey(provider, key.decode())


def _record(action: str, tenant_id: UUID, **change: Any) -> None:
    audit.record(action, tenant_id=tenant_id, of=("tenant", tenant_id), **change)


def _described(key: ProviderKey | None) -> dict[str, str] | None:
    return {"provider": key.provider, "last4": key.last4} if key else None
