"""Claim, renew and reap against a real PostgreSQL, with real concurrency where it matters."""

import threading
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from jobs import claims, services
from jobs.models import Job, JobAttempt, JobStatus, Priority, Step
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import SUMMARY, USAGE, claimed, fail


def expire(claim):
    past = timezone.now() - timedelta(seconds=1)
    Job.objects.across_tenants().filter(pk=claim.id).update(lease_expires_at=past)


def expire_all():
    past = timezone.now() - timedelta(seconds=1)
    Job.objects.across_tenants().filter(status=JobStatus.PROCESSING).update(lease_expires_at=past)


def test_a_claim_holds_the_job_and_counts_the_attempt_before_any_work(tenant, settings):
    job = JobFactory(tenant=tenant)

    claim = claims.claim_next("worker-1")

    job.refresh_from_db()
    attempt = JobAttempt.objects.across_tenants().get()
    assert (claim.event_id, claim.attempt, claim.step) == (job.event_id, 1, "summarize")
    assert (job.status, job.worker, job.attempt) == (JobStatus.PROCESSING, "worker-1", 1)
    assert timedelta(0) < job.lease_expires_at - timezone.now() <= settings.JOB_LEASE
    assert (attempt.number, attempt.outcome, attempt.worker) == (1, "running", "worker-1")
    assert attempt.tenant_id == tenant.id


def test_claiming_is_one_statement(tenant, django_assert_num_queries):
    JobFactory(tenant=tenant)

    with django_assert_num_queries(1):
        claims.claim_next("w")


def test_a_held_job_is_not_claimed_again(tenant):
    claimed(JobFactory(tenant=tenant))

    assert claims.claim_next("other") is None


def test_a_job_that_is_not_due_waits(tenant):
    job = JobFactory(tenant=tenant)
    Job.objects.across_tenants().update(ready=False, due_at=timezone.now() + timedelta(minutes=1))
    claims.sweep()
    assert claims.claim_next("w") is None
    assert claims.count_claimable(10) == 0

    Job.objects.across_tenants().update(due_at=timezone.now() - timedelta(seconds=1))
    claims.sweep()
    assert claims.count_claimable(10) == 1
    assert claims.claim_next("w").id == job.pk


def test_higher_priority_goes_first_then_age(tenant):
    old = JobFactory(tenant=tenant)
    low = JobFactory(tenant=tenant, priority=Priority.LOW)
    high = JobFactory(tenant=tenant, priority=Priority.HIGH)

    order = [claims.claim_next("w").id for _ in range(3)]

    assert order == [high.pk, old.pk, low.pk]


def test_renewing_extends_only_what_is_still_held(tenant, settings):
    held = claimed(JobFactory(tenant=tenant))
    late = claimed(JobFactory(tenant=tenant))
    gone = claimed(JobFactory(tenant=tenant))
    expire(late)
    services.save_step(gone, Step.SUMMARIZE, SUMMARY)
    services.complete_job(gone, {"checklist": []}, USAGE)
    other_attempt = claims.Claim(**{**_fields(held), "attempt": 7})

    assert claims.renew([held, late, gone], timedelta(minutes=9)) == {held.id}
    assert claims.renew([other_attempt], timedelta(minutes=9)) == set()

    left = Job.objects.across_tenants().get(pk=held.id).lease_expires_at - timezone.now()
    assert timedelta(minutes=8) < left <= timedelta(minutes=9)


def _fields(claim):
    return {name: getattr(claim, name) for name in claim.__slots__}


def test_a_lost_lease_puts_the_job_back_with_its_checkpoint(tenant):
    job = JobFactory(tenant=tenant)
    claim = claimed(job)
    services.save_step(claim, Step.SUMMARIZE, SUMMARY)
    expire(claim)

    assert claims.reap("lost") == [(job.event_id, "PENDING")]

    job.refresh_from_db()
    assert (job.status, job.step, job.summary) == (JobStatus.PENDING, "checklist", SUMMARY)
    assert JobAttempt.objects.across_tenants().get().outcome == "lease_lost"
    assert claims.claim_next("next").attempt == 2


def test_a_live_lease_is_left_alone(tenant):
    claimed(JobFactory(tenant=tenant))

    assert claims.reap("lost") == []


def test_a_job_that_kills_every_worker_is_poison_and_ends(tenant):
    job = JobFactory(tenant=tenant)
    for _ in range(claims.MAX_CRASHES):
        assert claims.claim_next("w").id == job.pk
        expire_all()
        claims.reap("It was lost.")

    job.refresh_from_db()
    assert (job.status, job.error_code, job.error_detail) == ("FAILED", "poison", "It was lost.")
    assert job.crashes == job.attempt == claims.MAX_CRASHES
    assert claims.claim_next("w") is None


def expire_after_start(seconds):
    """The lease ran out so long after PostgreSQL was started, or before it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_job SET lease_expires_at = pg_postmaster_start_time() + %s",
            [timedelta(seconds=seconds)],
        )


@pytest.mark.parametrize(
    ("ran_out_at", "crashes", "why"),
    [(-5, 0, "database_away"), (0.02, 0, "database_away"), (0.04, 1, "worker_lost")],
)
def test_a_lease_that_no_worker_could_have_renewed_says_nothing_about_its_worker(
    tenant, ran_out_at, crashes, why
):
    job = JobFactory(tenant=tenant)
    claimed(job)
    expire_after_start(ran_out_at)

    assert claims.reap("lost", grace=timedelta(seconds=0.03)) == [(job.event_id, "PENDING")]

    job.refresh_from_db()
    assert (job.crashes, job.ready) == (crashes, True)
    assert JobAttempt.objects.across_tenants().get().error_code == why
    last = job.events.last()
    assert (last.to_status, last.actor, last.note) == ("PENDING", "pump", why)
    assert claims.claim_next("next").attempt == 2


def test_no_number_of_outages_makes_a_job_poison(tenant):
    job = JobFactory(tenant=tenant)
    for _ in range(claims.MAX_CRASHES + 1):
        claimed(job)
        expire_after_start(-5)
        assert claims.reap("lost") == [(job.event_id, "PENDING")]

    job.refresh_from_db()
    assert (job.crashes, job.error_code) == (0, "")


def test_a_worker_that_lost_its_job_can_write_nothing(tenant):
    job = JobFactory(tenant=tenant)
    late = claimed(job, "late")
    expire(late)
    claims.reap("lost")
    current = claimed(job, "current")

    with pytest.raises(services.LeaseLost):
        services.save_step(late, Step.SUMMARIZE, SUMMARY)
    with pytest.raises(services.LeaseLost):
        fail(late, RuntimeError())
    services.save_step(current, Step.SUMMARIZE, SUMMARY)
    with pytest.raises(services.LeaseLost):
        services.complete_job(late, {"checklist": ["late"]}, USAGE)

    job.refresh_from_db()
    assert (job.status, job.attempt, job.result) == (JobStatus.PROCESSING, 2, None)
    assert job.llm_calls == 1


@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_at_once_never_get_the_same_job():
    tenant = TenantFactory()
    for _ in range(40):
        JobFactory(tenant=tenant)
    services.set_queue(tenant.id, max_running=40)
    barrier, got, lock = threading.Barrier(8), [], threading.Lock()

    def work():
        barrier.wait()
        while claim := claims.claim_next(threading.current_thread().name):
            with lock:
                got.append(claim.id)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(got) == len(set(got)) == 40


def test_a_lease_that_ran_out_ends_the_right_to_write_before_anybody_else_has_the_job(tenant):
    claim = claimed(JobFactory(tenant=tenant))
    expire(claim)

    with pytest.raises(services.LeaseLost):
        services.save_step(claim, Step.SUMMARIZE, SUMMARY)


@contextmanager
def locked(query, *parameters):
    """Rows that another connection holds a lock on, as somebody does who is at them."""
    values = connection.settings_dict
    names = {"host": "HOST", "port": "PORT", "dbname": "NAME", "user": "USER"}
    dsn = {key: values[name] for key, name in names.items()}
    with psycopg.connect(**dsn, password=values["PASSWORD"]) as other:
        other.execute(f"{query} FOR NO KEY UPDATE", parameters)
        yield
        other.rollback()


@pytest.mark.django_db(transaction=True)
def test_a_claim_passes_over_a_job_that_somebody_is_at():
    tenant = TenantFactory()
    busy, free = JobFactory(tenant=tenant), JobFactory(tenant=tenant)

    with locked("SELECT FROM jobs_job WHERE id = %s", busy.pk):
        assert claims.claim_next("w").id == free.pk


@pytest.mark.django_db(transaction=True)
def test_a_claim_passes_over_a_queue_that_somebody_claims_from():
    busy, free = JobFactory(tenant=TenantFactory()), JobFactory(tenant=TenantFactory())

    with locked("SELECT FROM jobs_tenantqueue WHERE tenant_id = %s", busy.tenant_id):
        assert claims.claim_next("w").id == free.pk


@pytest.mark.django_db(transaction=True)
def test_the_reaper_passes_over_a_job_that_its_worker_is_just_finishing():
    tenant = TenantFactory()
    finishing, lost = JobFactory(tenant=tenant), JobFactory(tenant=tenant)
    claimed(finishing)
    claimed(lost)
    expire_all()

    with locked("SELECT FROM jobs_job WHERE id = %s", finishing.pk):
        assert claims.reap("lost") == [(lost.event_id, "PENDING")]


@pytest.mark.django_db(transaction=True)
def test_a_claim_waits_its_turn_when_the_only_queue_is_being_claimed_from():
    job = JobFactory(tenant=TenantFactory())
    got = []
    waiting = threading.Thread(
        target=lambda: (got.append(claims.claim_next("w")), connection.close())
    )

    with locked("SELECT FROM jobs_tenantqueue WHERE tenant_id = %s", job.tenant_id):
        waiting.start()
        waiting.join(timeout=0.3)
        assert got == []
    waiting.join()

    assert got[0].id == job.pk
