"""Whom a call asks and with whose key: the tenant's own provider, or the installation's."""

from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings
from django.db import connection

from jobs.errors import OwnKeyRefused
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


# See migration 0027.
STANDING = "SELECT provider, sealed_key, away FROM jobs_standing(%s, %s)"


@dataclass(frozen=True, slots=True)
class Standing:
    """Whom a tenant's calls ask now.

    away  the circuits, of those asked about, that let no call pass
    """

    provider: Provider
    away: frozenset[str]

    @classmethod
    def of(
        cls, tenant_id: UUID, provider: str | None, sealed_key: bytes, away: list[str]
    ) -> "Standing":
        """What `jobs_standing` says. Raises OwnKeyRefused for a provider that the installation has
        no more: what was meant for one provider is not sent to another."""
        if provider is None:
            return cls(ours(), frozenset(away))
        own = provider_keys.opened(tenant_id, provider, sealed_key)
        base_url = settings.PROVIDERS.get(own.provider)
        if base_url is None:
            raise OwnKeyRefused(f"PROVIDERS has no {own.provider} any more")
        return cls(Provider(base_url, own.key, own_key=True), frozenset(away))


def standing(tenant_id: UUID, circuits: list[str]) -> Standing:
    """Asked before each call, so that a key that was changed or removed is not used again: with the
    intent of the call (jobs/ledger.py), or alone. Raises OwnKeyRefused."""
    with connection.cursor() as cursor:
        cursor.execute(STANDING, [tenant_id, circuits])
        return Standing.of(tenant_id, *cursor.fetchone())
