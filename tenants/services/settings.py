"""What a tenant sets for all its jobs."""

from typing import Any
from uuid import UUID

from django.db import transaction

from config.errors import DomainError
from tenants import audit
from tenants.models import Tenant
from tenants.preferences import preferences_of

CHANGEABLE = ("on_doubt", "language", "preferred_models", "retention_days")


class ModelNotAllowed(DomainError):
    code = "model_not_allowed"
    title = "The model is not one of yours"
    status = 422


def refuse_models(wrong: list[str], allowed: list[str], pointer: str) -> None:
    """Raises ModelNotAllowed where some are wrong; it names those that may be used."""
    if not wrong:
        return
    named = ", ".join(f"`{model}`" for model in allowed) or "none; ask us for another plan"
    raise ModelNotAllowed(
        f"These may be used: {named}.",
        allowed=allowed,
        errors=[{"pointer": pointer, "code": "not_allowed", "detail": f"May be used: {named}."}],
    )


@transaction.atomic
def change_settings(tenant_id: UUID, **wanted: Any) -> Tenant:
    """Changes some of CHANGEABLE; what is left out stays. Raises ModelNotAllowed."""
    tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
    choice = preferences_of(tenant_id).choice
    models = wanted.get("preferred_models", [])
    refuse_models([model for model in models if model not in choice], choice, "/models")
    before = {name: getattr(tenant, name) for name in CHANGEABLE}
    changed = {name: value for name, value in wanted.items() if before[name] != value}
    if changed:
        Tenant.objects.filter(pk=tenant_id).update(**changed)
        audit.record(
            "settings.changed",
            tenant_id=tenant_id,
            of=("tenant", tenant_id),
            before={name: before[name] for name in changed},
            after=changed,
        )
    for name, value in changed.items():
        setattr(tenant, name, value)
    return tenant
