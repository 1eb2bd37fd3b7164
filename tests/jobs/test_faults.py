"""Faults that are met best inside one process. F-numbers: docs/reliability-faults.md."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, transaction
from django.utils import timezone

from jobs import breaker, claims, dispatch, runner, services
from jobs.leases import LeaseKeeper
from jobs.models import Circuit, Job, JobAttempt, JobEvent, JobStatus, LLMCall, Step
from jobs.persistence import LeaseLost, persistently
from llm import prompts
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import SUMMARY, USAGE, at_once, claimed, in_thread

pytestmark = pytest.mark.django_db(transaction=True)  # several connections see the same rows


@pytest.fixture
def job():
    return JobFactory(tenant=TenantFactory())


def lapse():
    past = timezone.now() - timedelta(seconds=1)
    Job.objects.across_tenants().filter(status=JobStatus.PROCESSING).update(lease_expires_at=past)


# --- Leases and races -----------------------------------------------------------------------


def test_f17_a_worker_whose_renewals_fail_is_told_and_can_write_no_more(job, settings, monkeypatch):
    settings.JOB_LEASE = timedelta(seconds=0.4)
    claim, lost = claimed(job), threading.Event()

    def fail(*args):
        raise RuntimeError("whatever it is")

    monkeypatch.setattr(claims, "renew", fail)
    with LeaseKeeper().hold(claim, on_lost=lost.set):
        assert lost.wait(10)

    claims.reap("lost")
    with pytest.raises(LeaseLost):
        services.save_step(claim, Step.SUMMARIZE, SUMMARY)


def test_f17_a_keeper_whose_renewal_failed_once_goes_on_renewing(job, settings, monkeypatch):
    settings.JOB_LEASE = timedelta(seconds=2)
    claim, real, tried = claimed(job), claims.renew, []

    def fail_once(*args):
        tried.append(args)
        if len(tried) == 1:
            raise RuntimeError("whatever it is")
        return real(*args)

    monkeypatch.setattr(claims, "renew", fail_once)
    with LeaseKeeper().hold(claim, on_lost=lambda: None):
        deadline = time.monotonic() + 20
        while len(tried) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)

    assert len(tried) >= 3


def test_f19_a_database_clock_that_steps_back_lengthens_leases_and_keeps_the_order(job):
    """All times on record then lie in the future, which is how it is done here."""
    services.cancel_job(tenant_id=job.tenant_id, event_id=job.event_id, actor="ann")
    services.retry_job(tenant_id=job.tenant_id, event_id=job.event_id, actor="ann")
    claim = claimed(job)
    later = timezone.now() + timedelta(hours=2)
    Job.objects.across_tenants().update(lease_expires_at=later, started_at=later)
    JobAttempt.objects.across_tenants().update(started_at=later)

    assert claims.reap("lost") == []
    services.save_step(claim, Step.SUMMARIZE, SUMMARY)
    services.complete_job(claim, {"checklist": []}, USAGE)

    moves = JobEvent.objects.across_tenants().order_by("seq").values_list("seq", "to_status")
    assert list(moves) == [
        (1, "PENDING"),
        (2, "CANCELLED"),
        (3, "PENDING"),
        (4, "PROCESSING"),
        (5, "COMPLETED"),
    ]


def test_f12_a_write_is_repeated_until_the_database_answers(job):
    claim, tries = claimed(job), []

    def write():
        tries.append(1)
        services.complete_job(claim, {"checklist": []}, USAGE)
        if len(tries) == 1:
            raise OperationalError("the commit was done, its answer was lost")

    services.save_step(claim, Step.SUMMARIZE, SUMMARY)
    persistently(write)

    job.refresh_from_db()
    assert len(tries) == 2
    assert (job.status, job.llm_calls) == (JobStatus.COMPLETED, 3)


def test_f39_pumps_at_the_same_moment_take_each_lost_job_back_once(settings, monkeypatch):
    tenant = TenantFactory()
    for _ in range(10):
        claimed(JobFactory(tenant=tenant))
    lapse()
    settings.JOB_LEASE = timedelta()  # else the tests' PostgreSQL has only just been started
    sent = []
    monkeypatch.setattr(dispatch, "publish", lambda count, kind: sent.append(count))
    monkeypatch.setattr(dispatch, "waiting_wake_ups", lambda kind: 0)

    assert not any(isinstance(r, Exception) for r in at_once(*[services.pump] * 4))

    jobs = Job.objects.across_tenants().values_list("status", "crashes")
    assert set(jobs) == {("PENDING", 1)}
    assert JobEvent.objects.across_tenants().filter(note="worker_lost").count() == 10
    assert sent  # more wake-ups than jobs do no harm


def test_f39_a_worker_that_could_not_stand_in_for_the_pump_once_does_so_the_next_time(
    job, settings, monkeypatch
):
    settings.JOB_LEASE, settings.PUMP_SECONDS = timedelta(seconds=0.4), 0.05
    claimed(job)
    lapse()
    real, tried, stopping, woken = claims.reap, [], threading.Event(), threading.Event()

    def fail_once(*args, **kwargs):
        tried.append(args)
        if len(tried) == 1:
            raise RuntimeError("whatever it is")
        return real(*args, **kwargs)

    monkeypatch.setattr(claims, "reap", fail_once)
    monkeypatch.setattr(dispatch, "wake_worker", woken.set)
    monkeypatch.setattr(runner, "_stopping", stopping)
    standing_in = in_thread(lambda: runner.stand_in_for_pump("w"))

    assert woken.wait(20)

    stopping.set()
    standing_in.result(10)
    job.refresh_from_db()
    assert (job.status, len(tried) >= 2) == (JobStatus.PENDING, True)


class StopsAfter(threading.Event):
    """Is set after so many waits, none of which takes any time."""

    def __init__(self, waits):
        super().__init__()
        self.left, self.waited = waits, []

    def wait(self, timeout=None):
        self.waited.append(timeout)
        return len(self.waited) > self.left


@pytest.mark.parametrize(
    ("lease", "pump", "pause"),
    [(15, 1, 3.75), (2, 1, 2)],  # else each of a hundred idle workers wakes all others
)
def test_f39_nobody_stands_in_more_often_than_the_pump_works(
    settings, monkeypatch, lease, pump, pause
):
    settings.JOB_LEASE, settings.PUMP_SECONDS = timedelta(seconds=lease), pump
    monkeypatch.setattr(runner, "_stopping", stopping := StopsAfter(2))

    in_thread(lambda: runner.stand_in_for_pump("w")).result(10)

    assert stopping.waited == [0, pause, pause]


def test_f40_of_a_reaper_and_a_finishing_worker_exactly_one_wins():
    tenant = TenantFactory()
    for _ in range(15):
        job = JobFactory(tenant=tenant)
        claim = claimed(job)
        services.save_step(claim, Step.SUMMARIZE, SUMMARY)
        soon = timezone.now() + timedelta(milliseconds=3)
        Job.objects.across_tenants().filter(pk=job.pk).update(lease_expires_at=soon)

        finished, reaped = at_once(
            lambda claim=claim: services.complete_job(claim, {"checklist": []}, USAGE),
            lambda: claims.reap("lost"),
        )

        job.refresh_from_db()
        outcome = JobAttempt.objects.across_tenants().get(job=job).outcome
        if finished is None:
            assert (job.status, outcome, reaped) == (JobStatus.COMPLETED, "completed", [])
        else:
            assert isinstance(finished, LeaseLost)
            assert job.status in (JobStatus.PENDING, JobStatus.PROCESSING)
            Job.objects.across_tenants().filter(pk=job.pk).update(ready=False)
            lapse()
            claims.reap("lost")
            Job.objects.across_tenants().filter(status=JobStatus.PENDING).update(ready=False)


def test_f40_a_reaper_passes_over_a_job_that_is_just_being_finished(job):
    claim = claimed(job)
    services.save_step(claim, Step.SUMMARIZE, SUMMARY)
    with transaction.atomic():
        services.complete_job(claim, {"checklist": []}, USAGE)
        reaped = in_thread(lambda: claims.reap("lost")).result()

    job.refresh_from_db()
    assert (reaped, job.status) == ([], JobStatus.COMPLETED)


def test_f40_a_worker_that_finishes_while_it_is_reaped_is_refused(job):
    claim = claimed(job)
    services.save_step(claim, Step.SUMMARIZE, SUMMARY)
    lapse()
    with transaction.atomic():
        assert claims.reap("lost") == [(job.event_id, "PENDING")]
        finishing = in_thread(lambda: services.complete_job(claim, {"checklist": []}, USAGE))
        time.sleep(0.2)

    assert isinstance(finishing.exception(), LeaseLost)
    job.refresh_from_db()
    assert (job.status, job.result) == (JobStatus.PENDING, None)


def test_f41_a_job_whose_transaction_commits_late_is_not_passed_over():
    tenant = TenantFactory()
    inserted, commit = threading.Event(), threading.Event()

    def submit_slowly():
        with transaction.atomic():
            job = JobFactory(tenant=tenant)
            inserted.set()
            commit.wait(20)
        return job.pk

    late = in_thread(submit_slowly)
    inserted.wait(20)
    other = TenantFactory()
    early = JobFactory(tenant=other)
    assert claims.claim_next("w").id == early.pk
    assert claims.claim_next("w") is None

    commit.set()
    late.result()
    claims.sweep()

    assert claims.claim_next("w").id == late.result() < early.pk


def test_f33_a_job_that_is_claimed_in_the_moment_of_a_stop_is_handed_back(
    job, provider, monkeypatch
):
    monkeypatch.setattr(runner, "_stopping", threading.Event())
    claim = services.start_next_job

    def claim_and_be_stopped(worker, **how):
        held = claim(worker, **how)
        runner.stop()
        return held

    monkeypatch.setattr(services, "start_next_job", claim_and_be_stopped)
    runner.run_next_job("w")

    job.refresh_from_db()
    assert (job.status, JobAttempt.objects.across_tenants().get().outcome) == (
        JobStatus.PENDING,
        "handed_back",
    )
    assert provider.ledger() == []


# --- The provider ---------------------------------------------------------------------------


def test_f20_a_throttled_job_frees_its_slot_and_is_not_asked_about_before_its_time(job, provider):
    provider.script([{"do": "status", "status": 429, "retry_after": "7", "times": 1}])

    assert runner.run_next_job("w") == str(job.event_id)

    job.refresh_from_db()
    assert (job.status, job.ready, job.failures, job.crashes) == (JobStatus.PENDING, False, 0, 0)
    assert job.tenant.queue.running == 0
    ended = JobAttempt.objects.across_tenants().get().ended_at
    assert timedelta(seconds=6.9) < job.due_at - ended < timedelta(seconds=7.1)
    other = JobFactory(tenant=job.tenant)
    assert runner.run_next_job("w") == str(other.event_id)
    assert runner.run_next_job("w") is None


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"status": 429, "code": "insufficient_quota"}, "llm_quota"),  # F21
        ({"status": 401}, "llm_auth"),  # F22
        ({"status": 403}, "llm_auth"),
        ({"status": 404}, "llm_auth"),
    ],
)
def test_f21_f22_what_only_a_person_can_mend_costs_one_request_and_blocks_without_failing(
    job, provider, caplog, fault, code
):
    provider.script([{"do": "status", "times": 1, **fault}])

    for _ in range(3):
        runner.run_next_job("w")

    job.refresh_from_db()
    assert len(provider.ledger()) == 1
    assert (job.status, job.failures, JobAttempt.objects.across_tenants().get().error_code) == (
        "PENDING",
        0,
        code,
    )
    assert "circuit_held_open" in caplog.messages
    assert breaker.close("paid")
    assert runner.run_next_job("w") == str(job.event_id)
    job.refresh_from_db()
    assert job.status == JobStatus.COMPLETED


def test_f21_a_call_that_was_under_way_does_not_close_what_staff_has_to_close(job, provider):
    slow = job
    provider.script([{"do": "hold", "times": 1}])
    running = in_thread(lambda: runner.run_next_job("slow"))
    while not provider.ledger():
        time.sleep(0.02)
    breaker.hold_open("llm_quota")

    provider.release()
    running.result()

    slow.refresh_from_db()
    assert slow.status == JobStatus.COMPLETED
    assert Circuit.objects.get().state == "open"


def test_f23_a_storm_opens_the_circuit_and_stops_the_calls(provider):
    tenant = TenantFactory()
    for _ in range(8):
        JobFactory(tenant=tenant)
    provider.script([{"do": "status", "status": 503, "times": 100}])

    while runner.run_next_job("w"):
        pass

    assert len(provider.ledger()) == breaker.FAILURES
    assert Circuit.objects.get().state == "open"
    Circuit.objects.update(open_until=timezone.now())
    at_once(*[lambda: runner.run_next_job("w")] * 8)
    assert len(provider.ledger()) == breaker.FAILURES + 1  # one probe of eight workers
    assert Circuit.objects.get().state == "open"


def test_an_answer_that_repeats_its_instructions_is_never_kept(job, provider):
    told = " ".join(prompts.load("summarize", 1).text.split()[:60])
    leak = {"title": "T", "scope": told, "audience": "", "statements": []}
    provider.script([{"do": "reply", "content": leak, "times": 9}])

    for _ in range(3):
        runner.run_next_job("w")
        Job.objects.across_tenants().filter(status=JobStatus.PENDING).update(ready=True)

    job.refresh_from_db()
    assert (job.status, job.error_code) == (JobStatus.FAILED, "llm_policy_leak")
    assert (job.summary, job.result) == (None, None)
    assert len(provider.ledger()) == 2  # a draw, asked for once more
    assert all(told[:40] not in attempt.error for attempt in job.attempts.all())


@pytest.mark.parametrize("do", ["html", "bad_json", "schema_break", "empty_choices"])
def test_f25_an_answer_that_is_none_is_asked_for_once_more_and_then_fails(job, provider, do):
    provider.script([{"do": do, "times": 9}])

    for _ in range(3):
        runner.run_next_job("w")
        Job.objects.across_tenants().filter(status=JobStatus.PENDING).update(ready=True)

    job.refresh_from_db()
    assert (job.status, job.error_code) == (JobStatus.FAILED, "llm_invalid_output")
    assert (
        len(provider.ledger())
        == LLMCall.objects.across_tenants().filter(outcome="error").count()
        == 2
    )
    assert 0 < len(JobAttempt.objects.across_tenants().first().error) <= 10_000


@pytest.mark.parametrize(
    ("do", "code"),
    [("truncate", "llm_truncated"), ("refuse", "llm_refused"), ("filter", "llm_filtered")],
)
def test_f26_an_answer_that_was_cut_or_withheld_is_not_asked_for_again(job, provider, do, code):
    provider.script([{"do": do, "times": 9}])

    for _ in range(2):
        runner.run_next_job("w")

    job.refresh_from_db()
    assert (job.status, job.error_code, job.result) == (JobStatus.FAILED, code, None)
    assert len(provider.ledger()) == 1
