"""Every model call stands in the ledger: before it starts, and after it ended."""

import asyncio
from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from jobs import claims, ledger, services
from jobs.models import Job, LLMCall, Step
from jobs.persistence import LeaseLost
from llm import prompts
from llm.completer import Reply
from llm.errors import Refused, Throttled
from llm.limits import Tokens
from llm.schemas import Summary
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import SUMMARY, USAGE, at_once, claimed, fail

REPLY = Reply(
    value=None, model="m-1", prompt_tokens=7, completion_tokens=3, seconds=0.1, request_id="req_1"
)

BOUND = Tokens(100, 50)
CALL = {"prompt": prompts.load("summarize", 1), "data": {}, "schema": Summary, "deadline": 0.0}


def rows():
    return list(LLMCall.objects.across_tenants().order_by("id").values_list("label", "outcome"))


def test_the_intent_stands_before_the_call_and_its_outcome_after(tenant):
    claim = claimed(JobFactory(tenant=tenant))

    ledger.intend(claim, "a.1", BOUND)
    assert rows() == [("a.1", "started")]
    ledger.close(claim, "a.1", reply=REPLY)
    ledger.intend(claim, "a.2", BOUND)
    ledger.close(claim, "a.2", error_code="llm_timeout")

    first, second = LLMCall.objects.across_tenants().order_by("id")
    assert (first.outcome, first.model, first.prompt_tokens, first.request_id) == (
        "answered",
        "m-1",
        7,
        "req_1",
    )
    assert (second.outcome, second.error_code) == ("error", "llm_timeout")
    assert (first.attempt, first.step, first.tenant_id) == (1, "summarize", tenant.id)


def test_an_intent_whose_answer_was_lost_may_be_repeated(tenant):
    claim = claimed(JobFactory(tenant=tenant))

    ledger.intend(claim, "a.1", BOUND)
    ledger.intend(claim, "a.1", BOUND)

    assert rows() == [("a.1", "started")]


def expire():
    past = timezone.now() - timedelta(seconds=1)
    Job.objects.across_tenants().filter(status="PROCESSING").update(lease_expires_at=past)


def cancel(job):
    services.cancel_job(tenant_id=job.tenant_id, event_id=job.event_id, actor="ann")


@pytest.mark.parametrize("lose", [lambda job: expire(), cancel])
def test_no_call_starts_for_a_worker_that_has_lost_its_job(tenant, lose):
    job = JobFactory(tenant=tenant)
    claim = claimed(job)
    lose(job)

    with pytest.raises(LeaseLost):
        ledger.intend(claim, "a.1", BOUND)

    assert rows() == []


def reap(claim):
    expire()
    claims.reap("lost")


# An attempt ends in one of these ways without the result of the step it was at.
ENDS = {
    "reaped": reap,
    "handed back": services.hand_back,
    "cancelled": lambda claim: cancel(Job.objects.across_tenants().get(pk=claim.id)),
    "tried again": lambda claim: fail(claim, Throttled()),
    "failed": lambda claim: fail(claim, Refused()),
}


def answer(claim, label):
    ledger.intend(claim, label, BOUND)
    ledger.close(claim, label, reply=REPLY)


@pytest.mark.parametrize("end", ENDS)
def test_what_an_attempt_leaves_unanswered_or_unkept_is_counted(tenant, end):
    job = JobFactory(tenant=tenant)
    claim = claimed(job)
    ledger.intend(claim, "a.1", BOUND)
    answer(claim, "a.2")
    ledger.intend(claim, "a.3", BOUND)
    ledger.close(claim, "a.3", error_code="llm_timeout")

    ENDS[end](claim)

    job.refresh_from_db()
    assert rows() == [("a.1", "unknown"), ("a.2", "lost"), ("a.3", "error")]
    assert job.unknown_calls == 2
    lost = LLMCall.objects.across_tenants().get(label="a.2")
    assert (lost.prompt_tokens, lost.completion_tokens) == (7, 3)
    claims.sweep()
    ledger.close(claim, "a.1", reply=REPLY)  # the worker comes back, too late
    claims.sweep()
    job.refresh_from_db()
    assert (job.unknown_calls, rows()[0]) == (2, ("a.1", "unknown"))


@pytest.mark.parametrize("end", ENDS)
def test_what_the_checkpoint_was_made_from_is_never_lost(tenant, end):
    job = JobFactory(tenant=tenant)
    claim = claimed(job)
    answer(claim, "a.summary")
    services.save_step(claim, Step.SUMMARIZE, SUMMARY)
    assert rows() == [("a.summary", "ok")]
    answer(claim, "a.checklist")

    ENDS[end](claim)
    claims.sweep()

    job.refresh_from_db()
    assert rows() == [("a.summary", "ok"), ("a.checklist", "lost")]
    assert job.unknown_calls == 1


def test_what_the_result_was_made_from_is_kept(tenant):
    job = JobFactory(tenant=tenant)
    claim = claimed(job)
    answer(claim, "a.summary")
    services.save_step(claim, Step.SUMMARIZE, SUMMARY)
    answer(claim, "a.checklist")

    services.complete_job(claim, {"checklist": []}, USAGE)
    claims.sweep()

    job.refresh_from_db()
    assert rows() == [("a.summary", "ok"), ("a.checklist", "ok")]
    assert job.unknown_calls == 0


def seen_from_outside():
    """Outcomes as another connection sees them: only what is committed."""
    values = connection.settings_dict
    with psycopg.connect(
        host=values["HOST"],
        port=values["PORT"],
        dbname=values["NAME"],
        user=values["USER"],
        password=values["PASSWORD"],
    ) as other:
        return [row[0] for row in other.execute("SELECT outcome FROM jobs_llmcall").fetchall()]


class Model:
    """Stands where the provider is, and looks at the books while it is asked."""

    model = "m"

    def __init__(self):
        self.asked = []

    async def complete(self, *, request_label="", **call):
        self.asked.append((request_label, seen_from_outside()))
        return REPLY


@pytest.mark.django_db(transaction=True)
def test_the_intent_is_committed_before_the_model_is_asked():
    claim = claimed(JobFactory(tenant=TenantFactory()))
    model = Model()

    recorded = ledger.RecordedCalls(model, claim)
    reply = asyncio.run(recorded.complete(request_label="a.1", bound=BOUND, **CALL))

    assert reply is REPLY
    assert model.asked == [("a.1", ["started"])]
    assert seen_from_outside() == ["answered"]


@pytest.mark.parametrize(("answered", "outcome"), [(False, "unknown"), (True, "lost")])
def test_a_call_written_while_its_job_is_being_taken_away_is_settled_by_the_next_sweep(
    tenant, answered, outcome
):
    job = JobFactory(tenant=tenant)
    claim = claimed(job)
    reap(claim)
    LLMCall.objects.create(
        tenant=tenant, job=job, attempt=claim.attempt, step="summarize", label="late.1"
    )
    if answered:
        ledger.close(claim, "late.1", reply=REPLY)
    current = claimed(job)
    ledger.intend(current, "current.1", BOUND)
    answer(current, "current.2")

    claims.sweep()
    claims.sweep()

    job.refresh_from_db()
    assert rows() == [("late.1", outcome), ("current.1", "started"), ("current.2", "answered")]
    assert job.unknown_calls == 1


@pytest.mark.django_db(transaction=True)
def test_of_a_reply_and_a_reaper_at_the_same_moment_each_counts_the_call_once():
    tenant = TenantFactory()
    for number in range(15):
        job = JobFactory(tenant=tenant)
        claim = claimed(job)
        ledger.intend(claim, f"a.{number}", BOUND)
        expire()

        at_once(
            lambda claim=claim, number=number: ledger.close(claim, f"a.{number}", reply=REPLY),
            lambda: claims.reap("lost"),
            claims.sweep,
        )
        claims.reap("lost")  # the first may have found the job in the hands of who closes
        claims.sweep()

        job.refresh_from_db()
        assert rows()[-1][1] in ("unknown", "lost")
        assert job.unknown_calls == 1
        Job.objects.across_tenants().update(ready=False)  # the next one is claimed next
