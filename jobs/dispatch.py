"""Wake-ups to the broker, and word of jobs that have changed; no other module sends a task.

A wake-up carries no job: it says that there may be work. Losing one loses nothing, since the
pump sends another within seconds. So nobody waits for Redis: a thread sends what has come
together since it last looked as one, and forgets what it could not send: each job that starts
wakes another worker.

Word of a change names jobs and says nothing of them: whoever listens (jobs/live.py) looks at the
row, in its own tenant's name. What was lost is seen at the next heartbeat.
"""

import logging
import threading
import time
from collections.abc import Iterable
from functools import cache, partial
from typing import NamedTuple
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu import Connection
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from config.redis import connected

logger = logging.getLogger(__name__)


class WakeUp(NamedTuple):
    task: str
    queue: str


RUN = WakeUp("jobs.tasks.process_guideline_job", "jobs")
READ = WakeUp("jobs.tasks.read_document", "documents")
# More are never useful together: who finds work wakes the next worker.
AT_ONCE = 64  # documents, of which a wake-up reads one
SHIFTS = 4  # of jobs, each of which finds as many as there is room for
SOCKET_TIMEOUT = 0.2  # seconds


PAUSE = 0.02  # seconds between two wake-ups of a kind: to send one costs as much as a job's query


class Publisher:
    """Sends from a thread of its own, over connections of its own: the first at once, what is
    asked for in the moment after it as one."""

    def __init__(self) -> None:
        self._wanted: set[WakeUp] = set()
        self._changed: set[UUID] = set()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None

    def wake(self, kind: WakeUp = RUN) -> None:
        """Asks for a wake-up and returns at once."""
        with self._condition:
            self._wanted.add(kind)
            self._go()

    def tell(self, event_ids: Iterable[UUID]) -> None:
        """Asks that whoever listens to these jobs be told, and returns at once."""
        with self._condition:
            self._changed.update(event_ids)
            self._go()

    def _go(self) -> None:
        if self._thread is None:  # not at import: a process may fork before it publishes
            self._thread = threading.Thread(target=self._run, name="wake-ups", daemon=True)
            self._thread.start()
        self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._wanted or self._changed)
                wanted, self._wanted = self._wanted, set()
                changed, self._changed = self._changed, set()
            try:
                for kind in wanted:
                    publish(1, kind)
                if changed:
                    _redis().publish(channel(), ",".join(map(str, changed)))
            except (OperationalError, RedisError, OSError) as error:
                logger.warning("wake_up_not_sent", extra={"reason": str(error)})
            time.sleep(PAUSE)


_connection: Connection | None = None


def publish(count: int, kind: WakeUp = RUN) -> None:
    """Sends wake-ups now. Raises kombu's OperationalError, RedisError or OSError."""
    global _connection
    if _connection is None:
        timeouts = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), SOCKET_TIMEOUT)
        _connection = current_app.connection_for_write(
            transport_options=settings.CELERY_BROKER_TRANSPORT_OPTIONS | timeouts
        )
    try:
        for _ in range(count):
            current_app.send_task(kind.task, queue=kind.queue, connection=_connection, retry=False)
    except BaseException:
        _connection.release()
        _connection = None
        raise


def channel() -> str:
    """On which changes are told: event_ids, with commas between them."""
    return str(settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]) + "changed"


@cache
def _redis() -> Redis:
    return connected(SOCKET_TIMEOUT)


def waiting_wake_ups(kind: WakeUp = RUN) -> int:
    """Wake-ups in the queue. Raises RedisError."""
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]
    with Redis.from_url(settings.REDIS_URL, socket_timeout=1) as client:
        return int(client.llen(prefix + kind.queue))


_publisher = Publisher()


def wake_worker() -> None:
    """One worker should look for work soon."""
    _publisher.wake()


def wake_reader() -> None:
    """One reader should look for documents soon."""
    _publisher.wake(READ)


def changed(*event_ids: UUID) -> None:
    """Whoever listens to these jobs should look at them, once what was written is committed."""
    transaction.on_commit(partial(_publisher.tell, event_ids))
