"""A worker's side of a lease: renewed from a thread of its own while the work goes on."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection

from config import alive
from config.failpoints import failpoint
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

    def release_all(self) -> None:
        """Tells every holder that it has to stop; their leases are renewed until they let go."""
        with self._lock:
            holders = [on_lost for _, on_lost in self._held.values()]
        for on_lost in holders:
            on_lost()

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
        renewed = self._renewed(list(held))
        if renewed is not None:
            alive.touch()
        lease = settings.JOB_LEASE.total_seconds()
        for claim, (confirmed_at, on_lost) in held.items():
            if renewed is not None and claim.id in renewed:
                self._confirm(claim, asked_at, on_lost)
            elif renewed is not None or asked_at - confirmed_at > lease:
                self._lose(claim, on_lost)

    def _renewed(self, held: list[Claim]) -> set[int] | None:
        """The ids of the leases that were extended; None if PostgreSQL did not answer."""
        try:
            failpoint("heartbeat")
            return claims.renew(held, settings.JOB_LEASE)
        except Exception as error:  # whatever it is: without this thread every lease would be lost
            logger.warning("lease_renewal_failed", extra={"reason": repr(error)})
            return None
        finally:
            connection.close()  # back to the pool

    def _confirm(self, claim: Claim, at: float, on_lost: Callable[[], None]) -> None:
        with self._lock:
            if claim in self._held:  # it may have ended while we asked
                self._held[claim] = (at, on_lost)

    def _lose(self, claim: Claim, on_lost: Callable[[], None]) -> None:
        with self._lock:
            lost = self._held.pop(claim, None) is not None
        if lost:
            fields = {"event_id": claim.event_id, "attempt": claim.attempt}
            logger.warning("lease_lost", extra=fields)
            on_lost()


keeper = LeaseKeeper()
