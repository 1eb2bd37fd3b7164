"""What a caller may use: the numbers of the tenant's plan and of the key, at hand in each process.

Read again once they are a second old, so a changed plan holds everywhere within that second and a
busy caller costs one statement a second, not one a request.
"""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from config.isolation import DatabaseRole, acting_as
from tenants.models import RouteClass

SECONDS = 1.0
CALLERS = 2_000  # remembered in one process; the one not heard of for longest goes first

STANDING = """
SELECT plan.code, submits_per_minute, reads_per_minute, manages_per_minute, requests_per_minute
FROM tenants_tenant AS tenant
JOIN tenants_plan AS plan ON plan.code = tenant.plan_id
LEFT JOIN tenants_apikey AS key ON key.tenant_id = tenant.id AND key.client_id = %(client)s
WHERE tenant.id = %(tenant)s
"""


class UnknownTenant(Exception):
    """No such tenant, any more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests in any 60 seconds. per_key is None where the key has no limit of its own."""

    plan: str
    per_minute: dict[RouteClass, int]
    per_key: int | None


_known: OrderedDict[tuple[UUID, str], tuple[float, Limits]] = OrderedDict()
_lock = threading.Lock()


def limits_of(tenant_id: UUID, client_id: str) -> Limits:
    """At most a second old. Raises UnknownTenant."""
    caller, now = (tenant_id, client_id), time.monotonic()
    with _lock:
        read_at, limits = _known.get(caller, (float("-inf"), None))
    if limits is not None and now - read_at < SECONDS:
        return limits
    limits = _read(tenant_id, client_id)
    with _lock:
        _known[caller] = (now, limits)
        _known.move_to_end(caller)
        if len(_known) > CALLERS:
            _known.popitem(last=False)
    return limits


def forget() -> None:
    """The next look is at the database."""
    with _lock:
        _known.clear()


def _read(tenant_id: UUID, client_id: str) -> Limits:
    with acting_as(DatabaseRole.DOOR), connection.cursor() as cursor:
        cursor.execute(STANDING, {"tenant": tenant_id, "client": client_id})
        row = cursor.fetchone()
    if row is None:
        raise UnknownTenant(str(tenant_id))
    plan, submits, reads, manages, per_key = row
    per_minute = {
        RouteClass.SUBMIT: submits,
        RouteClass.READ: reads,
        RouteClass.MANAGE: manages,
    }
    return Limits(plan, per_minute, per_key)
