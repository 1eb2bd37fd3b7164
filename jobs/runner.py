"""Runs one claimed job: the two steps of the chain, with nothing open while a model thinks."""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any

from django.conf import settings
from django.db import connection

from config.failpoints import failpoint
from jobs import breaker, dispatch, retries, services
from jobs.claims import Claim
from jobs.errors import BudgetExhausted
from jobs.leases import RENEWALS_PER_LEASE, keeper
from jobs.ledger import RecordedCalls
from jobs.model_loop import model_loop
from jobs.models import Job, Step
from jobs.options import current_prompts, resolve
from jobs.persistence import LeaseLost, persistently
from jobs.retries import Verdict
from llm.chain import Policy, StepResult, build_result, generate_checklist, summarize_guidelines
from llm.client import Completer
from llm.errors import LLMError, TimedOut, Unavailable

logger = logging.getLogger(__name__)

_stopping = threading.Event()


class Stopping(Exception):
    """This process was asked to stop: its jobs go back to the queue."""


def stop() -> None:
    """The process is about to end: no job is claimed any more, and those held are handed back."""
    _stopping.set()
    keeper.release_all()


def stand_in_for_pump() -> None:
    """Does the pump's most urgent work, now and then, until this process is asked to stop."""
    while not _stopping.wait(settings.JOB_LEASE.total_seconds() / RENEWALS_PER_LEASE):
        try:
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
            _work(claim, calls)
        except LeaseLost:
            logger.warning("stale_write_refused", extra={"event_id": claim.event_id})
            _leave_trial(claim)
        except Stopping:
            _settle(claim, lambda: services.hand_back(claim))
            _leave_trial(claim)
        except Exception as error:
            _fail(claim, error)
    dispatch.wake_worker()  # the slot, and the tenant's share, are free for the next
    return str(claim.event_id)


def _fail(claim: Claim, error: Exception) -> None:
    if isinstance(error, BudgetExhausted):
        _leave_trial(claim)
    elif not isinstance(error, LLMError):
        # Where, not what: its words may be the guideline's. The attempt keeps them, sealed.
        where = "".join(traceback.format_tb(error.__traceback__))
        fields = {"event_id": claim.event_id, "kind": type(error).__name__, "where": where}
        logger.error("job_crashed", extra=fields)
    decision = retries.decide(
        error,
        failures=claim.failures,
        attempt=claim.attempt,
        seconds_left=claim.seconds_left,
    )
    if decision.verdict is Verdict.WHEN_MENDED:
        persistently(lambda: breaker.hold_open(decision.code))
    elif isinstance(error, Unavailable | TimedOut):
        persistently(lambda: breaker.failed(decision.code))
    elif isinstance(error, LLMError):
        persistently(breaker.succeeded)  # a bad answer is an answer: the provider is there
    _settle(claim, lambda: services.fail_attempt(claim, error, decision))


def _leave_trial(claim: Claim) -> None:
    """The one job that tried the provider ended without an answer: another may try at once."""
    if claim.probing:
        persistently(breaker.give_up_probe)


def _settle(claim: Claim, write: Callable[[], None]) -> None:
    try:
        persistently(write)
    except LeaseLost:
        logger.warning("stale_write_refused", extra={"event_id": claim.event_id})


def _work(claim: Claim, calls: "ModelCalls") -> None:
    job = persistently(
        lambda: Job.objects.for_tenant(claim.tenant_id).select_related("document").get(pk=claim.id)
    )
    # A job that the previous version submitted says less.
    options, prompts = resolve(job.options), current_prompts() | job.prompts
    source = job.document.text or ""
    summary = job.summary or _summarize(claim, calls, source, prompts)
    step = calls.run(
        lambda client: generate_checklist(
            client,
            source,
            summary["value"],
            deadline=_deadline(),
            request_label=_label(claim, Step.CHECKLIST),
            version=prompts["checklist"],
        )
    )
    provenance = {
        "app_version": settings.APP_VERSION,
        "steps": {Step.SUMMARIZE: summary["provenance"], Step.CHECKLIST: step.provenance},
    }
    policy: Policy = "drop" if options["on_doubt"] == "drop" else "flag"
    result = build_result(
        source,
        summary["value"],
        step.value,
        provenance,
        policy=policy,
        report=options["report"],
    )
    failpoint("before_result_commit")
    persistently(lambda: services.complete_job(claim, result, step.usage))
    failpoint("after_result_commit")


def _summarize(
    claim: Claim, calls: "ModelCalls", source: str, prompts: dict[str, int]
) -> dict[str, Any]:
    step = calls.run(
        lambda client: summarize_guidelines(
            client,
            source,
            deadline=_deadline(),
            request_label=_label(claim, Step.SUMMARIZE),
            version=prompts["summarize"],
        )
    )
    summary = {"value": step.value, "usage": step.usage, "provenance": step.provenance}
    failpoint("before_summary_commit")
    persistently(lambda: services.save_summary(claim, summary))
    failpoint("after_summary_commit")
    return summary


def _deadline() -> float:
    return time.monotonic() + settings.JOB_STEP_TIMEOUT.total_seconds()


def _label(claim: Claim, step: Step) -> str:
    """Finds our call in the provider's log: which job, which attempt, which step."""
    return f"{claim.event_id}.{claim.attempt}.{step}"


class ModelCalls:
    """The model calls of one job, which another thread may stop."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._lock = threading.Lock()
        self._stopped = False
        self._running: Future[StepResult] | None = None

    def run(self, step: Callable[[Completer], Coroutine[Any, Any, StepResult]]) -> StepResult:
        """The step's result. Raises LeaseLost or Stopping once stopped, or what the chain
        raises."""
        connection.close()  # back to the pool: models think for seconds
        with self._lock:
            # The process may have been asked to stop between the claim and now.
            self._stopped = self._stopped or _stopping.is_set()
            if not self._stopped:
                self._running = model_loop().start(
                    lambda client: step(RecordedCalls(client, self._claim))
                )
        try:
            result = None if self._stopped or self._running is None else self._running.result()
        except CancelledError:
            result = None
        if result is None:
            raise Stopping if _stopping.is_set() else LeaseLost
        persistently(breaker.succeeded)
        return result

    def stop(self) -> None:
        """Closes the HTTP requests under way; no further call starts."""
        with self._lock:
            self._stopped = True
            if self._running is not None:
                self._running.cancel()
