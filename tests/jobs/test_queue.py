from datetime import timedelta

from django.utils import timezone

from jobs import breaker, claims, queue, services
from jobs.models import Job, Priority, Step
from llm.errors import Throttled
from tests.config.test_problems import check_problem
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import SUMMARY, USAGE, claimed, completed, fail


def test_the_place_counts_only_ones_own_jobs_that_go_first(tenant):
    JobFactory(tenant=TenantFactory())
    low = JobFactory(tenant=tenant, priority=Priority.LOW)
    first, second = JobFactory(tenant=tenant), JobFactory(tenant=tenant)
    high = JobFactory(tenant=tenant, priority=Priority.HIGH)

    assert [queue.waiting(job).place for job in (high, first, second, low)] == [1, 2, 3, 4]


def test_it_says_what_a_job_waits_for(tenant):
    running, job = JobFactory(tenant=tenant), JobFactory(tenant=tenant)
    assert queue.waiting(job).waiting_on == "worker"

    services.set_queue(tenant.id, max_running=1)
    claim = claimed(running)
    assert queue.waiting(job).waiting_on == "concurrency"

    breaker.hold_open("llm_quota")
    assert queue.waiting(job).waiting_on == "provider"

    fail(claim, Throttled(retry_after=60))
    waiting = queue.waiting(running)
    assert waiting.waiting_on == "retry"
    assert 58 < waiting.estimated_seconds <= 60

    services.set_queue(tenant.id, is_paused=True)
    assert queue.waiting(job).waiting_on == "paused"
    breaker.close("mended")
    assert claims.claim_next("w") is None


def test_the_estimate_comes_from_how_long_ones_own_last_jobs_took(tenant):
    past, running, job = (JobFactory(tenant=tenant) for _ in range(3))
    assert queue.waiting(job).estimated_seconds is None
    claim = claimed(past)
    Job.objects.across_tenants().filter(pk=past.pk).update(
        started_at=timezone.now() - timedelta(seconds=40)
    )
    services.save_step(claim, Step.SUMMARIZE, SUMMARY)
    services.complete_job(claim, {"checklist": []}, USAGE)
    services.set_queue(tenant.id, max_running=1)
    claimed(running)

    assert 39 < queue.waiting(job).estimated_seconds < 42


def test_a_job_that_waits_no_longer_has_no_place(tenant):
    assert queue.waiting(completed(JobFactory(tenant=tenant))) is None


def test_a_full_queue_is_429_and_says_which_limit(api, tenant):
    JobFactory(tenant=tenant)
    services.set_queue(tenant.id, max_waiting=2)
    submit = lambda: api.post("/jobs", {"guideline_text": "x"}, format="json")  # noqa: E731

    assert submit().status_code == 202
    response = submit()

    body = check_problem(response, 429, "too_many_waiting")
    assert (body["limit"], body["allowed"]) == ("jobs_waiting_per_tenant", 2)
    assert response.headers["Retry-After"] == "30"
    claims.claim_next("w")
    assert submit().status_code == 202


def test_the_answer_for_a_waiting_job_says_why_it_waits(api, tenant):
    job = JobFactory(tenant=tenant)

    body = api.get(f"/jobs/{job.event_id}").json()

    assert body["waiting"] == {"waiting_on": "worker", "place": 1, "estimated_seconds": None}


def test_expires_in_is_kept_as_a_deadline(api):
    response = api.post("/jobs", {"guideline_text": "x", "expires_in": 3600}, format="json")

    left = Job.objects.across_tenants().get().deadline_at - timezone.now()
    assert response.status_code == 202
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
