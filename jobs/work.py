"""What is done for one claimed job: its steps, from the last checkpoint on, with nothing open while
a model thinks.
"""

import json
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection

from config.failpoints import failpoint
from jobs import cache, retries, revisions, services
from jobs.claims import Claim
from jobs.documents.pages import with_pages
from jobs.errors import BudgetExhausted
from jobs.model_choice import Circuits
from jobs.model_loop import CALL_SECONDS
from jobs.models import Document, Job, Step
from jobs.options import current_prompts, models_of, resolve
from jobs.progress import ProgressWriter
from jobs.retries import Decision, Verdict
from jobs.threads import computed, in_thread
from llm.calls import How, StepResult, unspent
from llm.chain import generate_checklist, summarize_guidelines
from llm.completer import Completer
from llm.errors import LLMError
from llm.reading import Reading
from llm.repair import needs_repair, repair_checklist, unrepaired
from llm.result import Examined, Policy

logger = logging.getLogger(__name__)

# See migration 0023.
OF_JOB = [  # in the order of the model
    *("id", "event_id", "tenant_id", "document_id", "options", "prompts", "supersedes_id"),
    *("fingerprint", "sealed_summary", "sealed_checklist"),
]
OF_DOCUMENT = ["uid", "sealed_text", "page_starts"]
LOAD = f"SELECT {', '.join(OF_JOB + OF_DOCUMENT)} FROM jobs_load(%s, %s)"  # noqa: S608
REPLIES = {Step.SUMMARIZE: "summary", Step.CHECKLIST: "checklist"}  # in the names of failpoints


class Calls(Protocol):
    """The model calls of one job; `jobs.runner.ModelCalls` are some."""

    circuits: Circuits

    async def run(
        self,
        models: list[str],
        step: Callable[[Completer], Coroutine[Any, Any, StepResult]],
        progress: ProgressWriter,
    ) -> StepResult: ...


class Work:
    """One job's way from its guideline to its result: a coroutine, that leaves the loop to write
    and to compute. Raises what ends an attempt.
    """

    def __init__(self, claim: Claim, calls: Calls) -> None:
        self._claim, self._calls = claim, calls

    async def do(self) -> None:
        earlier = await in_thread(self._load)
        if earlier is not None:
            await self._complete(earlier, unspent(), cache_hit=True)
            return
        summary = self._kept_summary or await self._summarize()
        kept = self._kept_checklist
        checklist = kept or await self._make_checklist(summary["value"])
        steps = {Step.SUMMARIZE: summary["provenance"], Step.CHECKLIST: checklist["provenance"]}
        usage, last = unspent() if kept else checklist["usage"], Step.CHECKLIST
        examined, result = await computed(
            lambda: self._examine(summary["value"], checklist["value"], steps)
        )
        if result is None:
            if kept is None:
                await self._keep(Step.CHECKLIST, checklist)
            step = await self._repair(examined)
            steps[Step.REPAIR] = step.provenance
            usage, last = step.usage, Step.REPAIR if step.usage["calls"] else Step.CHECKLIST
            result = await computed(lambda: self._result(examined.revised(step.value), steps))
        await self._complete(result, usage, last=last)

    # --- What there is ----------------------------------------------------------------------

    def _load(self) -> dict[str, Any] | None:
        """Reads the job; an earlier result that will do for it, if there is one."""
        job = load(self._claim)
        if (earlier := cache.earlier_result(job)) is not None:
            return earlier
        text = job.document.text or ""
        self._source = Reading(text)  # read once for all steps
        self._page_starts = job.document.page_starts
        self._kept_summary, self._kept_checklist = job.summary, job.checklist
        # A job that the previous version submitted says less.
        self._options = resolve(job.options)
        self._prompts = current_prompts() | job.prompts
        self._progress = ProgressWriter(self._claim)
        self._how = How(self._options["language"], CALL_SECONDS, self._progress)
        self._models = models_of(self._options)
        self._revision = revisions.kept_for(job, text)
        return None

    @property
    def _repairs_doubts(self) -> bool:
        return bool(self._options["on_doubt"] == "repair")

    # --- Steps ------------------------------------------------------------------------------

    async def _summarize(self) -> dict[str, Any]:
        step = await self._calls.run(
            self._models,
            lambda client: summarize_guidelines(
                client,
                self._source,
                kept=self._revision.kept,
                **self._asked_for(Step.SUMMARIZE),
            ),
            self._progress,
        )
        summary = _kept(step)
        await self._keep(Step.SUMMARIZE, summary)
        return summary

    async def _make_checklist(self, summary: dict[str, Any]) -> dict[str, Any]:
        step = await self._calls.run(
            self._models,
            lambda client: generate_checklist(
                client,
                self._source,
                summary,
                kept=self._revision.kept,
                **self._asked_for(Step.CHECKLIST),
            ),
            self._progress,
        )
        return _kept(step)

    async def _repair(self, examined: Examined) -> StepResult:
        """The repaired checklist; the one of step 2 where no repair is to be had: it is a bonus."""
        try:
            return await self._calls.run(
                self._models,
                lambda client: repair_checklist(
                    client,
                    examined,
                    doubtful=self._repairs_doubts,
                    kept=self._revision.kept,
                    **self._asked_for(Step.REPAIR),
                ),
                self._progress,
            )
        except (LLMError, BudgetExhausted) as error:
            failure, decision = error, decide(self._claim, error)  # Python forgets `error`
            if decision.verdict is not Verdict.FAIL:
                raise
            await in_thread(lambda: self._calls.circuits.failed(failure))
            fields = {"event_id": self._claim.event_id, "code": decision.code}
            logger.warning("repair_given_up", extra=fields)
            return unrepaired(examined, self._prompts["repair"], decision.code)

    async def _keep(self, done: Step, reply: dict[str, Any]) -> None:
        failpoint(f"before_{REPLIES[done]}_commit")
        await in_thread(lambda: services.save_step(self._claim, done, reply))
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

    def _examine(
        self,
        summary: dict[str, Any],
        checklist: dict[str, Any],
        steps: dict[Step, dict[str, Any]],
    ) -> tuple[Examined, dict[str, Any] | None]:
        """What is to be said of the checklist, and the result; None where it needs a repair."""
        language = self._options["language"]
        examined = Examined.of(self._source, summary, checklist, language=language)
        kept, doubtful = self._revision.kept, self._repairs_doubts
        if needs_repair(examined, doubtful=doubtful, kept=kept):
            return examined, None
        return examined, self._result(examined, steps)

    def _result(self, examined: Examined, steps: dict[Step, dict[str, Any]]) -> dict[str, Any]:
        said = {"app_version": settings.APP_VERSION, "steps": steps, **self._revision.provenance}
        policy: Policy = "drop" if self._options["on_doubt"] == "drop" else "flag"
        result = examined.result(said, policy=policy, report=self._options["report"])
        return with_pages(result, self._page_starts)

    async def _complete(
        self,
        result: dict[str, Any],
        usage: dict[str, int],
        *,
        last: Step = Step.CHECKLIST,
        cache_hit: bool = False,
    ) -> None:
        failpoint("before_result_commit")
        await in_thread(
            lambda: services.complete_job(
                self._claim, result, usage, last=last, cache_hit=cache_hit
            )
        )
        failpoint("after_result_commit")


def _kept(step: StepResult) -> dict[str, Any]:
    """As it is stored. Not `asdict`, which copies every piece."""
    return {"value": step.value, "usage": step.usage, "provenance": step.provenance}


def load(claim: Claim) -> Job:
    """The claimed job, with what a worker needs of it and of its document."""
    with connection.cursor() as cursor:
        cursor.execute(LOAD, [claim.tenant_id, claim.id])
        *of_job, uid, sealed_text, page_starts = cursor.fetchone()
    for column in (OF_JOB.index("options"), OF_JOB.index("prompts")):
        of_job[column] = json.loads(of_job[column])
    job: Job = Job.from_db(DEFAULT_DB_ALIAS, OF_JOB, of_job)
    job.document = Document(
        id=claim.document_id,
        tenant_id=claim.tenant_id,
        uid=uid,
        sealed_text=sealed_text,
        page_starts=page_starts and json.loads(page_starts),
    )
    return job


def decide(claim: Claim, error: Exception) -> Decision:
    """What follows for the job from an attempt that failed."""
    return retries.decide(
        error,
        failures=claim.failures,
        attempt=claim.attempt,
        seconds_left=claim.seconds_left,
    )
