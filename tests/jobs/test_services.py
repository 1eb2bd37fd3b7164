from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import claims, dispatch, services
from jobs.models import Job, JobAttempt, JobStatus
from llm.errors import AuthRefused, InvalidOutput, Throttled, Unavailable
from tests.factories import JobFactory
from tests.jobs.acts import SUMMARY, USAGE, claimed


def test_step_one_is_kept_before_step_two_and_both_are_counted(tenant):
    job = JobFactory(tenant=tenant)
    claim = claimed(job)

    services.save_summary(claim, SUMMARY)
    job.refresh_from_db()
    assert (job.step, job.summary, job.llm_calls) == ("checklist", SUMMARY, 1)

    services.complete_job(claim, {"checklist": []}, USAGE)
    job.refresh_from_db()
    assert (job.status, job.llm_calls, job.prompt_tokens) == (JobStatus.COMPLETED, 3, 30)
    assert (job.worker, job.lease_expires_at) == ("", None)
    assert job.ended_at is not None
    assert JobAttempt.objects.get().outcome == "completed"


@pytest.mark.parametrize("error", [Unavailable("503"), InvalidOutput("{"), RuntimeError("bug")])
def test_what_may_pass_is_tried_again_later(tenant, error):
    job = JobFactory(tenant=tenant)

    services.fail_attempt(claimed(job), error)

    job.refresh_from_db()
    attempt = JobAttempt.objects.get()
    assert (job.status, job.error_code, job.ended_at) == (JobStatus.PENDING, "", None)
    assert job.due_at - timezone.now() <= services.RETRY_BASE
    assert attempt.outcome == "retried"
    assert type(error).__name__ in attempt.error


def test_the_provider_says_how_long_to_wait(tenant):
    job = JobFactory(tenant=tenant)

    services.fail_attempt(claimed(job), Throttled("slow down", retry_after=60))

    job.refresh_from_db()
    assert timedelta(seconds=58) < job.due_at - timezone.now() <= timedelta(seconds=61)


def test_what_cannot_pass_fails_at_once_with_a_text_that_is_safe_to_show(tenant):
    job = JobFactory(tenant=tenant)

    services.fail_attempt(claimed(job), AuthRefused("key sk-abc is wrong"))

    job.refresh_from_db()
    assert (job.status, job.error_code) == (JobStatus.FAILED, "llm_auth")
    assert "sk-abc" not in job.error_detail
    assert "sk-abc" in JobAttempt.objects.get().error


def test_the_last_attempt_fails_the_job(tenant, settings):
    settings.JOB_MAX_ATTEMPTS = 1
    job = JobFactory(tenant=tenant)

    services.fail_attempt(claimed(job), Unavailable("503"))

    job.refresh_from_db()
    assert (job.status, job.error_code) == (JobStatus.FAILED, "llm_unavailable")


def test_our_own_mistake_is_named_as_ours(tenant, settings):
    settings.JOB_MAX_ATTEMPTS = 1
    job = JobFactory(tenant=tenant)

    services.fail_attempt(claimed(job), KeyError("x"))

    job.refresh_from_db()
    assert job.error_code == "internal_error"
    assert "KeyError" not in job.error_detail


def test_delays_grow_with_full_jitter_up_to_a_cap():
    for attempt, ceiling in [(1, 2), (2, 4), (5, 32), (10, 300), (40, 300)]:
        delays = [services.retry_delay(attempt, None).total_seconds() for _ in range(200)]
        assert 0 <= min(delays) < ceiling * 0.2
        assert ceiling * 0.8 < max(delays) <= ceiling


@pytest.fixture
def published(monkeypatch):
    """Wake-ups sent, instead of messages in a queue that others read."""
    sent = []
    monkeypatch.setattr(dispatch, "publish", sent.append)
    monkeypatch.setattr(dispatch, "waiting_wake_ups", lambda: 0)
    return sent


def test_the_pump_sends_a_wake_up_for_each_job_that_is_due(tenant, published):
    JobFactory(tenant=tenant)
    JobFactory(tenant=tenant)
    later = JobFactory(tenant=tenant)
    Job.objects.filter(pk=later.pk).update(due_at=timezone.now() + timedelta(minutes=1))

    assert services.pump() == 2
    assert published == [2]


def test_the_pump_does_not_pile_up_wake_ups_nobody_has_read(tenant, published, monkeypatch):
    JobFactory(tenant=tenant)
    monkeypatch.setattr(dispatch, "waiting_wake_ups", lambda: 1)

    assert services.pump() == 0
    assert published == []


def test_the_pump_takes_back_lost_jobs_and_wakes_somebody_for_them(tenant, published):
    claim = claimed(JobFactory(tenant=tenant))
    Job.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))

    services.pump()

    assert published == [1]
    assert claims.claim_next("w").id == claim.id


def test_wake_ups_reach_the_queue_and_are_counted_there():
    before = dispatch.waiting_wake_ups()

    dispatch.publish(2)

    assert dispatch.waiting_wake_ups() == before + 2
