"""What is done for one claimed job: its steps, from the last checkpoint on, with nothing open while
a model thinks.
"""

import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any, Protocol

from django.conf import settings

from config.failpoints import failpoint
from jobs import cache, retries, revisions, services
from jobs.claims import Claim
from jobs.documents.pages import with_pages
from jobs.errors import BudgetExhausted
from jobs.model_choice import Circuits
from jobs.model_loop import CALL_SECONDS
from jobs.models import Job, Step
from jobs.options import current_prompts, models_of, resolve
from jobs.persistence import persistently
from jobs.progress import ProgressWriter
from jobs.retries import Decision, Verdict
from llm.calls import How, StepResult, unspent
from llm.chain import generate_checklist, summarize_guidelines
from llm.client import Completer
from llm.errors import LLMError
from llm.repair import needs_repair, repair_checklist, unrepaired
from llm.result import Examined, Policy

logger = logging.getLogger(__name__)

REPLIES = {Step.SUMMARIZE: "summary", Step.CHECKLIST: "checklist"}  # in the names of failpoints


class Calls(Protocol):
    """The model calls of one job; `jobs.runner.ModelCalls` are some."""

    circuits: Circuits

    def run(
        self, models: list[str], step: Callable[[Completer], Coroutine[Any, Any, StepResult]]
    ) -> StepResult: ...


class Work:
    """One job's way from its guideline to its result. Raises what ends an attempt."""

    def __init__(self, claim: Claim, calls: Calls) -> None:
        self._claim, self._calls = claim, calls
        jobs = Job.objects.for_tenant(claim.tenant_id).select_related("document")
        self._job = persistently(lambda: jobs.get(pk=claim.id))
        self._source = self._job.document.text or ""
        # A job that the previous version submitted says less.
        self._options = resolve(self._job.options)
        self._prompts = current_prompts() | self._job.prompts
        self._how = How(self._options["language"], CALL_SECONDS, ProgressWriter(claim))
        self._models = models_of(self._options)

    def do(self) -> None:
        earlier = persistently(lambda: cache.earlier_result(self._job))
        if earlier is not None:
            self._complete(earlier, unspent(), cache_hit=True)
            return
        self._revision = persistently(lambda: revisions.kept_for(self._job, self._source))
        summary = self._job.summary or self._summarize()
        kept = self._job.checklist
        checklist = kept or self._make_checklist(summary["value"])
        steps = {Step.SUMMARIZE: summary["provenance"], Step.CHECKLIST: checklist["provenance"]}
        usage, last = unspent() if kept else checklist["usage"], Step.CHECKLIST
        examined = self._examine(summary["value"], checklist["value"])
        if needs_repair(examined, doubtful=self._repairs_doubts, kept=self._revision.kept):
            if kept is None:
                self._keep(Step.CHECKLIST, checklist)
            step = self._repair(examined)
            examined = examined.revised(step.value)
            steps[Step.REPAIR] = step.provenance
            usage, last = step.usage, Step.REPAIR if step.usage["calls"] else Step.CHECKLIST
        said = {"app_version": settings.APP_VERSION, "steps": steps, **self._revision.provenance}
        policy: Policy = "drop" if self._options["on_doubt"] == "drop" else "flag"
        result = examined.result(said, policy=policy, report=self._options["report"])
        self._complete(with_pages(result, self._job.document.page_starts), usage, last=last)

    @property
    def _repairs_doubts(self) -> bool:
        return bool(self._options["on_doubt"] == "repair")

    # --- Steps ------------------------------------------------------------------------------

    def _summarize(self) -> dict[str, Any]:
        step = self._calls.run(
            self._models,
            lambda client: summarize_guidelines(
                client,
                self._source,
                kept=self._revision.kept,
                **self._asked_for(Step.SUMMARIZE),
            ),
        )
        summary = asdict(step)
        self._keep(Step.SUMMARIZE, summary)
        return summary

    def _make_checklist(self, summary: dict[str, Any]) -> dict[str, Any]:
        step = self._calls.run(
            self._models,
            lambda client: generate_checklist(
                client,
                self._source,
                summary,
                kept=self._revision.kept,
                **self._asked_for(Step.CHECKLIST),
            ),
        )
        return asdict(step)

    def _repair(self, examined: Examined) -> StepResult:
        """The repaired checklist; the one of step 2 where no repair is to be had: it is a bonus."""
        try:
            return self._calls.run(
                self._models,
                lambda client: repair_checklist(
                    client,
                    examined,
                    doubtful=self._repairs_doubts,
                    kept=self._revision.kept,
                    **self._asked_for(Step.REPAIR),
                ),
            )
        except (LLMError, BudgetExhausted) as error:
            failure, decision = error, decide(self._claim, error)  # Python forgets `error`
            if decision.verdict is not Verdict.FAIL:
                raise
            persistently(lambda: self._calls.circuits.failed(failure))
            fields = {"event_id": self._claim.event_id, "code": decision.code}
            logger.warning("repair_given_up", extra=fields)
            return unrepaired(examined, self._prompts["repair"], decision.code)

    def _keep(self, done: Step, reply: dict[str, Any]) -> None:
        failpoint(f"before_{REPLIES[done]}_commit")
        persistently(lambda: services.save_step(self._claim, done, reply))
        failpoint(f"after_{REPLIES[done]}_commit")

    def _asked_for(self, step: Step) -> dict[str, Any]:
        """What every step is told alike."""
        claim = self._claim
        return {
            "deadline": time.monotonic() + settings.JOB_STEP_TIMEOUT.total_seconds(),
            # Finds our call in the provider's log: which job, which attempt, which step.
            "request_label": f"{claim.event_id}.{claim.attempt}.{step}",
            "version": self._prompts[step],
            "how": self._how,
        }

    # --- Results ----------------------------------------------------------------------------

    def _examine(self, summary: dict[str, Any], checklist: dict[str, Any]) -> Examined:
        language = self._options["language"]
        return Examined.of(self._source, summary, checklist, language=language)

    def _complete(
        self,
        result: dict[str, Any],
        usage: dict[str, int],
        *,
        last: Step = Step.CHECKLIST,
        cache_hit: bool = False,
    ) -> None:
        failpoint("before_result_commit")
        persistently(
            lambda: services.complete_job(
                self._claim, result, usage, last=last, cache_hit=cache_hit
            )
        )
        failpoint("after_result_commit")


def decide(claim: Claim, error: Exception) -> Decision:
    """What follows for the job from an attempt that failed."""
    return retries.decide(
        error,
        failures=claim.failures,
        attempt=claim.attempt,
        seconds_left=claim.seconds_left,
    )
