"""Runs one claimed job: the steps of the chain, with nothing open while a model thinks."""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from dataclasses import asdict, replace
from typing import Any

from django.conf import settings
from django.db import connection

from config.failpoints import failpoint
from jobs import dispatch, retries, services
from jobs.claims import Claim
from jobs.errors import BudgetExhausted
from jobs.leases import RENEWALS_PER_LEASE, keeper
from jobs.model_choice import ChosenModels, Circuits
from jobs.model_loop import CALL_SECONDS, model_loop
from jobs.models import Job, Step
from jobs.options import current_prompts, models_of, resolve
from jobs.persistence import LeaseLost, persistently
from jobs.progress import ProgressWriter
from jobs.retries import Decision, Verdict
from llm.calls import How, StepResult, unspent
from llm.chain import generate_checklist, summarize_guidelines
from llm.client import Completer
from llm.errors import LLMError
from llm.repair import needs_repair, repair_checklist, unrepaired
from llm.result import Examined, Policy

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
    decision = _decide(claim, error)
    persistently(lambda: calls.circuits.failed(error))
    _settle(claim, lambda: services.fail_attempt(claim, error, decision))


def _decide(claim: Claim, error: Exception) -> Decision:
    return retries.decide(
        error,
        failures=claim.failures,
        attempt=claim.attempt,
        seconds_left=claim.seconds_left,
    )


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
    calls.models = models_of(options)
    source = job.document.text or ""
    how = How(options["language"], CALL_SECONDS, ProgressWriter(claim))
    summary = job.summary or _summarize(claim, calls, source, prompts, how)
    kept = job.checklist
    checklist = kept or _make_checklist(claim, calls, source, summary["value"], prompts, how)
    steps = {Step.SUMMARIZE: summary["provenance"], Step.CHECKLIST: checklist["provenance"]}
    usage = unspent() if kept else checklist["usage"]
    last = Step.CHECKLIST
    examined = Examined.of(
        source, summary["value"], checklist["value"], language=options["language"]
    )
    doubtful = options["on_doubt"] == "repair"
    if needs_repair(examined, doubtful=doubtful):
        if kept is None:
            failpoint("before_checklist_commit")
            persistently(lambda: services.save_checklist(claim, checklist))
            failpoint("after_checklist_commit")
        step = _repair(claim, calls, examined, doubtful, prompts, how)
        examined = examined.revised(step.value)
        steps[Step.REPAIR] = step.provenance
        usage = step.usage
        last = Step.REPAIR if step.usage["calls"] else Step.CHECKLIST
    provenance = {"app_version": settings.APP_VERSION, "steps": steps}
    policy: Policy = "drop" if options["on_doubt"] == "drop" else "flag"
    result = examined.result(provenance, policy=policy)
    failpoint("before_result_commit")
    persistently(lambda: services.complete_job(claim, result, usage, last=last))
    failpoint("after_result_commit")


def _summarize(
    claim: Claim, calls: "ModelCalls", source: str, prompts: dict[str, int], how: How
) -> dict[str, Any]:
    step = calls.run(
        lambda client: summarize_guidelines(
            client,
            source,
            deadline=_deadline(),
            request_label=_label(claim, Step.SUMMARIZE),
            version=prompts["summarize"],
            how=how,
        )
    )
    summary = asdict(step)
    failpoint("before_summary_commit")
    persistently(lambda: services.save_summary(claim, summary))
    failpoint("after_summary_commit")
    return summary


def _make_checklist(
    claim: Claim,
    calls: "ModelCalls",
    source: str,
    summary: dict[str, Any],
    prompts: dict[str, int],
    how: How,
) -> dict[str, Any]:
    step = calls.run(
        lambda client: generate_checklist(
            client,
            source,
            summary,
            deadline=_deadline(),
            request_label=_label(claim, Step.CHECKLIST),
            version=prompts["checklist"],
            how=how,
        )
    )
    return asdict(step)


def _repair(
    claim: Claim,
    calls: "ModelCalls",
    examined: Examined,
    doubtful: bool,
    prompts: dict[str, int],
    how: How,
) -> StepResult:
    """The repaired checklist; the one of step 2, where a repair is not to be had: it is a bonus."""
    try:
        return calls.run(
            lambda client: repair_checklist(
                client,
                examined,
                deadline=_deadline(),
                doubtful=doubtful,
                request_label=_label(claim, Step.REPAIR),
                version=prompts["repair"],
                how=how,
            )
        )
    except (LLMError, BudgetExhausted) as error:
        failure, decision = error, _decide(claim, error)  # Python forgets `error`
        if decision.verdict is not Verdict.FAIL:
            raise
        persistently(lambda: calls.circuits.failed(failure))
        fields = {"event_id": claim.event_id, "code": decision.code}
        logger.warning("repair_given_up", extra=fields)
        return unrepaired(examined, prompts["repair"], decision.code)


def _deadline() -> float:
    return time.monotonic() + settings.JOB_STEP_TIMEOUT.total_seconds()


def _label(claim: Claim, step: Step) -> str:
    """Finds our call in the provider's log: which job, which attempt, which step."""
    return f"{claim.event_id}.{claim.attempt}.{step}"


class ModelCalls:
    """The model calls of one job, which another thread may stop.

    models  that it may ask, in order
    """

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self.models: list[str] = []
        self.circuits = Circuits([claim.probing] if claim.probing else [])
        self._lock = threading.Lock()
        self._stopped = False
        self._running: Future[StepResult] | None = None

    def run(self, step: Callable[[Completer], Coroutine[Any, Any, StepResult]]) -> StepResult:
        """The step's result. Raises LeaseLost or Stopping once stopped, or what the chain
        raises."""
        choice = persistently(lambda: self.circuits.choose(self.models))
        connection.close()  # back to the pool: models think for seconds
        loop = model_loop()
        chosen = ChosenModels(loop.clients, self._claim, self.models, choice, self.circuits)
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
