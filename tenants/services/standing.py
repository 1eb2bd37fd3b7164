"""Tenants that are shut out, and let in again. What it does to tokens: tenants/standing.py."""

from uuid import UUID

from django.db import transaction

from tenants.audit import record
from tenants.models import Tenant


@transaction.atomic
def set_active(tenant_id: UUID, *, active: bool) -> bool:
    """Suspends the tenant, or restores it; False if it was so already.

    Within a second no token of a suspended tenant is good for anything. Its jobs and its data stay
    as they are.
    """
    others = Tenant.objects.filter(pk=tenant_id, is_active=not active)
    changed = others.update(is_active=active) == 1
    if changed:
        record(
            "tenant.restored" if active else "tenant.suspended",
            tenant_id=tenant_id,
            of=("tenant", tenant_id),
            before={"is_active": not active},
            after={"is_active": active},
        )
    return changed
