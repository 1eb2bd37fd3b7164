"""What jobs may spend: promised before anything is paid for, settled by what it did cost.

A tenant has tokens for each day and money for each month (UTC). Submitting a job reserves an
estimate; each model call takes its own upper bound out of that before it starts, and more from the
budget where that does not suffice, or it does not start. So all that runs at once never exceeds
the plan, however many workers there are. When a call is over, its bound becomes what it did cost;
when a job is, what is left of its reservation is free again (a trigger, at the commit).

A call that nobody has an answer of is charged at its bound: it may have cost that.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from config.database import zulu
from config.isolation import in_role
from jobs.errors import BudgetExhausted, QuotaExceeded, TooManyWaiting
from jobs.models import Reservation, TenantQueue
from llm.limits import Tokens
from tenants.models import Usage

PUBLIC_NAMES = {
    Usage.Kind.TOKENS: "tokens_per_day",
    Usage.Kind.MONEY: "money_per_month",
}

ADMIT = "SELECT jobs_admit(%(tenant)s, %(job)s, %(tokens)s, %(micros)s)"
RESERVE = "SELECT jobs_reserve(%(tenant)s, %(job)s, %(tokens)s, %(micros)s)"

STANDING = """
SELECT budget.kind, budget.cap, coalesce(spent, 0), coalesce(reserved, 0),
    (budget.starts_on + budget.span) AT TIME ZONE 'UTC'
FROM tenants_tenant AS tenant
JOIN tenants_plan AS plan ON plan.code = tenant.plan_id
CROSS JOIN LATERAL (VALUES
    ('tokens', guidepost_today(), interval '1 day', tokens_per_day),
    ('money', date_trunc('month', guidepost_today())::date, interval '1 month', money_per_month)
) AS budget (kind, starts_on, span, cap)
LEFT JOIN tenants_usage AS used ON used.tenant_id = tenant.id AND used.kind = budget.kind
    AND used.starts_on = budget.starts_on
WHERE tenant.id = %(tenant)s
"""

# A job before its calls, as everywhere; a job that somebody holds is left for the next sweep.
UNCHARGED = """
SELECT call.tenant_id, call.job_id, call.id, call.bound_tokens, call.bound_micros
FROM jobs_llmcall AS call JOIN jobs_job AS job ON job.id = call.job_id
WHERE call.cost_micros IS NULL AND call.outcome <> 'started'
ORDER BY call.id
LIMIT 1
FOR NO KEY UPDATE OF job SKIP LOCKED
"""
CHARGE = "SELECT jobs_charge(%(tenant)s, %(job)s, %(call)s, %(tokens)s, %(micros)s)"

# What is promised, counted anew under the lock of the row that says so: the sum is taken after the
# lock was got, so whoever changed something before has been waited for, whoever does so now waits.
ORPHANS = """
DELETE FROM jobs_reservation WHERE job_id IN (
    SELECT reservation.job_id FROM jobs_reservation AS reservation
    JOIN jobs_job AS job ON job.id = reservation.job_id
    WHERE job.status NOT IN ('PENDING', 'PROCESSING')
    FOR UPDATE OF reservation SKIP LOCKED
)
"""
PERIODS = """
SELECT tenant_id, kind, starts_on FROM tenants_usage
WHERE reserved > 0 OR starts_on >= date_trunc('month', guidepost_today())::date
ORDER BY tenant_id, kind, starts_on
"""
HOLD_PERIOD = """
SELECT reserved FROM tenants_usage
WHERE tenant_id = %s AND kind = %s AND starts_on = %s FOR NO KEY UPDATE
"""
PROMISED = """
SELECT coalesce(sum(amount), 0)::bigint FROM (
    SELECT day, CASE %(kind)s WHEN 'money' THEN micros ELSE tokens END AS amount
    FROM jobs_reservation WHERE tenant_id = %(tenant)s
    UNION ALL
    SELECT day, CASE %(kind)s WHEN 'money' THEN bound_micros ELSE bound_tokens END
    FROM jobs_llmcall WHERE tenant_id = %(tenant)s AND cost_micros IS NULL
) AS promised
WHERE CASE %(kind)s WHEN 'money' THEN date_trunc('month', day)::date ELSE day END = %(starts_on)s
"""
CORRECT = """
UPDATE tenants_usage SET reserved = %s WHERE tenant_id = %s AND kind = %s AND starts_on = %s
"""


@dataclass(frozen=True, slots=True)
class Budget:
    """Where one budget stands in its present period. Money in millionths of a dollar."""

    name: str
    limit: int
    used: int
    reserved: int
    resets_at: datetime

    @property
    def left(self) -> int:
        return max(self.limit - self.used - self.reserved, 0)


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a call asks, and who pays: with a tenant's own key its provider's bill is its own.

    model  as we name it to the provider, not as a reply names itself: what a call may cost and
           what it did cost are the same price's
    """

    model: str = ""  # of a row that the previous version wrote: the configured one
    own_key: bool = False


DEFAULT = Asked()


def price(tokens: Tokens, asked: Asked = DEFAULT) -> int:
    """Millionths of a dollar, rounded up: dollars per million tokens are that for each token."""
    if asked.own_key:
        return 0
    prices = settings.MODEL_PRICES.get(asked.model or settings.OPENAI_MODEL, {})
    dollars = [Decimal(str(prices.get(kind, 0))) for kind in ("prompt", "completion")]
    return math.ceil(tokens.prompt * dollars[0] + tokens.completion * dollars[1])


def admit(
    tenant_id: UUID, job_id: int, estimate: Tokens, models: Sequence[Asked] = (DEFAULT,)
) -> None:
    """Reserves for a job that was just made of another. Raises QuotaExceeded, or TooManyWaiting.

    models  that it may ask: the dearest of them is reserved for

    Submissions of one tenant pass one at a time, up to their commit, so both are exact.
    """
    raise_if(_ask(ADMIT, tenant_id, job_id, estimate, models), tenant_id)


def raise_if(refused: str, tenant_id: UUID) -> None:
    """Raises what `jobs_submit` and `jobs_admit` name: TooManyWaiting or QuotaExceeded; not for
    ''."""
    if not refused:
        return
    with in_role():
        if refused == "waiting":
            raise _too_many_waiting(tenant_id)
        raise _quota_exceeded(tenant_id, refused)


def reserve(
    tenant_id: UUID, job_id: int, estimate: Tokens, models: Sequence[Asked] = (DEFAULT,)
) -> None:
    """Reserves for a job that gets a new run. Raises QuotaExceeded."""
    if refused := _ask(RESERVE, tenant_id, job_id, estimate, models):
        raise _quota_exceeded(tenant_id, refused)


def reserve_what_is_known_now(
    tenant_id: UUID, job_id: int, estimate: Tokens, models: Sequence[Asked] = (DEFAULT,)
) -> None:
    """Reserves for a job that was admitted before anybody could say what it may cost. Raises
    QuotaExceeded."""
    nothing = Reservation.objects.for_tenant(tenant_id).filter(job_id=job_id)  # of that day
    nothing.delete()
    reserve(tenant_id, job_id, estimate, models)


def exhausted(kind: str) -> BudgetExhausted:
    """What a call could not be paid from, as jobs_take names it."""
    return BudgetExhausted(PUBLIC_NAMES[Usage.Kind(kind)])


def standing(tenant_id: UUID) -> list[Budget]:
    """All budgets of the tenant, as they are now."""
    with connection.cursor() as cursor:
        cursor.execute(STANDING, {"tenant": tenant_id})
        return [Budget(PUBLIC_NAMES[Usage.Kind(row[0])], *row[1:]) for row in cursor.fetchall()]


# --- Sweeps ---------------------------------------------------------------------------------


def charge_unanswered() -> int:
    """Charges calls that are over without anybody having charged them, at their bounds."""
    charged = 0
    while _charge_one():
        charged += 1
    return charged


@transaction.atomic
def _charge_one() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(UNCHARGED)
        row = cursor.fetchone()
        if row is None:
            return False
        names = ("tenant", "job", "call", "tokens", "micros")
        cursor.execute(CHARGE, dict(zip(names, row, strict=True)))
    return True


def recount() -> int:
    """Makes what is reserved what is promised, wherever they differ; the number of corrections.

    They should never differ: whoever changes one changes the other in the same transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute(ORPHANS)
        cursor.execute(PERIODS)
        return sum(_recount(*period) for period in cursor.fetchall())


@transaction.atomic
def _recount(tenant_id: UUID, kind: str, starts_on: date) -> bool:
    period: list[Any] = [tenant_id, kind, starts_on]
    with connection.cursor() as cursor:
        cursor.execute(HOLD_PERIOD, period)
        said = cursor.fetchone()
        cursor.execute(PROMISED, {"tenant": tenant_id, "kind": kind, "starts_on": starts_on})
        promised = cursor.fetchone()
        if said == promised:
            return False
        cursor.execute(CORRECT, [*promised, *period])
    return True


# --- Pieces ---------------------------------------------------------------------------------


def _ask(
    statement: str, tenant_id: UUID, job_id: int, tokens: Tokens, models: Sequence[Asked]
) -> str:
    """The name of what does not suffice, or ''."""
    asked: dict[str, Any] = {
        "tenant": tenant_id,
        "job": job_id,
        **promised(tokens, models),
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, asked)
        return str(cursor.fetchone()[0])


def promised(tokens: Tokens, models: Sequence[Asked]) -> dict[str, int]:
    """What is reserved, as statements take it: for the dearest of the models."""
    return {"tokens": tokens.total, "micros": max(price(tokens, asked) for asked in models)}


def _quota_exceeded(tenant_id: UUID, kind: str) -> QuotaExceeded:
    name = PUBLIC_NAMES[Usage.Kind(kind)]
    budget = next(budget for budget in standing(tenant_id) if budget.name == name)
    return QuotaExceeded(
        f"The budget `{name}` does not suffice for this job: {budget.left:,} of {budget.limit:,}"
        " are left. Wait for the next period, or ask us for a larger plan.",
        headers={"Retry-After": str(_seconds_until(budget.resets_at))},
        quota=name,
        limit=budget.limit,
        used=budget.used,
        reserved=budget.reserved,
        resets_at=zulu(budget.resets_at),
    )


def _too_many_waiting(tenant_id: UUID) -> TooManyWaiting:
    allowed = TenantQueue.objects.get(pk=tenant_id).max_waiting
    return TooManyWaiting(
        f"{allowed:,} of your jobs are waiting, which is the limit `jobs_waiting_per_tenant`."
        " Submit again when some of them have started.",
        headers={"Retry-After": "30"},
        limit="jobs_waiting_per_tenant",
        allowed=allowed,
    )


def _seconds_until(moment: datetime) -> int:
    return max(1, math.ceil((moment - timezone.now()).total_seconds()))
