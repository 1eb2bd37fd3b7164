"""How far a step is, written to its job while it runs, so that who polls sees it move."""

import asyncio
import time

from jobs import services
from jobs.claims import Claim
from jobs.threads import in_thread

SECONDS = 1.0  # between two writes


class ProgressWriter:
    """Called by the chain after each reply. The beginning of a step goes with the intent of its
    first call (jobs/ledger.py), then it is written no more than about once a second; the step's
    own checkpoint says that it is over.

    The write is fenced like any other: it raises LeaseLost where the job is somebody else's.
    """

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._last = (0, 0)
        self._beginning: tuple[int, int] | None = None
        self._written_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, done: int, total: int) -> None:
        async with self._one_at_a_time:  # so that no write overtakes a later one
            before, of = self._last
            self._last = (done, total)
            if done < before or total != of:
                self._beginning, self._written_at = (done, total), time.monotonic()
            elif done < total and time.monotonic() - self._written_at > SECONDS:
                await in_thread(lambda: services.save_progress(self._claim, done, total))
                self._written_at = time.monotonic()

    def put_back(self, begun: tuple[int, int] | None) -> None:
        """What was taken was not written."""
        self._beginning = self._beginning or begun

    def take_beginning(self) -> tuple[int, int] | None:
        """Passages done, of how many, for the first call of a step to write."""
        begun, self._beginning = self._beginning, None
        return begun
