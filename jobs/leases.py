"""A worker's side of a lease: renewed from a thread of its own while the work goes on."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection

from jobs import claims
from jobs.claims import Claim

logger = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 4


class LeaseKeeper:
    """Renews every lease that this process holds, all in one statement.

    A lease that cannot be renewed is lost: the job was cancelled or given to somebody else, or
    PostgreSQL has not answered for a whole lease (by the monotonic clock, since a worker that
    was paused cannot know better). Its holder is told at once.
    """

    def __init__(self) -> None:
        self._held: dict[Claim, tuple[float, Callable[[], None]]] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(self, claim: Claim, on_lost: Callable[[], None]) -> Iterator[None]:
        """Keeps the lease while the block runs; calls `on_lost`, from another thread, if it
        cannot."""
        with self._lock:
            self._held[claim] = (time.monotonic(), on_lost)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()
        self._wake.set()
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(claim, None)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(settings.JOB_LEASE.total_seconds() / RENEWALS_PER_LEASE)
            with self._lock:
                held = dict(self._held)
                if not held:
                    self._wake.clear()
            if held:
                self._renew(held)

    def _renew(self, held: dict[Claim, tuple[float, Callable[[], None]]]) -> None:
        asked_at = time.monotonic()
        try:
            renewed = claims.renew(list(held), settings.JOB_LEASE)
        except DatabaseError as error:
            logger.warning("lease_renewal_failed", extra={"reason": str(error)})
            lease = settings.JOB_LEASE.total_seconds()
            renewed = {c.id for c, (since, _) in held.items() if asked_at - since < lease}
            asked_at = 0.0  # nothing was confirmed
        finally:
            connection.close()  # back to the pool
        for claim, (_, on_lost) in held.items():
            self._settle(claim, on_lost, asked_at if claim.id in renewed else None)

    def _settle(self, claim: Claim, on_lost: Callable[[], None], renewed_at: float | None) -> None:
        with self._lock:
            if claim not in self._held:
                return  # it ended while we asked
            if renewed_at is None:
                del self._held[claim]
            elif renewed_at:
                self._held[claim] = (renewed_at, on_lost)
        if renewed_at is None:
            logger.warning(
                "lease_lost", extra={"event_id": claim.event_id, "attempt": claim.attempt}
            )
            on_lost()


keeper = LeaseKeeper()
