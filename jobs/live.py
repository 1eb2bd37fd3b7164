"""Jobs as they change, for whoever listens on the event loop.

A process has one subscription, on which it hears which jobs have changed (jobs/dispatch.py), and
looks at a job once for all who listen to it. A look that was not asked for comes with each
heartbeat, so that a message that was lost is only late. Nothing piles up for who is slow: what they
get next is how the job stands then.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from redis.exceptions import RedisError

from config import loop
from config.isolation import DatabaseRole
from jobs import dispatch, shown
from jobs.shown import Row

logger = logging.getLogger(__name__)

HEARTBEAT = 15.0  # seconds
AGAIN = 0.5  # seconds until Redis is asked again


class Listener:
    """Gets what each look at the job has shown, of looks that began after it came."""

    def __init__(self) -> None:
        self._seen: asyncio.Queue[Row | Exception | None] = asyncio.Queue(1)

    async def next(self) -> Row | None:
        """The job as it stands, at once when it has changed, else with the next heartbeat. None
        where the tenant has no such job. Raises what the look has raised."""
        seen = await self._seen.get()
        if isinstance(seen, Exception):
            raise seen
        return seen

    def put(self, seen: Row | Exception | None) -> None:
        with contextlib.suppress(asyncio.QueueEmpty):
            self._seen.get_nowait()
        self._seen.put_nowait(seen)


class Watch:
    """A job of a tenant, for all who listen to it."""

    def __init__(self, tenant_id: UUID, event_id: UUID) -> None:
        self._tenant_id, self.event_id = tenant_id, event_id
        self.listeners: set[Listener] = set()
        self._wanted = asyncio.Event()
        self._task = loop.go_on(self._look_again_and_again())

    def look(self) -> None:
        """Soon; as one with all who ask for it until then."""
        self._wanted.set()

    def end(self) -> None:
        self._task.cancel()

    async def _look_again_and_again(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT):
                    await self._wanted.wait()
            self._wanted.clear()
            listeners = list(self.listeners)
            seen = await self._look()
            for listener in listeners:
                listener.put(seen)

    async def _look(self) -> Row | Exception | None:
        try:
            return await find(self._tenant_id, self.event_id)
        except Exception as error:  # is the listeners' to answer for
            return error


async def find(tenant_id: UUID, event_id: UUID) -> Row | None:
    """`shown.find` on the event loop."""
    wanted = shown.asked_for(tenant_id, event_id)
    rows = await loop.rows_in_role(DatabaseRole.API, tenant_id, shown.SHOW, wanted)
    return shown.found(tenant_id, rows)


_watches: dict[tuple[UUID, UUID], Watch] = {}
_hearing: asyncio.Task[None] | None = None


@contextlib.contextmanager
def listening(tenant_id: UUID, event_id: UUID) -> Iterator[Listener]:
    """To a job, whether or not there is one."""
    _hear()
    key, listener = (tenant_id, event_id), Listener()
    watch = _watches.get(key) or _watches.setdefault(key, Watch(*key))
    watch.listeners.add(listener)
    watch.look()
    try:
        yield listener
    finally:
        watch.listeners.discard(listener)
        if not watch.listeners:
            watch.end()
            del _watches[key]


def _hear() -> None:
    global _hearing
    if _hearing is None or _hearing.done():
        _hearing = loop.go_on(_hear_of_changes())


async def _hear_of_changes() -> None:
    while True:
        try:
            async with loop.subscribed(dispatch.channel()) as messages:
                async for message in messages.listen():
                    _heard(message)
        except (RedisError, OSError) as error:
            logger.warning("changes_not_heard", extra={"reason": str(error)})
        await asyncio.sleep(AGAIN)


def _heard(message: dict[str, Any]) -> None:
    begins = message["type"] == "subscribe"  # again, perhaps: nobody knows what was said before
    told = set() if begins else set(map(UUID, message["data"].decode().split(",")))
    for watch in _watches.values():
        if begins or watch.event_id in told:
            watch.look()
