"""What applies to a tenant now, what is left, and when there is more: as GET /limits says."""

from typing import Any

from jobs import usage
from tenants.console.page import ConsolePage, console_page
from tenants.models import ApiKey, Plan, RouteClass, Scope
from tenants.querysets import TenantQuerySet

IS_CLOSE = 80  # percent of a limit, from which a page warns
KEYS_SHOWN = 50


@console_page("limits/", name="limits", label="Limits", place=70)
class LimitsPage(ConsolePage):
    scope = Scope.USAGE_READ
    title = "Limits"
    template = "limits.html"

    def context(self) -> dict[str, Any]:
        caller = self.caller
        running, waiting = usage.caps(caller.tenant_id)
        return {
            "plan": Plan.objects.get(pk=caller.limits.plan).name,
            "budgets": [filled(each) for each in usage.budgets(caller.tenant_id)],
            "running": {**filled(_cap(running)), "is_close": False},  # more of them only wait
            "waiting": filled(_cap(waiting)),
            "rates": [
                {**rate, "counts": RouteClass(rate["name"]).label}
                for rate in usage.rates(caller.tenant_id, caller.subject, caller.limits)
            ],
            "keys": self._keys() if self.may(Scope.KEYS_MANAGE) else [],
            "models": caller.preferences.models,
            "allowed": caller.preferences.allowed,
            "own_key": caller.preferences.own_key,
        }

    def _keys(self) -> TenantQuerySet:
        """Those that are good for something, and have a limit of their own."""
        keys = ApiKey.objects.for_tenant(self.caller.tenant_id).usable()
        held = keys.filter(requests_per_minute__isnull=False)
        return held.only("name", "client_id", "requests_per_minute").order_by("name")[:KEYS_SHOWN]


def _cap(cap: usage.Caps) -> dict[str, Any]:
    return {"limit": cap.limit, "used": cap.used, "left": cap.left}


def filled(budget: dict[str, Any]) -> dict[str, Any]:
    """With the percentage that is taken of it, by what is promised too."""
    taken = budget["used"] + budget.get("reserved", 0)
    percent = min(100 * taken // budget["limit"], 100) if budget["limit"] else 100
    return {**budget, "percent": percent, "is_close": percent >= IS_CLOSE}
