"""Runs claimed jobs and settles what becomes of each; another thread may stop its calls.

A job is a coroutine on the loop that all jobs of the process share (jobs/model_loop.py). A wake-up
stands for a slot: it carries jobs, one after another, until none may start.
"""

import asyncio
import logging
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

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

# A wake-up ends after its first job that ends later than this: what it carried is on record then.
SHIFT_SECONDS = 10.0

_stopping = threading.Event()


class Stopping(Exception):
    """This process was asked to stop: its jobs go back to the queue."""


def stop() -> None:
    """The process is about to end: no job is claimed any more, and those held are handed back."""
    _stopping.set()
    keeper.release_all()


def stand_in_for_pump(worker: str) -> None:
    """Does the pump's most urgent work, now and then, until this process is asked to stop."""
    pause, starts = 0.0, True
    while not _stopping.wait(pause):
        pause = settings.JOB_LEASE.total_seconds() / RENEWALS_PER_LEASE
        try:
            workers.seen(worker, starts=starts)
            starts = False
            services.stand_in_for_pump()
        except Exception as error:  # whatever it is: the next time may be better
            logger.warning("pump_not_stood_in_for", extra={"reason": repr(error)})
        finally:
            connection.close()  # back to the pool


def run_next_job(worker: str) -> str | None:
    """Claims the job that should run next and works on it; its event_id, or None if none may.

    However it ends is written to the job: nothing is raised for a job that fails.
    """
    return model_loop().start(_run_next_job(worker)).result()


def carry_jobs(worker: str) -> list[str]:
    """Runs jobs one after another until none may start, or for SHIFT_SECONDS; their event_ids.

    The calling thread only waits: its job is one of many on the process's loop.
    """
    return model_loop().start(_carry_jobs(worker)).result()


async def _carry_jobs(worker: str) -> list[str]:
    until, carried = time.monotonic() + SHIFT_SECONDS, list[str]()
    # Who goes on to the next job by itself wakes nobody: so a job costs no wake-up.
    while event_id := await _run_next_job(worker, wake=not carried):
        carried.append(event_id)
        if time.monotonic() > until:
            dispatch.wake_worker()  # in place of this one
            break
    return carried


async def _run_next_job(worker: str, *, wake: bool = True) -> str | None:
    if _stopping.is_set():
        return None
    claim = await in_thread(lambda: services.start_next_job(worker, wake=wake))
    if claim is None:
        return None
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
    return str(claim.event_id)


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
