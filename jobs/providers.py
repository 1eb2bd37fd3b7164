"""Whom a call asks and with whose key: the tenant's own provider, or the installation's."""

from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings

from jobs.errors import OwnKeyRefused
from tenants.models import ProviderKey
from tenants.services import provider_keys


@dataclass(frozen=True, slots=True)
class Provider:
    """base_url  None is the SDK's own."""

    base_url: str | None
    api_key: str = field(repr=False)
    own_key: bool = False  # the tenant's


def ours() -> Provider:
    """The installation's; without a key the offline engine."""
    base_url = settings.OPENAI_BASE_URL or (
        None if settings.OPENAI_API_KEY else settings.OFFLINE_MODEL_URL
    )
    return Provider(base_url, settings.OPENAI_API_KEY or "offline")


def provider_for(tenant_id: UUID) -> Provider:
    """Asked before each call, so that a key that was changed or removed is not used again.

    Raises OwnKeyRefused for a provider that the installation has no more: what was meant for one
    provider is not sent to another.
    """
    rows = ProviderKey.objects.for_tenant(tenant_id).values_list("provider", "sealed_key")
    row = rows.first()
    if row is None:
        return ours()
    own = provider_keys.opened(tenant_id, *row)
    base_url = settings.PROVIDERS.get(own.provider)
    if base_url is None:
        raise OwnKeyRefused(f"PROVIDERS has no {own.provider} any more")
    return Provider(base_url, own.key, own_key=True)
