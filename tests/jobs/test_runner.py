"""How a job that was run ends, and what the breaker learns from it."""

import threading

import pytest

from jobs import breaker, runner
from jobs.models import Circuit, Job
from jobs.runner import LeaseLost, Stopping
from llm.errors import AuthRefused, Refused, Throttled, Unavailable
from tests.factories import JobFactory, TenantFactory
from tests.jobs.test_breaker import let_the_wait_pass, state, trip

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(monkeypatch):
    """Runs the next job; its work ends in the given error."""

    def act(error):
        def do(work):
            raise error

        monkeypatch.setattr(runner.Work, "do", do)
        return runner.run_next_job("w")

    return act


@pytest.fixture
def job():
    return JobFactory(tenant=TenantFactory())


def trial():
    trip()
    let_the_wait_pass()


def test_nothing_to_do_is_said(run, db):
    assert run(AssertionError()) is None


@pytest.mark.parametrize("error", [Throttled("429"), Refused("no")])
def test_a_trial_that_is_answered_badly_shows_that_the_provider_is_there(run, job, error):
    trial()

    run(error)

    assert state() == "closed"


@pytest.mark.parametrize("error", [LeaseLost(), Stopping()])
def test_a_trial_that_ends_without_an_answer_leaves_it_to_the_next(run, job, error):
    trial()

    run(error)

    assert state() == "half_open"
    assert breaker.may_probe()


def test_a_trial_that_fails_opens_the_circuit_again(run, job):
    trial()

    run(Unavailable("503"))

    assert state() == "open"


def test_credentials_that_are_refused_hold_it_open_and_the_job_waits(run, job):
    run(AuthRefused("401"))

    job.refresh_from_db()
    circuit = Circuit.objects.get()
    assert (circuit.state, circuit.open_until, circuit.reason) == ("open", None, "llm_auth")
    assert (job.status, job.failures) == ("PENDING", 0)


def test_a_bug_of_ours_fails_the_attempt_not_the_worker(run, job):
    assert run(ZeroDivisionError()) == str(job.event_id)

    job = Job.objects.across_tenants().get()
    assert (job.status, job.failures) == ("PENDING", 1)
    assert "ZeroDivisionError" in job.attempts.get().error


def test_what_a_bug_of_ours_says_is_kept_sealed_and_not_logged(run, job, caplog):
    run(ValueError("Staff MUST wash their hands."))

    assert "MUST wash" in job.attempts.get().error
    crashed = next(r for r in caplog.records if r.getMessage() == "job_crashed")
    assert (crashed.kind, crashed.exc_info) == ("ValueError", None)
    assert "runner.py" in crashed.where
    assert "MUST wash" not in crashed.where


def test_a_worker_that_has_to_stop_hands_back_and_takes_nothing_more(run, job, monkeypatch):
    run(Stopping())
    job.refresh_from_db()
    assert (job.status, job.ready, job.crashes) == ("PENDING", True, 0)

    stopping = threading.Event()
    stopping.set()
    monkeypatch.setattr(runner, "_stopping", stopping)
    assert run(Stopping()) is None
