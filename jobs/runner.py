"""Runs claimed jobs and settles what becomes of each; another thread may stop its calls.

A job is a coroutine on the loop that all jobs of the process share (jobs/model_loop.py). A wake-up
begins a shift, which starts jobs for as long as the process has room and one may start.
"""

import asyncio
import logging
import math
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, cast

from django.conf import settings
from django.db import connection

from jobs import dispatch, services, workers
from jobs.claims import Claim
from jobs.errors import BudgetExhausted
from jobs.leases import RENEWALS_PER_LEASE, keeper
from jobs.model_choice import ChosenModels, Circuits
from jobs.model_loop import model_loop
from jobs.persistence import LeaseLost
from jobs.progress import ProgressWriter
from jobs.threads import in_thread
from jobs.work import Work, decide
from llm.calls import StepResult
from llm.completer import Completer
from llm.errors import LLMError

logger = logging.getLogger(__name__)

# A shift starts nothing after this: once all that it carried has ended, that is on record.
SHIFT_SECONDS = 10.0
# Between two wake-ups of a shift that goes on finding jobs: other processes may help.
WAKE_SECONDS = 1.0

_stopping = threading.Event()


class Stopping(Exception):
    """This process was asked to stop: its jobs go back to the queue."""


def stop() -> None:
    """The process is about to end: no job is claimed any more, and those held are handed back."""
    _stopping.set()
    keeper.release_all()


def stand_in_for_pump(worker: str) -> None:
    """Does the pump's most urgent work, now and then, until this process is asked to stop."""
    # No use to hurry more than who is stood in for, however short leases are.
    often = max(settings.JOB_LEASE.total_seconds() / RENEWALS_PER_LEASE, 2 * settings.PUMP_SECONDS)
    pause, starts = 0.0, True
    while not _stopping.wait(pause):
        pause = often
        try:
            workers.seen(worker, starts=starts)
            starts = False
            services.stand_in_for_pump()
        except Exception as error:  # whatever it is: the next time may be better
            logger.warning("pump_not_stood_in_for", extra={"reason": repr(error)})
        finally:
            connection.close()  # back to the pool


class Room:
    """For how many more jobs this process has room. For the event loop alone, once it has begun."""

    def __init__(self, jobs: int = 200) -> None:
        self.left = jobs


room = Room()


def run_next_job(worker: str) -> str | None:
    """Claims the job that should run next and works on it; its event_id, or None if none may.

    However it ends is written to the job: nothing is raised for a job that fails.
    """
    return model_loop().start(_run_next_job(worker)).result()


def carry_jobs(worker: str) -> list[str]:
    """Starts jobs while there is room and one may start, and again whenever one of them ends, for
    SHIFT_SECONDS; the event_ids of all, once they have ended. None while another call does so:
    that one looks again.

    The calling thread only waits: its jobs are some of many on the process's loop.
    """
    return model_loop().start(_carry_jobs(worker)).result()


async def _carry_jobs(worker: str) -> list[str]:
    global _shift
    if _shift is not None and _shift.is_on:
        _shift.look()
        return []
    mine = _shift = Shift(worker)
    try:
        await mine.carry()
    finally:
        if _shift is mine:
            _shift = None
    return mine.carried


class Shift:
    """Finds jobs for this process. For its event loop, where one is on at a time.

    carried  the event_ids of all that it has started
    """

    def __init__(self, worker: str) -> None:
        self.carried: list[str] = []
        self._worker = worker
        self._until = time.monotonic() + SHIFT_SECONDS
        self._woke_at = float("-inf")
        self._running = set[asyncio.Task[None]]()
        self._may_start = 0.0  # how many jobs, at most, as far as is known here
        self._look = asyncio.Event()

    @property
    def is_on(self) -> bool:
        return time.monotonic() < self._until

    def look(self, jobs: float = math.inf) -> None:
        """There may be so many jobs, or room for so many."""
        self._may_start += jobs
        self._look.set()

    async def carry(self) -> None:
        """Returns once nothing may start and all that it has started has ended. Raises what a
        claim raises, after that too."""
        self.look()
        try:
            while self._look.is_set() or self._running:
                await self._look.wait()
                self._look.clear()
                await self._start_jobs()
        except BaseException:
            self._until = float("-inf")  # it finds nothing more: wake-ups are for another
            raise
        finally:
            if self._running:
                await asyncio.wait(self._running)

    async def _start_jobs(self) -> None:
        # Where one has ended one more may start. To ask for another after that is to hear of none,
        # for as long as the caps of the tenants are what jobs wait for.
        may_start, self._may_start = self._may_start, 0.0
        while may_start and (self.is_on or not self.carried):
            may_start -= 1
            # Who finds work after work wakes others now and then: a job costs no wake-up.
            wake = time.monotonic() - self._woke_at > WAKE_SECONDS
            claim = await _claim_next(self._worker, wake=wake)
            if claim is None:
                return
            if wake:
                self._woke_at = time.monotonic()
            self.carried.append(str(claim.event_id))
            self._running.add(asyncio.create_task(self._run(claim)))
        if may_start:
            _look_elsewhere(self, may_start)

    async def _run(self, claim: Claim) -> None:
        try:
            await _run(claim)
        except Exception as error:  # as when PostgreSQL is away for long: its lease runs out
            fields = {"event_id": claim.event_id, "kind": type(error).__name__}
            logger.error("job_left", extra=fields)
        finally:
            self._running.discard(cast("asyncio.Task[None]", asyncio.current_task()))
            self.look(1)


def _look_elsewhere(over: Shift, jobs: float) -> None:
    """So many may start, but this shift starts nothing more."""
    if _shift is not None and _shift is not over:
        _shift.look(jobs)
    else:
        dispatch.wake_worker()


_shift: Shift | None = None


async def _run_next_job(worker: str) -> str | None:
    claim = await _claim_next(worker, wake=True)
    if claim is None:
        return None
    await _run(claim)
    return str(claim.event_id)


async def _claim_next(worker: str, *, wake: bool) -> Claim | None:
    """A claim, which takes room until it has been run."""
    if _stopping.is_set() or not room.left:
        return None
    claim = None
    room.left -= 1
    try:
        claim = await in_thread(lambda: services.start_next_job(worker, wake=wake))
    finally:
        room.left += claim is None
    return claim


async def _run(claim: Claim) -> None:
    try:
        await _work(claim)
    finally:
        room.left += 1


async def _work(claim: Claim) -> None:
    calls = ModelCalls(claim)
    with keeper.hold(claim, on_lost=calls.stop):
        try:
            await Work(claim, calls).do()
        except LeaseLost:
            logger.warning("stale_write_refused", extra={"event_id": claim.event_id})
        except Stopping:
            await _settle(claim, lambda: services.hand_back(claim))
        except Exception as error:
            await _fail(claim, calls, error)
        if calls.circuits.tries:
            await in_thread(calls.circuits.leave_trials)


async def _fail(claim: Claim, calls: "ModelCalls", error: Exception) -> None:
    if not isinstance(error, LLMError | BudgetExhausted):
        # Where, not what: its words may be the guideline's. The attempt keeps them, sealed.
        where = "".join(traceback.format_tb(error.__traceback__))
        fields = {"event_id": claim.event_id, "kind": type(error).__name__, "where": where}
        logger.error("job_crashed", extra=fields)
    decision = decide(claim, error)
    await in_thread(lambda: calls.circuits.failed(error))
    await _settle(claim, lambda: services.fail_attempt(claim, error, decision))


async def _settle(claim: Claim, write: Callable[[], None]) -> None:
    try:
        await in_thread(write)
    except LeaseLost:
        logger.warning("stale_write_refused", extra={"event_id": claim.event_id})


class ModelCalls:
    """The model calls of one job, which another thread may stop."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self.circuits = Circuits([claim.probing] if claim.probing else [])
        self._stopped = False
        self._running: asyncio.Task[StepResult] | None = None

    async def run(
        self,
        models: list[str],
        step: Callable[[Completer], Coroutine[Any, Any, StepResult]],
        progress: ProgressWriter,
    ) -> StepResult:
        """The step's result. Raises LeaseLost or Stopping once stopped, or what the chain raises.

        models  that it may ask, in order
        """
        # The process may have been asked to stop between the claim and now.
        if self._stopped or _stopping.is_set():
            raise _why_stopped()
        clients = model_loop().clients
        chosen = ChosenModels(clients, self._claim, models, self.circuits, progress)
        self._running = asyncio.ensure_future(step(chosen))
        await asyncio.wait([self._running])
        if self._running.cancelled():
            raise _why_stopped()
        result = self._running.result()
        chosen.succeeded()
        return replace(result, provenance=result.provenance | chosen.provenance)

    def stop(self) -> None:
        """Closes the HTTP requests under way; no further call starts."""
        model_loop().call(self._stop)

    def _stop(self) -> None:
        self._stopped = True
        if self._running is not None:
            self._running.cancel()


def _why_stopped() -> Stopping | LeaseLost:
    return Stopping() if _stopping.is_set() else LeaseLost()
