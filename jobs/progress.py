"""How far a step is, written to its job while it runs, so that who polls sees it move."""

import asyncio
import time

from jobs import services
from jobs.claims import Claim
from jobs.ledger import in_thread

SECONDS = 1.0  # between two writes


class ProgressWriter:
    """Called by the chain after each reply. Writes the beginning of a step at once, then no more
    than about once a second; the step's own checkpoint says that it is over.

    The write is fenced like any other: it raises LeaseLost where the job is somebody else's.
    """

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._last = (0, 0)
        self._written_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, done: int, total: int) -> None:
        async with self._one_at_a_time:  # so that no write overtakes a later one
            before, of = self._last
            begins = done < before or total != of
            self._last = (done, total)
            if begins or time.monotonic() - self._written_at > SECONDS:
                await in_thread(lambda: services.save_progress(self._claim, done, total))
                self._written_at = time.monotonic()
