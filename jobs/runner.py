"""Runs one claimed job and settles what becomes of it; another thread may stop its calls."""

import logging
import threading
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
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
from jobs.persistence import LeaseLost, persistently
from jobs.work import Work, decide
from llm.calls import StepResult
from llm.client import Completer
from llm.errors import LLMError

logger = logging.getLogger(__name__)

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
    if _stopping.is_set():
        return None
    claim = services.start_next_job(worker)
    if claim is None:
        return None
    calls = ModelCalls(claim)
    with keeper.hold(claim, on_lost=calls.stop):
        try:
            Work(claim, calls).do()
        except LeaseLost:
            logger.warning("stale_write_refused", extra={"event_id": claim.event_id})
        except Stopping:
            _settle(claim, lambda: services.hand_back(claim))
        except Exception as error:
            _fail(claim, calls, error)
        persistently(calls.circuits.leave_trials)
    dispatch.wake_worker()  # the slot, and the tenant's share, are free for the next
    return str(claim.event_id)


def _fail(claim: Claim, calls: "ModelCalls", error: Exception) -> None:
    if not isinstance(error, LLMError | BudgetExhausted):
        # Where, not what: its words may be the guideline's. The attempt keeps them, sealed.
        where = "".join(traceback.format_tb(error.__traceback__))
        fields = {"event_id": claim.event_id, "kind": type(error).__name__, "where": where}
        logger.error("job_crashed", extra=fields)
    decision = decide(claim, error)
    persistently(lambda: calls.circuits.failed(error))
    _settle(claim, lambda: services.fail_attempt(claim, error, decision))


def _settle(claim: Claim, write: Callable[[], None]) -> None:
    try:
        persistently(write)
    except LeaseLost:
        logger.warning("stale_write_refused", extra={"event_id": claim.event_id})


class ModelCalls:
    """The model calls of one job, which another thread may stop."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self.circuits = Circuits([claim.probing] if claim.probing else [])
        self._lock = threading.Lock()
        self._stopped = False
        self._running: Future[StepResult] | None = None

    def run(
        self, models: list[str], step: Callable[[Completer], Coroutine[Any, Any, StepResult]]
    ) -> StepResult:
        """The step's result. Raises LeaseLost or Stopping once stopped, or what the chain raises.

        models  that it may ask, in order
        """
        connection.close()  # back to the pool: models think for seconds
        loop = model_loop()
        chosen = ChosenModels(loop.clients, self._claim, models, self.circuits)
        with self._lock:
            # The process may have been asked to stop between the claim and now.
            self._stopped = self._stopped or _stopping.is_set()
            if not self._stopped:
                self._running = loop.start(step(chosen))
        try:
            result = None if self._stopped or self._running is None else self._running.result()
        except CancelledError:
            result = None
        if result is None:
            raise Stopping if _stopping.is_set() else LeaseLost
        persistently(chosen.succeeded)
        return replace(result, provenance=result.provenance | chosen.provenance)

    def stop(self) -> None:
        """Closes the HTTP requests under way; no further call starts."""
        with self._lock:
            self._stopped = True
            if self._running is not None:
                self._running.cancel()
