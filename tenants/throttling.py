"""Rate limits: never more than so many requests in any 60 seconds, for a tenant and for a key.

What is behind a token is counted by a script of our own (`admit`): exact over a sliding window,
several limits in one round trip, and a refused request counts for none of them. What comes before
a token is counted by django-ratelimit (`count`). Why both: docs/adr/0015.

While Redis is away or slow, reads pass; what changes something is held to half of its limit by
PostgreSQL; nobody gets a token. After a failure nobody waits for Redis again for a second.
"""

import logging
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.http import HttpRequest
from django_ratelimit.core import get_usage
from redis.commands.core import Script
from redis.exceptions import RedisError

from config import loop
from config.errors import DomainError
from config.isolation import DatabaseRole, acting_as
from config.redis import connected
from tenants.limits import Limits
from tenants.models import RouteClass

logger = logging.getLogger(__name__)

WINDOW = 60  # seconds
TIMEOUT = 0.05  # seconds that a request waits for a counter
RETRY_REDIS_AFTER = 1.0  # seconds
_redis_away_until = 0.0


class RateLimited(DomainError):
    code = "rate_limited"
    title = "Too many requests"
    status = 429


class LimiterUnavailable(DomainError):
    code = "temporarily_unavailable"
    title = "This cannot be done just now"
    status = 503
    detail = "We cannot count attempts at the moment, so we allow none. Ask again in a few seconds."


# --- Behind a token -------------------------------------------------------------------------

# Each list holds the times of the requests that passed, newest first. All limits are looked at
# before any is charged. By the clock of Redis: what it says is later than now by a window or more
# comes from a clock that was put back, and is dropped as well.
SLIDING_WINDOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local window, cost = tonumber(ARGV[1]), tonumber(ARGV[2])
local admitted, answer = 1, {}
for i, key in ipairs(KEYS) do
    local limit = tonumber(ARGV[2 + i])
    local oldest = redis.call('LINDEX', key, -1)
    while oldest and math.abs(now - oldest) >= window do
        redis.call('RPOP', key)
        oldest = redis.call('LINDEX', key, -1)
    end
    local used, wait = redis.call('LLEN', key), 0
    if used + cost > limit then
        admitted = 0
        local leaves = redis.call('LINDEX', key, limit - cost - used)
        wait = leaves and limit > 0 and leaves + window - now or window
    end
    answer[i] = {used, oldest and oldest + window - now or window, wait}
end
if admitted == 1 then
    for i, key in ipairs(KEYS) do
        for _ = 1, cost do
            redis.call('LPUSH', key, string.format('%.0f', now))
        end
        redis.call('PEXPIRE', key, math.ceil(window / 1000))
    end
end
return {string.format('%.0f', now), admitted, answer}
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """name  as in the headers; scope "tenant" or "key"; quota requests in any WINDOW seconds"""

    name: str
    scope: str
    quota: int


@dataclass(frozen=True, slots=True)
class Count:
    """Where a limit stands: `left` requests now, one more in `resets_in` seconds.

    wait  seconds after which the refused request would pass; 0 if this limit let it pass
    """

    limit: Limit
    left: int
    resets_in: int
    wait: int = 0


def admit(tenant_id: UUID, client_id: str, limits: Limits, kind: RouteClass) -> dict[str, str]:
    """Counts one request, and returns the headers that tell the caller where it stands.

    Raises RateLimited (429); then it was counted nowhere.
    """
    applying = applying_limits(limits, kind)
    try:
        counts = look(tenant_id, client_id, applying, cost=1)
    except RedisAway:
        if kind is RouteClass.READ:
            return _headers(applying, ())
        counts = [_count_in_postgresql(tenant_id, kind, applying[0])]
    return _admitted(applying, counts)


async def admit_on_loop(
    tenant_id: UUID, client_id: str, limits: Limits, kind: RouteClass
) -> dict[str, str] | None:
    """As `admit`; None, and nothing is counted, where Redis is away."""
    if time.monotonic() < _redis_away_until:
        return None
    applying = applying_limits(limits, kind)
    keys = [_key(tenant_id, client_id, limit) for limit in applying]
    asked = [WINDOW * 1_000_000, 1, *(limit.quota for limit in applying)]
    try:
        _, admitted, answers = await loop.run_script(_script(), keys, asked)
    except RedisError as error:
        _redis_away(error)
        return None
    return _admitted(applying, _counts(applying, admitted, answers))


def _admitted(applying: list[Limit], counts: list[Count]) -> dict[str, str]:
    headers = _headers(applying, counts)
    longest = max(counts, key=lambda count: count.wait)
    if longest.wait:
        raise _refusal(longest, headers)
    return headers


def applying_limits(limits: Limits, kind: RouteClass) -> list[Limit]:
    """The tenant's limit, and the key's own if it has one."""
    applying = [Limit(kind.value, "tenant", limits.per_minute[kind])]
    if limits.per_key is not None:
        applying.append(Limit(f"{kind.value}-key", "key", limits.per_key))
    return applying


class RedisAway(Exception):
    """Redis does not answer, or did not within the last second."""


def look(tenant_id: UUID, client_id: str, limits: list[Limit], *, cost: int = 0) -> list[Count]:
    """Where the limits stand, after counting `cost` requests if all of them have room for that.

    Raises RedisAway.
    """
    keys = [_key(tenant_id, client_id, limit) for limit in limits]
    _, admitted, answers = sliding_window(keys, [limit.quota for limit in limits], cost, WINDOW)
    return _counts(limits, cost if admitted else 0, answers)


def _counts(limits: list[Limit], passed: int, answers: list[tuple[int, int, int]]) -> list[Count]:
    return [
        Count(limit, max(limit.quota - used - passed, 0), _seconds(reset), _seconds(wait))
        for limit, (used, reset, wait) in zip(limits, answers, strict=True)
    ]


def sliding_window(
    keys: list[str], quotas: list[int], cost: int, window: float
) -> tuple[int, bool, list[tuple[int, int, int]]]:
    """One round trip: the time (microseconds), whether it passed, and (used before, microseconds
    until the oldest leaves, microseconds until it would pass) for each key. Raises RedisAway."""
    if time.monotonic() < _redis_away_until:
        raise RedisAway
    try:
        now, admitted, answers = _script()(keys, [round(window * 1_000_000), cost, *quotas])
    except RedisError as error:
        _redis_away(error)
        raise RedisAway from error
    return int(now), bool(admitted), [(used, reset, wait) for used, reset, wait in answers]


def _redis_away(error: RedisError) -> None:
    global _redis_away_until
    _redis_away_until = time.monotonic() + RETRY_REDIS_AFTER
    logger.warning("rate_limits_degraded", extra={"reason": str(error)})


@cache
def _script() -> Script:
    return connected(TIMEOUT).register_script(SLIDING_WINDOW)


def _key(tenant_id: UUID, client_id: str, limit: Limit) -> str:
    """In braces what keeps a tenant's keys together in a cluster."""
    holder = f":{client_id}" if limit.scope == "key" else ""
    return f"guidepost:rate:{{{tenant_id}}}:{limit.name}{holder}"


def _seconds(microseconds: int) -> int:
    """Up: whoever waits as long as we say has waited long enough."""
    return math.ceil(microseconds / 1_000_000)


# Source: draft-ietf-httpapi-ratelimit-headers, structured fields; `t` is when more will be left.
def _headers(limits: Iterable[Limit], counts: Iterable[Count]) -> dict[str, str]:
    policy = (f'"{limit.name}";q={limit.quota};w={WINDOW}' for limit in limits)
    left = [f'"{c.limit.name}";r={c.left};t={c.resets_in}' for c in counts]
    headers = {"RateLimit-Policy": ", ".join(policy)}
    return headers | {"RateLimit": ", ".join(left)} if left else headers


def _refusal(count: Count, headers: dict[str, str]) -> RateLimited:
    limit = count.limit
    whose = "this API key" if limit.scope == "key" else "your tenant, all its callers together"
    return RateLimited(
        f"The limit `{limit.name}` allows {limit.quota:,} requests in any {WINDOW} s, for {whose},"
        f" and is used up. Try again in {count.wait} s.",
        headers={**headers, "Retry-After": str(count.wait)},
        limit=limit.name,
        scope=limit.scope,
        allowed=limit.quota,
        window_seconds=WINDOW,
        retry_after_seconds=count.wait,
    )


# --- Behind a token, without Redis ----------------------------------------------------------

# A full bucket and what flows into it in 60 s are together what the plan allows: half and half.
TAKE = """
INSERT INTO tenants_ratebucket AS bucket (tenant_id, route_class, tokens, refilled_at)
VALUES (%(tenant)s, %(kind)s, %(size)s - 1, clock_timestamp())
ON CONFLICT (tenant_id, route_class) DO UPDATE SET
    tokens = least(%(size)s, bucket.tokens
        + extract(epoch FROM clock_timestamp() - bucket.refilled_at) * %(per_second)s) - 1,
    refilled_at = clock_timestamp()
WHERE least(%(size)s, bucket.tokens
    + extract(epoch FROM clock_timestamp() - bucket.refilled_at) * %(per_second)s) >= 1
RETURNING tokens
"""
UNTIL_ONE = """
SELECT (1 - tokens) / %(per_second)s - extract(epoch FROM clock_timestamp() - refilled_at)
FROM tenants_ratebucket WHERE tenant_id = %(tenant)s AND route_class = %(kind)s
"""


def _count_in_postgresql(tenant_id: UUID, kind: RouteClass, limit: Limit) -> Count:
    size = max(1, limit.quota // 2)
    each = WINDOW / size  # seconds
    parameters: dict[str, Any] = {
        "tenant": tenant_id,
        "kind": kind.value,
        "size": float(size),
        "per_second": 1 / each,
    }
    with acting_as(DatabaseRole.API, tenant_id), connection.cursor() as cursor:
        cursor.execute(TAKE, parameters)
        if row := cursor.fetchone():
            return Count(limit, math.floor(row[0]), math.ceil(each))
        cursor.execute(UNTIL_ONE, parameters)
        wait = max(1, math.ceil(cursor.fetchone()[0]))
    return Count(limit, 0, wait, wait)


# --- Before there is a token ----------------------------------------------------------------


def count(request: HttpRequest, *, limit: str, rate: str, key: str) -> None:
    """Counts one request of `key` against `rate`, such as "600/m", in fixed windows.

    limit  its public name, said in the refusal
    Raises RateLimited (429, with Retry-After) once the window is full, or LimiterUnavailable
    (503) while Redis is away: nobody may try secrets uncounted.
    """
    if time.monotonic() < _redis_away_until:
        raise _no_counter()
    try:
        usage = get_usage(
            request, group=limit, key=lambda group, request: key, rate=rate, increment=True
        )
    except RedisError as error:
        _redis_away(error)
        raise _no_counter() from error
    if usage and usage["should_limit"]:
        seconds = max(1, usage["time_left"])
        raise RateLimited(
            f"The limit `{limit}` allows {_in_words(rate)} and is used up."
            f" Try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
            limit=limit,
            rate=rate,
            retry_after_seconds=seconds,
        )


def count_invitation(request: HttpRequest, tenant_id: UUID) -> None:
    """Counts one mail to a stranger, whichever door asks for it. Raises as `count` does."""
    rate = settings.INVITATION_RATE
    count(request, limit="invitations_per_tenant", rate=rate, key=str(tenant_id))


PERIODS = {"s": "second", "m": "minute", "h": "hour", "d": "day"}


def _in_words(rate: str) -> str:
    """What "60/m" says: 60 per minute. "60/5m" is 60 in 5 minutes, "60/30" 60 in 30 seconds."""
    allowed, _, period = rate.partition("/")
    number = period.rstrip("smhd")
    name = PERIODS[period[len(number) :] or "s"]
    return f"{allowed} per {name}" if number in ("", "1") else f"{allowed} in {number} {name}s"


def _no_counter() -> LimiterUnavailable:
    return LimiterUnavailable(headers={"Retry-After": "5"})
