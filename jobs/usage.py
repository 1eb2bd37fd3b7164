"""What a tenant has used, and what it may still use."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from django.db import connection

from jobs import budget
from jobs.models import TenantQueue
from tenants import throttling
from tenants.limits import Limits
from tenants.models import Plan, RouteClass

MAX_DAYS = 366
MAX_ROWS = 5_000
# What rows may be added up by, and what that is in the query.
GROUPS = {"day": "call.day", "key": "job.submitted_by", "model": "call.model"}
COLUMNS = (
    "jobs",
    "calls",
    "prompt_tokens",
    "completion_tokens",
    "charged_tokens",
    "cost_micro_usd",
)

# By the day on which a call started, as the budgets count. Tokens are what the provider named,
# charged tokens also what it may have counted for calls that nobody has an answer of.
USED = """
SELECT {group}::text, count(DISTINCT call.job_id), count(*),
    sum(call.prompt_tokens), sum(call.completion_tokens),
    coalesce(sum(call.charged_tokens), 0)::bigint, coalesce(sum(call.cost_micros), 0)::bigint
FROM jobs_llmcall AS call JOIN jobs_job AS job ON job.id = call.job_id
WHERE call.tenant_id = %(tenant)s AND call.day BETWEEN %(first)s AND %(last)s
GROUP BY 1 ORDER BY 1 LIMIT %(rows)s
"""
WAITING = """
SELECT count(*) FROM (
    SELECT FROM jobs_job WHERE tenant_id = %(tenant)s AND status = 'PENDING' LIMIT %(limit)s
) AS waiting
"""


def used(tenant_id: UUID, *, first: date, last: date, by: str) -> list[dict[str, Any]]:
    """One row for each day, key or model with calls from `first` to `last`, both included."""
    rows = _added_up(GROUPS[by], tenant_id, first, last)
    return [dict(zip((by, *COLUMNS), row, strict=True)) for row in rows]


def used_in_all(tenant_id: UUID, *, first: date, last: date) -> dict[str, int]:
    """What the rows of `used` come to, each job counted once: its calls may be of several days and
    models."""
    rows = _added_up("''", tenant_id, first, last)
    return dict(zip(COLUMNS, rows[0][1:], strict=True)) if rows else dict.fromkeys(COLUMNS, 0)


def _added_up(group: str, tenant_id: UUID, first: date, last: date) -> list[tuple[Any, ...]]:
    parameters: dict[str, Any] = {
        "tenant": tenant_id,
        "first": first,
        "last": last,
        "rows": MAX_ROWS,
    }
    with connection.cursor() as cursor:
        cursor.execute(USED.format(group=group), parameters)
        return cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Caps:
    """Jobs at once: allowed, and there now."""

    limit: int
    used: int

    @property
    def left(self) -> int:
        return max(self.limit - self.used, 0)


def caps(tenant_id: UUID) -> tuple[Caps, Caps]:
    """Of running and of waiting jobs."""
    queue = TenantQueue.objects.filter(tenant_id=tenant_id).first()
    if queue is None:  # the tenant has never had a job
        plan = Plan.objects.get(tenants=tenant_id)
        return Caps(plan.max_running, 0), Caps(plan.max_waiting, 0)
    with connection.cursor() as cursor:
        cursor.execute(WAITING, {"tenant": tenant_id, "limit": queue.max_waiting + 1})
        waiting = cursor.fetchone()[0]
    return Caps(queue.max_running, queue.running), Caps(queue.max_waiting, waiting)


def rates(tenant_id: UUID, client_id: str, limits: Limits) -> list[dict[str, Any]]:
    """Every rate limit that applies to this caller. Nobody knows what is left while Redis is
    away: None."""
    applying = [limit for kind in RouteClass for limit in throttling.applying_limits(limits, kind)]
    try:
        counts = throttling.look(tenant_id, client_id, applying)
    except throttling.RedisAway:
        left: list[Any] = [(None, None)] * len(applying)
    else:
        left = [(count.left, count.resets_in) for count in counts]
    return [
        {
            "name": limit.name,
            "scope": limit.scope,
            "limit": limit.quota,
            "window_seconds": throttling.WINDOW,
            "left": remaining,
            "resets_in_seconds": resets_in,
        }
        for limit, (remaining, resets_in) in zip(applying, left, strict=True)
    ]


UNITS = {"tokens_per_day": "tokens", "money_per_month": "micro_usd"}


def budgets(tenant_id: UUID) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "unit": UNITS[each.name],
            "limit": each.limit,
            "used": each.used,
            "reserved": each.reserved,
            "left": each.left,
            "resets_at": each.resets_at,
        }
        for each in budget.standing(tenant_id)
    ]
