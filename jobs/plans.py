"""Plans: who has which, and what follows for the tenant's queue."""

from typing import Any

from django.db import transaction

from jobs.services import apply_plan
from tenants.audit import record
from tenants.models import Plan, Tenant

# A plan's fields as they stand in the audit log.
FIELDS = [field.name for field in Plan._meta.concrete_fields]


@transaction.atomic
def assign_plan(*, tenant: Tenant, plan: Plan) -> bool:
    """Gives the tenant this plan; False if it has it already. Rates follow within a second."""
    held = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
    changed = held.plan_id != plan.pk
    if changed:
        Tenant.objects.filter(pk=tenant.pk).update(plan=plan)
        record(
            "tenant.plan_changed",
            tenant_id=tenant.pk,
            of=("tenant", tenant.pk),
            before={"plan": held.plan_id},
            after={"plan": plan.pk},
        )
    tenant.plan = plan
    apply_plan(tenant)
    return changed


@transaction.atomic
def save_plan(plan: Plan) -> None:
    """Writes a plan, new or changed, and takes its caps over to the queues of all its tenants.

    Raises IntegrityError for one that allows nothing.
    """
    known = Plan.objects.select_for_update().filter(pk=plan.pk).first()
    if known and _values(known) == _values(plan):
        return
    plan.save()
    record(
        "plan.changed" if known else "plan.created",
        tenant_id=None,
        of=("plan", plan.pk),
        before=_values(known) if known else None,
        after=_values(plan),
    )
    for tenant in plan.tenants.order_by("pk"):
        apply_plan(tenant)


def _values(plan: Plan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in FIELDS}
