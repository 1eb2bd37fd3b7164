"""Runs one claimed job: the two steps of the chain, with nothing open while a model thinks."""

import logging
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any

from django.conf import settings
from django.db import connection

from jobs import services
from jobs.claims import Claim
from jobs.leases import keeper
from jobs.model_loop import model_loop
from jobs.models import Document, Job, Step
from jobs.services import LeaseLost
from llm.chain import StepResult, build_result, generate_checklist, summarize_guidelines
from llm.client import Client
from llm.errors import LLMError

logger = logging.getLogger(__name__)


def run_next_job(worker: str) -> str | None:
    """Claims the job that should run next and works on it; its event_id, or None if none may.

    However it ends is written to the job: nothing is raised for a job that fails.
    """
    claim = services.start_next_job(worker)
    if claim is None:
        return None
    calls = ModelCalls()
    with keeper.hold(claim, on_lost=calls.stop):
        try:
            _work(claim, calls)
        except LeaseLost:
            logger.warning("stale_write_refused", extra={"event_id": claim.event_id})
        except Exception as error:
            if not isinstance(error, LLMError):
                logger.exception("job_crashed", extra={"event_id": claim.event_id})
            _fail(claim, error)
    return str(claim.event_id)


def _fail(claim: Claim, error: Exception) -> None:
    try:
        services.fail_attempt(claim, error)
    except LeaseLost:
        logger.warning("stale_write_refused", extra={"event_id": claim.event_id})


def _work(claim: Claim, calls: "ModelCalls") -> None:
    source = Document.objects.get(pk=claim.document_id).text
    summary: dict[str, Any]
    if claim.step == Step.SUMMARIZE:
        step = calls.run(
            lambda client: summarize_guidelines(
                client, source, deadline=_deadline(), request_label=_label(claim, Step.SUMMARIZE)
            )
        )
        summary = {"value": step.value, "usage": step.usage, "provenance": step.provenance}
        services.save_summary(claim, summary)
    else:
        summary = Job.objects.values_list("summary", flat=True).get(pk=claim.id) or {}
    step = calls.run(
        lambda client: generate_checklist(
            client,
            source,
            summary["value"],
            deadline=_deadline(),
            request_label=_label(claim, Step.CHECKLIST),
        )
    )
    provenance = {
        "app_version": settings.APP_VERSION,
        "steps": {Step.SUMMARIZE: summary["provenance"], Step.CHECKLIST: step.provenance},
    }
    result = build_result(source, summary["value"], step.value, provenance)
    services.complete_job(claim, result, step.usage)


def _deadline() -> float:
    return time.monotonic() + settings.JOB_STEP_TIMEOUT.total_seconds()


def _label(claim: Claim, step: Step) -> str:
    """Finds our call in the provider's log: which job, which attempt, which step."""
    return f"{claim.event_id}.{claim.attempt}.{step}"


class ModelCalls:
    """The model calls of one job, which another thread may stop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = False
        self._running: Future[StepResult] | None = None

    def run(self, step: Callable[[Client], Coroutine[Any, Any, StepResult]]) -> StepResult:
        """The step's result. Raises LeaseLost once stopped, or what the chain raises."""
        connection.close()  # back to the pool: models think for seconds
        with self._lock:
            if self._stopped:
                raise LeaseLost
            self._running = model_loop().start(step)
        try:
            return self._running.result()
        except CancelledError:
            raise LeaseLost from None

    def stop(self) -> None:
        """Closes the HTTP requests under way; no further call starts."""
        with self._lock:
            self._stopped = True
            if self._running is not None:
                self._running.cancel()
