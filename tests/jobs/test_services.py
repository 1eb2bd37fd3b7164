from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import connection
from django.utils import timezone

from jobs import claims, dispatch, retries, services
from jobs.models import Job, JobAttempt, JobStatus, Step
from llm.errors import InvalidOutput, QuotaExhausted, Refused, Throttled, Unavailable
from tests.factories import JobFactory
from tests.jobs.acts import SUMMARY, USAGE, claimed, fail


def test_step_one_is_kept_before_step_two_and_both_are_counted(tenant):
    job = JobFactory(tenant=tenant)
    claim = claimed(job)

    services.save_step(claim, Step.SUMMARIZE, SUMMARY)
    job.refresh_from_db()
    assert (job.step, job.summary, job.llm_calls) == ("checklist", SUMMARY, 1)

    services.complete_job(claim, {"checklist": []}, USAGE)
    job.refresh_from_db()
    assert (job.status, job.llm_calls, job.prompt_tokens) == (JobStatus.COMPLETED, 3, 30)
    assert (job.worker, job.lease_expires_at) == ("", None)
    assert job.ended_at is not None
    assert JobAttempt.objects.across_tenants().get().outcome == "completed"


@pytest.mark.parametrize("error", [Unavailable("503"), InvalidOutput("{"), RuntimeError("bug")])
def test_what_may_pass_is_tried_again_later(tenant, error):
    job = JobFactory(tenant=tenant)

    fail(claimed(job), error)

    job.refresh_from_db()
    attempt = JobAttempt.objects.across_tenants().get()
    assert (job.status, job.ready, job.error_code) == (JobStatus.PENDING, False, "")
    assert job.due_at - timezone.now() <= retries.BASE
    assert (job.failures, attempt.outcome) == (1, "retried")
    assert type(error).__name__ in attempt.error


def test_the_provider_says_how_long_to_wait_and_that_costs_no_failure(tenant):
    job = JobFactory(tenant=tenant)

    fail(claimed(job), Throttled("slow down", retry_after=60))

    job.refresh_from_db()
    assert timedelta(seconds=58) < job.due_at - timezone.now() <= timedelta(seconds=61)
    assert job.failures == 0


def test_what_cannot_pass_fails_at_once_with_a_text_that_is_safe_to_show(tenant):
    job = JobFactory(tenant=tenant)

    fail(claimed(job), Refused("key sk-abc is wrong"))

    job.refresh_from_db()
    assert (job.status, job.error_code) == (JobStatus.FAILED, "llm_refused")
    assert "sk-abc" not in job.error_detail
    assert "sk-abc" in JobAttempt.objects.across_tenants().get().error


def test_the_last_failure_that_counts_fails_the_job(tenant):
    job = JobFactory(tenant=tenant)

    for _ in range(retries.MAX_FAILURES):
        Job.objects.across_tenants().update(ready=True)
        fail(claimed(job), Unavailable("503"))

    job.refresh_from_db()
    assert (job.status, job.error_code) == (JobStatus.FAILED, "llm_unavailable")
    assert job.failures == job.attempt == retries.MAX_FAILURES


def test_our_own_mistake_is_named_as_ours(tenant):
    job = JobFactory(tenant=tenant)

    for _ in range(retries.MAX_FAILURES):
        Job.objects.across_tenants().update(ready=True)
        fail(claimed(job), KeyError("x"))

    job.refresh_from_db()
    assert job.error_code == "internal_error"
    assert "KeyError" not in job.error_detail


def test_a_job_whose_provider_needs_a_person_waits_and_loses_nothing(tenant):
    job = JobFactory(tenant=tenant)

    fail(claimed(job), QuotaExhausted("no credit"))

    job.refresh_from_db()
    assert (job.status, job.ready, job.failures) == (JobStatus.PENDING, True, 0)


def test_a_job_that_is_handed_back_resumes_from_its_checkpoint_at_no_cost(tenant):
    job = JobFactory(tenant=tenant)
    claim = claimed(job)
    services.save_step(claim, Step.SUMMARIZE, SUMMARY)

    services.hand_back(claim)

    job.refresh_from_db()
    assert (job.status, job.ready, job.step) == (JobStatus.PENDING, True, "checklist")
    assert (job.crashes, job.failures) == (0, 0)
    assert JobAttempt.objects.across_tenants().get().outcome == "handed_back"


def test_a_write_whose_answer_was_lost_may_be_repeated(tenant):
    job = JobFactory(tenant=tenant)
    claim = claimed(job)

    for _ in range(2):
        services.save_step(claim, Step.SUMMARIZE, SUMMARY)
    job.refresh_from_db()
    assert job.llm_calls == SUMMARY["usage"]["calls"]

    for _ in range(2):
        services.complete_job(claim, {"checklist": []}, USAGE)
    job.refresh_from_db()
    calls = SUMMARY["usage"]["calls"] + USAGE["calls"]
    assert (job.status, job.llm_calls) == (JobStatus.COMPLETED, calls)


def test_a_job_that_waits_past_its_deadline_expires_and_may_be_retried(tenant):
    job = JobFactory(tenant=tenant, expires_in=timedelta(seconds=-1))

    assert claims.claim_next("w") is None
    claims.sweep()
    job.refresh_from_db()
    assert job.status == JobStatus.EXPIRED

    services.retry_job(tenant_id=tenant.id, event_id=job.event_id, actor="ann")
    assert claims.claim_next("w").id == job.pk


@pytest.fixture
def published(monkeypatch):
    """Wake-ups sent, instead of messages in a queue that others read."""
    sent = []
    monkeypatch.setattr(dispatch, "publish", lambda count, kind: sent.append((kind.queue, count)))
    monkeypatch.setattr(dispatch, "waiting_wake_ups", lambda kind: 0)
    return sent


def test_the_pump_sends_a_wake_up_for_each_job_that_is_due(tenant, published):
    JobFactory(tenant=tenant)
    JobFactory(tenant=tenant)
    later = JobFactory(tenant=tenant)
    Job.objects.across_tenants().filter(pk=later.pk).update(
        ready=False, due_at=timezone.now() + timedelta(minutes=1)
    )

    assert services.pump() == 3
    assert published == [("jobs", 2), ("documents", 1)]


def test_the_pump_sends_one_wake_up_even_if_there_is_no_work(db, published):
    """Whoever listens proves by it that he does."""
    services.pump()

    assert published == [("jobs", 1), ("documents", 1)]


def test_the_pump_does_not_pile_up_wake_ups_nobody_has_read(tenant, published, monkeypatch):
    JobFactory(tenant=tenant)
    monkeypatch.setattr(dispatch, "waiting_wake_ups", lambda kind: 1)

    assert services.pump() == 0
    assert published == []


def test_the_pump_takes_back_lost_jobs_and_wakes_somebody_for_them(tenant, published):
    claim = claimed(JobFactory(tenant=tenant))
    Job.objects.across_tenants().update(lease_expires_at=timezone.now() - timedelta(seconds=1))

    services.pump()

    assert published[0] == ("jobs", 1)
    assert claims.claim_next("w").id == claim.id


def test_wake_ups_reach_the_queue_and_are_counted_there():
    before = dispatch.waiting_wake_ups()

    dispatch.publish(2)

    assert dispatch.waiting_wake_ups() == before + 2


def test_a_submission_looks_at_its_own_document_alone(tenant):
    """However many the tenant has, and whatever PostgreSQL planned while the table was empty."""
    looked_at = "SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'jobs_document'"

    def submit_and_count():
        services.submit_job(tenant_id=tenant.id, submitted_by="gpc_test", guideline_text="Do it.")
        with connection.cursor() as cursor:
            cursor.execute(looked_at)
            return cursor.fetchone()[0]

    seen = [submit_and_count() for _ in range(20)]

    assert {after - before for before, after in pairwise(seen)} <= {0, 1}
