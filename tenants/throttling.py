"""Rate limits: counted by django-ratelimit in Redis, keyed on whom we know the caller to be.

It counts in fixed windows and answers 500 when its cache is away, so it stands behind this
module: while Redis is away requests pass (a limit is no reason to refuse a job), and after a
failure nobody waits for Redis again for a second.
"""

import logging
import time

from django.http import HttpRequest
from django_ratelimit.core import get_usage
from redis.exceptions import RedisError

from config.errors import DomainError

logger = logging.getLogger(__name__)

RETRY_REDIS_AFTER = 1.0  # seconds
_redis_away_until = 0.0


class RateLimited(DomainError):
    code = "rate_limited"
    title = "Too many requests"
    status = 429


def count(request: HttpRequest, *, limit: str, rate: str, key: str) -> None:
    """Counts one request of `key` against `rate`, such as "600/m".

    limit  its public name, said in the refusal
    Raises RateLimited (429, with Retry-After) once the window is full.
    """
    global _redis_away_until
    if time.monotonic() < _redis_away_until:
        return
    try:
        usage = get_usage(
            request, group=limit, key=lambda group, request: key, rate=rate, increment=True
        )
    except RedisError as error:
        _redis_away_until = time.monotonic() + RETRY_REDIS_AFTER
        logger.warning("rate_limits_suspended", extra={"reason": str(error)})
        return
    if usage and usage["should_limit"]:
        seconds = max(1, usage["time_left"])
        raise RateLimited(
            f"The limit `{limit}` allows {rate.replace('/', ' per ')} and is used up."
            f" Try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
            limit=limit,
            rate=rate,
            retry_after_seconds=seconds,
        )
