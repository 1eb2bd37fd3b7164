"""Connections to Redis that wait for so long and no longer, in threads and on the event loop."""

from typing import Any

from django.conf import settings
from redis import Redis, asyncio
from redis.asyncio.retry import Retry as RetryOnLoop
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.retry import Retry

# One try more, at once: a connection that an idle or restarted server closed is no outage.
ONCE_MORE: dict[str, Any] = {
    "backoff": NoBackoff(),
    "retries": 1,
    "supported_errors": (ConnectionLost,),
}


def connected(seconds: float) -> Redis:
    """seconds  for a connection, and for each answer"""
    return Redis.from_url(settings.REDIS_URL, **_within(seconds), retry=Retry(**ONCE_MORE))


def connected_on_loop(seconds: float) -> asyncio.Redis:
    client: asyncio.Redis = asyncio.Redis.from_url(
        settings.REDIS_URL, **_within(seconds), retry=RetryOnLoop(**ONCE_MORE)
    )
    return client


def _within(seconds: float) -> dict[str, Any]:
    return {"socket_timeout": seconds, "socket_connect_timeout": seconds}
