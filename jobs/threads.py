"""Where a worker's coroutines leave the event loop: for PostgreSQL, and to compute.

All jobs of a process share one loop, so nothing on it may wait or compute for long.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from django.db import connection

from jobs.persistence import persistently

T = TypeVar("T")

# Each statement is short, and most of it is the wait for a disk: more than there are processors.
DATABASE_THREADS = 8
IDLE_SECONDS = 1.0  # then a thread's connection goes back to the pool


class DatabaseThreads:
    """A few threads, each with a connection that it keeps while there is work.

    To fetch one from the pool for each statement costs as much as the statement.
    """

    def __init__(self, size: int = DATABASE_THREADS) -> None:
        self._size = size
        self._wanted: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._starting = threading.Lock()
        self._started = False

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """`work` is repeated while PostgreSQL is away: see `persistently`."""
        future: Future[T] = Future()
        self._wanted.put((future, work))
        if not self._started:
            self._start()
        return future

    def _start(self) -> None:
        with self._starting:
            if not self._started:
                self._started = True
                for number in range(self._size):
                    name = f"database-{number}"
                    threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while True:
            future, work = self._next()
            if future.set_running_or_notify_cancel():
                _do(future, work)

    def _next(self) -> tuple[Future[Any], Callable[[], Any]]:
        try:
            return self._wanted.get(timeout=IDLE_SECONDS)
        except Empty:
            connection.close()  # back to the pool
            return self._wanted.get()


def _do(future: Future[T], work: Callable[[], T]) -> None:
    try:
        future.set_result(persistently(work))
    except BaseException as error:
        future.set_exception(error)


_database = DatabaseThreads()
# One: more would only share the interpreter's lock with it.
_computing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="computing")


async def in_thread(work: Callable[[], T]) -> T:
    """What `work` returns, from a thread with a connection to the database."""
    return await asyncio.wrap_future(_database.submit(work))


async def computed(work: Callable[[], T]) -> T:
    """What `work` returns, from a thread of its own: calls and renewals go on meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(_computing, work)
