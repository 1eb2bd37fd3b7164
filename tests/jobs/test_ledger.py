"""Every model call stands in the ledger: before it starts, and after it ended."""

import asyncio
from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from jobs import claims, ledger, services
from jobs.models import Job, LLMCall
from jobs.persistence import LeaseLost
from llm import prompts
from llm.bounds import Tokens
from llm.client import Reply
from llm.schemas import Summary
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import claimed

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
        "ok",
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
    Job.objects.across_tenants().update(lease_expires_at=timezone.now() - timedelta(seconds=1))


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


def test_calls_that_a_lost_worker_left_open_are_counted_as_unknown(tenant):
    job = JobFactory(tenant=tenant)
    claim = claimed(job)
    for label in ("a.1", "a.2", "a.3"):
        ledger.intend(claim, label, BOUND)
    ledger.close(claim, "a.1", reply=REPLY)
    expire()

    claims.reap("lost")
    claims.sweep()

    job.refresh_from_db()
    assert rows() == [("a.1", "ok"), ("a.2", "unknown"), ("a.3", "unknown")]
    assert job.unknown_calls == 2
    ledger.close(claim, "a.2", reply=REPLY)  # the lost worker comes back
    assert rows()[1] == ("a.2", "unknown")


def test_a_cancelled_call_may_have_been_paid_for_and_is_counted(tenant):
    job = JobFactory(tenant=tenant)
    ledger.intend(claimed(job), "a.1", BOUND)

    cancel(job)

    job.refresh_from_db()
    assert (job.unknown_calls, rows()) == (1, [("a.1", "unknown")])


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

    reply = asyncio.run(ledger.RecordedCalls(model, claim).complete(request_label="a.1", **CALL))

    assert reply is REPLY
    assert model.asked == [("a.1", ["started"])]
    assert seen_from_outside() == ["ok"]


def test_a_call_written_while_its_job_is_being_taken_away_is_settled_by_the_next_sweep(tenant):
    job = JobFactory(tenant=tenant)
    claim = claimed(job)
    expire()
    claims.reap("lost")
    LLMCall.objects.create(
        tenant=tenant, job=job, attempt=claim.attempt, step="summarize", label="late.1"
    )
    current = claimed(job)
    ledger.intend(current, "current.1", BOUND)

    claims.sweep()
    claims.sweep()

    job.refresh_from_db()
    assert rows() == [("late.1", "unknown"), ("current.1", "started")]
    assert job.unknown_calls == 1


def test_a_reply_that_comes_in_while_its_job_is_taken_away_is_not_counted_as_unknown(tenant):
    job = JobFactory(tenant=tenant)
    claim = claimed(job)
    ledger.intend(claim, "a.1", BOUND)
    expire()
    claims.reap("lost")
    ledger.close(claim, "a.1", reply=REPLY)

    claims.sweep()

    job.refresh_from_db()
    assert (job.unknown_calls, rows()) == (0, [("a.1", "ok")])
