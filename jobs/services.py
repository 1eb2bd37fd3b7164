"""Every change of a job. Views, tasks, the admin and commands are doors to what stands here.

Its end, its deletion, has a module of its own (`jobs.deletion`).
"""

import json
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from config.database import ClockTimestamp
from config.failpoints import failpoint
from config.isolation import in_role, rows_in_role
from jobs import breaker, budget, cache, claims, dispatch, sealed, shown
from jobs.claims import Claim
from jobs.dispatch import WakeUp
from jobs.documents import reading
from jobs.documents.reading import Incoming
from jobs.errors import (
    POISON,
    SAFE_DETAIL,
    DocumentTooLarge,
    InvalidTransition,
    UnknownEarlierJob,
)
from jobs.history import say
from jobs.models import (
    RETRYABLE,
    SEALED,
    CallOutcome,
    Document,
    Job,
    JobAttempt,
    JobStatus,
    LLMCall,
    Outcome,
    Priority,
    Step,
    TenantQueue,
    uuid7,
)
from jobs.options import asked_by, current_prompts, refuse_unless_allowed, resolve
from jobs.persistence import LeaseLost
from jobs.retries import Decision, Verdict
from jobs.shown import Row
from llm.errors import LLMError
from llm.estimate import estimate
from llm.limits import Tokens
from tenants.audit import record, signature
from tenants.authentication import Principal
from tenants.models import Tenant
from tenants.preferences import Preferences, preferences_of

logger = logging.getLogger(__name__)

DEFAULT_EXPIRY = timedelta(hours=24)


# --- What the API and staff ask for ---------------------------------------------------------


def submit_job(
    *,
    tenant_id: UUID,
    submitted_by: str,
    guideline_text: str = "",
    file: Incoming | None = None,
    title: str = "",
    priority: Priority = Priority.NORMAL,
    metadata: dict[str, str] | None = None,
    expires_in: timedelta = DEFAULT_EXPIRY,
    options: dict[str, Any] | None = None,
    preferences: Preferences | None = None,
    supersedes: UUID | None = None,
    visible_to: Principal | None = None,
) -> Job:
    """Accepts a guideline and promises its processing, all or nothing.

    file        instead of a text: it is read before the chain begins, see documents/reading.py
    options     what the caller asked for, see jobs/options.py
    preferences the tenant's, where they are at hand (a caller's are); else they are looked up
    expires_in  a job that has not started by then is EXPIRED; retries stop then as well
    supersedes  event_id of the job of an earlier revision (see jobs/revisions.py), which
                `visible_to`, where given, has to be allowed to see

    Raises DocumentTooLarge beyond settings.GUIDELINE_MAX_BYTES of UTF-8, ModelNotAllowed,
    UnknownEarlierJob, TooManyWaiting where the tenant's queue is full, or QuotaExceeded where a
    budget does not hold what it may cost.
    """
    preferences = preferences or preferences_of(tenant_id)
    earlier = _superseded(tenant_id, supersedes, visible_to)
    submission = prepare(
        tenant_id=tenant_id,
        submitted_by=submitted_by,
        guideline_text=guideline_text,
        file=file,
        title=title,
        priority=priority,
        metadata=metadata,
        expires_in=expires_in,
        options=options,
        preferences=preferences,
        supersedes=earlier,
    )
    failpoint("before_post_commit")
    if file is None:
        job = _submit(submission, earlier)
    else:
        with in_role(), transaction.atomic(savepoint=False):  # its file with it, or neither
            job = _submit(submission, earlier)
            reading.keep(job, file)
    # Only a nudge: if it is lost, the pump wakes a worker for the same row within seconds.
    transaction.on_commit(dispatch.wake_reader if file else dispatch.wake_worker)
    transaction.on_commit(lambda: failpoint("after_post_commit"))
    return job


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that is not written yet, and what SUBMIT takes to write it.

    job  without a model's fields and descriptors: making one costs as much as sealing a text
    """

    job: Row
    values: dict[str, Any]

    def accepted(self, made: dict[str, Any]) -> Row:
        """The job, from the one row that SUBMIT gives. Raises TooManyWaiting or QuotaExceeded."""
        budget.raise_if(made["refused"], self.job.tenant_id)
        self.job.id, self.job.created_at = made["job_id"], made["made_at"]
        return self.job


def prepare(
    *,
    tenant_id: UUID,
    submitted_by: str,
    preferences: Preferences,
    guideline_text: str = "",
    file: Incoming | None = None,
    title: str = "",
    priority: Priority = Priority.NORMAL,
    metadata: dict[str, str] | None = None,
    expires_in: timedelta = DEFAULT_EXPIRY,
    options: dict[str, Any] | None = None,
    supersedes: Job | None = None,
) -> Submission:
    """What `submit_job` writes, without asking the database. Raises DocumentTooLarge or
    ModelNotAllowed."""
    holding = resolve(options or {}, preferences)
    refuse_unless_allowed(holding, preferences)
    size = _size_of(guideline_text)
    document = uuid7()
    text, digest = None, ""
    if file is None:
        place = sealed.DOCUMENT_TEXT.format(document)
        text = sealed.seal_text(tenant_id, guideline_text, place)
        digest = sealed.digest(tenant_id, guideline_text)
    prompts = current_prompts()
    can_repeat = digest and supersedes is None
    job = shown.new(
        tenant_id=tenant_id,
        event_id=uuid7(),
        title=title,
        priority=priority,
        metadata=metadata or {},
        options=holding,
        supersedes=supersedes and supersedes.event_id,
        step=Step.READ if file else Step.SUMMARIZE,
        fingerprint=cache.keyed(tenant_id, digest, None, holding, prompts) if can_repeat else "",
    )
    after = {"digest": digest, "bytes": size, "priority": Priority(priority).label}
    if file is not None:
        after |= {"bytes": len(file.content), "media_type": file.format.value}
    # What a file will cost is known once it is read.
    cost = Tokens(0, 0) if file else estimate(guideline_text)
    values = {
        "tenant": tenant_id,
        "document": document,
        "text": text,
        "digest": digest,
        "step": job.step,
        "event_id": job.event_id,
        "submitted_by": submitted_by,
        "title": title,
        "priority": int(priority),
        "metadata": json.dumps(job.metadata),
        "options": json.dumps(holding),
        "prompts": json.dumps(prompts),
        "fingerprint": job.fingerprint,
        "supersedes": supersedes and supersedes.pk,
        "expires_in": expires_in,
        "audited": json.dumps({**signature(), "after": after}),
        **budget.promised(cost, asked_by(holding, own_key=preferences.own_key)),
    }
    return Submission(job, values)


SUBMIT = """
SELECT * FROM jobs_submit(%(tenant)s, %(document)s, %(text)s, %(digest)s, %(step)s, %(event_id)s,
    %(submitted_by)s, %(title)s, %(priority)s, %(metadata)s, %(options)s, %(prompts)s,
    %(fingerprint)s, %(supersedes)s, %(expires_in)s, %(tokens)s, %(micros)s, %(audited)s)
"""


def _submit(submission: Submission, supersedes: Job | None) -> Job:
    """Writes the job, its document, its history and its entry in the audit log, and reserves what
    it may cost: all or nothing, in one statement. Raises TooManyWaiting or QuotaExceeded."""
    (made,) = rows_in_role(SUBMIT, submission.values)
    row, values = submission.accepted(made), submission.values
    document = Document(
        pk=made["of_document"],
        tenant_id=row.tenant_id,
        uid=values["document"],
        sealed_text=values["text"],
        digest=values["digest"],
    )
    return Job(
        pk=row.id,
        tenant_id=row.tenant_id,
        event_id=row.event_id,
        document=document,
        submitted_by=values["submitted_by"],
        title=row.title,
        priority=row.priority,
        metadata=row.metadata,
        options=row.options,
        prompts=json.loads(values["prompts"]),
        fingerprint=row.fingerprint,
        supersedes=supersedes,
        step=row.step,
        ready=row.step != Step.READ,
        created_at=row.created_at,
        deadline_at=made["gives_up_at"],
        cache_hit=False,
        passages_done=0,
        passages=0,
    )


def _superseded(tenant_id: UUID, event_id: UUID | None, visible_to: Principal | None) -> Job | None:
    """The completed job of that id. Raises UnknownEarlierJob if there is none, or none that
    `visible_to` may know of."""
    if event_id is None:
        return None
    with in_role():
        jobs = Job.objects.known(tenant_id, visible_to)
        done = jobs.filter(status=JobStatus.COMPLETED, deleted_at=None)
        job = done.only("id", "tenant_id", "event_id").filter(event_id=event_id).first()
    if job is None:
        raise UnknownEarlierJob(
            errors=[
                {"pointer": "/supersedes", "code": "unknown", "detail": UnknownEarlierJob.title}
            ]
        )
    return job


def _size_of(guideline_text: str) -> int:
    """In bytes of UTF-8. Raises DocumentTooLarge."""
    size, limit = len(guideline_text.encode()), settings.GUIDELINE_MAX_BYTES
    if size > limit:
        raise DocumentTooLarge(
            f"guideline_text has {size:,} bytes in UTF-8. It may have 1 character to"
            f" {limit:,} bytes (1 MB); send a longer guideline in parts.",
            limit_bytes=limit,
            errors=[{"pointer": "/guideline_text", "code": "too_large", "detail": "Too long."}],
        )
    return size


@transaction.atomic
def cancel_job(
    *,
    tenant_id: UUID,
    event_id: UUID,
    actor: str,
    reason: str = "cancelled",
    visible_to: Principal | None = None,
) -> Job | None:
    """Stops a job, waiting or running; None if the tenant, or `visible_to`, has no such job.

    A worker that holds it finds its writes refused and starts no further model call. A job
    that is cancelled already stays so. Raises InvalidTransition if it has ended otherwise.
    """
    job = _locked(tenant_id, event_id, visible_to)
    if job is None or job.status == JobStatus.CANCELLED:
        return job
    if job.is_over:
        raise InvalidTransition(
            f"The job is {job.status}; only a job that has not ended can be cancelled.",
            job_status=job.status,
        )
    say(actor, reason)
    _record("job.cancelled", job, JobStatus.CANCELLED, reason)
    _end_attempt(job, Outcome.CANCELLED)
    Job.objects.for_tenant(tenant_id).filter(pk=job.pk).update(
        status=JobStatus.CANCELLED, ended_at=Now(), ready=False, worker="", lease_expires_at=None
    )
    dispatch.changed(event_id)
    job.refresh_from_db()
    logger.info("job_cancelled", extra={"event_id": event_id, "actor": actor})
    return job


@transaction.atomic
def retry_job(
    *,
    tenant_id: UUID,
    event_id: UUID,
    actor: str,
    reason: str = "retried",
    visible_to: Principal | None = None,
) -> Job | None:
    """Gives a job that ended without a result a new run; None if there is no such job.

    visible_to  where given, what that caller may not see is no job of the tenant either

    What a finished step has paid for is kept; the old attempts stay on record. A job that waits or
    runs stays as it is. Raises InvalidTransition if it is completed, or QuotaExceeded.
    """
    job = _locked(tenant_id, event_id, visible_to)
    if job is None or not job.is_over:
        return job
    if job.status not in RETRYABLE:
        raise InvalidTransition(
            f"The job is {job.status}; submit the guideline again to have a new result.",
            job_status=job.status,
        )
    if job.step == Step.READ:
        raise InvalidTransition(
            "The job's document was not read, and its file is not kept. Submit it again.",
            job_status=job.status,
        )
    say(actor, reason)
    _record("job.retried", job, JobStatus.PENDING, reason)
    Job.objects.for_tenant(tenant_id).filter(pk=job.pk).update(
        status=JobStatus.PENDING,
        ready=True,
        due_at=Now(),
        deadline_at=Now() + DEFAULT_EXPIRY,
        run=F("run") + 1,
        crashes=0,
        failures=0,
        error_code="",
        error_detail="",
        ended_at=None,
    )
    transaction.on_commit(dispatch.wake_worker)
    dispatch.changed(event_id)
    job.refresh_from_db()
    document = Document.objects.for_tenant(tenant_id).get(pk=job.document_id)
    asked = asked_by(resolve(job.options), own_key=preferences_of(tenant_id).own_key)
    budget.reserve(tenant_id, job.pk, estimate(document.text or ""), asked)
    logger.info("job_retried_by_hand", extra={"event_id": event_id, "actor": actor})
    return job


@transaction.atomic
def set_priority(*, tenant_id: UUID, event_id: UUID, priority: Priority) -> Job | None:
    """Moves a waiting job before or behind its tenant's others; None if there is no such job.

    Other tenants' jobs are not concerned: see jobs/claims.py. Raises InvalidTransition if it waits
    no longer.
    """
    job = _locked(tenant_id, event_id, None)
    if job is None or job.priority == priority:
        return job
    if job.status != JobStatus.PENDING:
        raise InvalidTransition(
            f"The job is {job.status}; only a job that waits has a place in the queue.",
            job_status=job.status,
        )
    record(
        "job.priority_changed",
        tenant_id=tenant_id,
        of=("job", event_id),
        before={"priority": job.get_priority_display()},
        after={"priority": priority.label},
    )
    Job.objects.for_tenant(tenant_id).filter(pk=job.pk).update(priority=priority)
    dispatch.changed(event_id)
    job.priority = priority
    return job


def set_queue(tenant_id: UUID, **limits: Any) -> TenantQueue:
    """Sets weight, max_running, max_waiting or is_paused of a tenant's queue."""
    queue, _ = TenantQueue.objects.update_or_create(tenant_id=tenant_id, defaults=limits)
    return queue


@transaction.atomic
def pause_queue(tenant_id: UUID, *, paused: bool) -> bool:
    """Holds the tenant's waiting jobs back, or lets them begin; False if it was so already."""
    queue, _ = TenantQueue.objects.select_for_update().get_or_create(tenant_id=tenant_id)
    if queue.is_paused == paused:
        return False
    TenantQueue.objects.filter(pk=tenant_id).update(is_paused=paused)
    record(
        "queue.paused" if paused else "queue.resumed",
        tenant_id=tenant_id,
        of=("tenant", tenant_id),
    )
    if not paused:
        transaction.on_commit(dispatch.wake_worker)
    return True


def apply_plan(tenant: Tenant) -> TenantQueue:
    """Takes the caps of the tenant's plan over to its queue, where they are enforced."""
    plan = tenant.plan
    return set_queue(tenant.pk, max_running=plan.max_running, max_waiting=plan.max_waiting)


# --- What a worker does while it holds a job ------------------------------------------------


def start_next_job(worker: str, *, wake: bool = True) -> Claim | None:
    """Claims the job that should run next, and wakes another worker, since more may wait.

    wake  False for whoever goes on to the next job by itself

    While no model's circuit is closed nothing is claimed, except by the one worker that may try.
    """
    failpoint("before_claim")
    circuits = breaker.all_circuits()
    claim = claims.claim_next(worker, circuits=circuits)
    if claim is None and (probing := next(filter(breaker.may_probe, circuits), "")):
        claim = claims.claim_next(worker, probing=probing)
        if claim is None:
            breaker.give_up_probe(probing)
    if claim is None:
        return None
    failpoint("after_claim")
    if wake:
        dispatch.wake_worker()
    dispatch.changed(claim.event_id)
    logger.info("job_started", extra={"event_id": claim.event_id, "attempt": claim.attempt})
    return claim


CHECKPOINTS = {  # of a step that is done: the place its reply is bound to, and what comes next
    Step.SUMMARIZE: (sealed.SUMMARY, Step.CHECKLIST),
    Step.CHECKLIST: (sealed.CHECKLIST, Step.REPAIR),
}
# See migration 0023.
KEEP_STEP = """
SELECT jobs_keep_step(%(tenant)s, %(id)s, %(attempt)s, %(done)s, %(following)s, %(reply)s,
    %(calls)s, %(prompt_tokens)s, %(completion_tokens)s)
"""
COMPLETE = """
SELECT jobs_complete(%(tenant)s, %(id)s, %(attempt)s, %(done)s, %(result)s, %(cache_hit)s,
    %(calls)s, %(prompt_tokens)s, %(completion_tokens)s)
"""


def save_step(claim: Claim, done: Step, reply: dict[str, Any]) -> None:
    """The checkpoint after a step: from here on it is not paid for again.

    reply  {"value", "usage", "provenance"}. Raises LeaseLost.
    """
    place, following = CHECKPOINTS[done]
    kept = sealed.seal_json(claim.tenant_id, reply, place.format(claim.event_id))
    said = {"done": done.value, "following": following.value, "reply": kept, **reply["usage"]}
    _write_at_once(claim, KEEP_STEP, said)


def save_progress(claim: Claim, done: int, total: int) -> None:
    """How many passages of the step that runs are done. Raises LeaseLost."""
    _write(claim, passages_done=done, passages=total)


def complete_job(
    claim: Claim,
    result: dict[str, Any],
    usage: dict[str, int],
    *,
    last: Step = Step.CHECKLIST,
    cache_hit: bool = False,
) -> None:
    """Stores the result, made with the replies of the step `last`. Raises LeaseLost.

    cache_hit  it is an earlier job's, sealed anew for this one
    """
    kept = sealed.seal_json(claim.tenant_id, result, sealed.RESULT.format(claim.event_id))
    said = {"done": last.value, "result": kept, "cache_hit": cache_hit, **usage}
    _write_at_once(claim, COMPLETE, said)
    logger.info("job_completed", extra={"event_id": claim.event_id, "attempt": claim.attempt})


@transaction.atomic
def fail_attempt(claim: Claim, error: Exception, decision: Decision) -> None:
    """Ends this attempt: the job waits for the next one, or is FAILED. Raises LeaseLost."""
    again = decision.verdict is not Verdict.FAIL
    outcome = Outcome.RETRIED if again else Outcome.FAILED
    raw = f"{type(error).__name__}: {error}"
    if isinstance(error, LLMError) and error.detail:
        raw += f"\n{error.detail}"
    moved: dict[str, Any] = {
        "worker": "",
        "lease_expires_at": None,
        "failures": F("failures") + int(decision.counts),
    }
    if again:
        say("", decision.code)
        moved |= {
            "status": JobStatus.PENDING,
            "ready": decision.delay == timedelta(),
            "due_at": Now() + decision.delay,
        }
    else:
        moved |= {
            "status": JobStatus.FAILED,
            "error_code": decision.code,
            "error_detail": SAFE_DETAIL[decision.code],
            "ended_at": Now(),
        }
    _write(claim, **moved)
    _end_attempt(claim, outcome, decision.code, raw)
    logger.warning(
        "job_attempt_failed",
        extra={
            "event_id": claim.event_id,
            "attempt": claim.attempt,
            "code": decision.code,
            "verdict": decision.verdict.name,
        },
    )


@transaction.atomic
def hand_back(claim: Claim) -> None:
    """A worker that has to stop gives its job back at once, from its checkpoint. Raises
    LeaseLost."""
    say("", "handed_back")
    _write(
        claim,
        status=JobStatus.PENDING,
        ready=True,
        due_at=Now(),
        worker="",
        lease_expires_at=None,
    )
    _end_attempt(claim, Outcome.HANDED_BACK)
    transaction.on_commit(dispatch.wake_worker)
    logger.info("job_handed_back", extra={"event_id": claim.event_id, "attempt": claim.attempt})


# --- The pump -------------------------------------------------------------------------------


def pump() -> int:
    """Takes back what has lost its lease, makes ready what is due, and wakes workers.

    Any number may run at once. Returns the number of wake-ups sent; raises what
    `dispatch.publish` raises while Redis is away.
    """
    failpoint("before_reap")
    _take_back()
    if moved := claims.sweep():
        dispatch.changed(*moved)
    reading.give_up()
    budget.charge_unanswered()
    sent = _top_up(dispatch.RUN, claims.count_claimable(dispatch.SHIFTS))
    return sent + _top_up(dispatch.READ, reading.count_waiting(dispatch.AT_ONCE))


def _top_up(kind: WakeUp, wanted: int) -> int:
    """One at least, whether or not there is work: it proves that somebody listens."""
    missing = max(1, wanted) - dispatch.waiting_wake_ups(kind)
    if missing > 0:
        failpoint("before_publish")
        dispatch.publish(missing, kind)
        failpoint("after_publish")
    return max(missing, 0)


def stand_in_for_pump() -> None:
    """What nobody can wait for, should the pump be away; cheap enough for every worker."""
    _take_back()
    claims.promote()
    dispatch.wake_worker()
    dispatch.wake_reader()


def _take_back() -> None:
    for event_id, status in claims.reap(SAFE_DETAIL[POISON], grace=settings.JOB_LEASE):
        dispatch.changed(event_id)
        logger.warning("job_taken_back", extra={"event_id": event_id, "status": status})


# --- Fenced writes --------------------------------------------------------------------------


def _write(claim: Claim, **values: Any) -> None:
    """Changes the job if this attempt still holds it. Raises LeaseLost otherwise."""
    held = Job.objects.for_tenant(claim.tenant_id).filter(
        pk=claim.id,
        attempt=claim.attempt,
        status=JobStatus.PROCESSING,
        lease_expires_at__gt=ClockTimestamp(),
    )
    if not held.update(**values):
        raise LeaseLost(f"{claim.event_id} attempt {claim.attempt}")
    dispatch.changed(claim.event_id)


def _write_at_once(claim: Claim, statement: str, said: dict[str, Any]) -> None:
    """One of the functions that write as `_write`, and all that goes with it. Raises LeaseLost."""
    held: dict[str, Any] = {"tenant": claim.tenant_id, "id": claim.id, "attempt": claim.attempt}
    with connection.cursor() as cursor:
        cursor.execute(statement, held | said)
        if not cursor.fetchone()[0]:
            raise LeaseLost(f"{claim.event_id} attempt {claim.attempt}")
    dispatch.changed(claim.event_id)


def _end_attempt(held: Claim | Job, outcome: Outcome, code: str = "", error: str = "") -> None:
    """Closes the attempt, and counts the calls that it leaves: paid for in vain, or maybe so.

    The caller has locked the job: whoever locks both does it in this order.
    """
    attempts = JobAttempt.objects.for_tenant(held.tenant_id)
    attempts.filter(job_id=held.id, number=held.attempt, outcome=Outcome.RUNNING).update(
        outcome=outcome,
        error_code=code,
        sealed_error=_sealed_error(held, error[:10_000]) if error else None,
        ended_at=Now(),
    )
    calls = LLMCall.objects.for_tenant(held.tenant_id)
    calls = calls.filter(job_id=held.id, attempt=held.attempt)
    # In this order: a reply that comes in between is found by the second.
    left = calls.filter(outcome=CallOutcome.STARTED).update(
        outcome=CallOutcome.UNKNOWN, ended_at=Now()
    )
    left += calls.filter(outcome=CallOutcome.ANSWERED).update(outcome=CallOutcome.LOST)
    if left:
        job = Job.objects.for_tenant(held.tenant_id).filter(pk=held.id)
        job.update(unknown_calls=F("unknown_calls") + left)


def _sealed_error(held: Claim | Job, error: str) -> bytes:
    return sealed.seal_text(held.tenant_id, error, sealed.ERROR.format(held.id, held.attempt))


def _record(action: str, job: Job, becomes: JobStatus, reason: str) -> None:
    record(
        action,
        tenant_id=job.tenant_id,
        of=("job", job.event_id),
        before={"status": job.status},
        after={"status": becomes, "reason": reason},
    )


def _locked(tenant_id: UUID, event_id: UUID, visible_to: Principal | None) -> Job | None:
    jobs = Job.objects.known(tenant_id, visible_to)
    mine = jobs.select_for_update(no_key=True).defer(*SEALED)
    return mine.filter(event_id=event_id, deleted_at=None).first()
