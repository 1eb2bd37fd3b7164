"""One circuit for all workers: opens, lets one try, closes."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from jobs import breaker, claims, services
from jobs.models import Circuit
from tests.factories import JobFactory


def trip():
    for _ in range(breaker.FAILURES):
        breaker.failed("llm_unavailable")


def let_the_wait_pass():
    Circuit.objects.update(open_until=timezone.now() - timedelta(seconds=1))


def state():
    return Circuit.objects.get().state


def claim():
    return claims.claim_next("w", circuits=breaker.all_circuits())


def test_failures_in_a_row_open_it_and_no_job_is_claimed(tenant):
    job = JobFactory(tenant=tenant)
    for _ in range(breaker.FAILURES - 1):
        breaker.failed("llm_unavailable")
    assert state() == "closed"

    breaker.failed("llm_unavailable")

    job.refresh_from_db()
    assert state() == "open"
    assert services.start_next_job("w") is None
    assert (job.status, job.attempt) == ("PENDING", 0)


def test_a_success_between_failures_starts_the_count_anew(db):
    for _ in range(breaker.FAILURES - 1):
        breaker.failed("llm_timeout")
    breaker.succeeded()
    breaker.failed("llm_timeout")

    assert state() == "closed"


def test_failures_that_are_far_apart_do_not_add_up(db):
    for _ in range(breaker.FAILURES - 1):
        breaker.failed("llm_timeout")
    Circuit.objects.update(window_started_at=timezone.now() - 2 * breaker.WINDOW)

    breaker.failed("llm_timeout")

    assert state() == "closed"


def test_after_the_wait_one_job_tries_and_its_success_lets_all_pass(tenant):
    first, second = JobFactory(tenant=tenant), JobFactory(tenant=tenant)
    trip()
    let_the_wait_pass()

    assert services.start_next_job("prober").id == first.pk
    assert state() == "half_open"
    assert services.start_next_job("other") is None

    breaker.succeeded()
    assert state() == "closed"
    assert services.start_next_job("other").id == second.pk


def test_a_trial_that_fails_doubles_the_wait(db):
    trip()
    waits = [Circuit.objects.get().wait_seconds]
    for _ in range(8):
        let_the_wait_pass()
        assert breaker.may_probe()
        breaker.failed("llm_unavailable")
        assert state() == "open"
        waits.append(Circuit.objects.get().wait_seconds)

    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_prober_that_dies_is_followed_by_another(db):
    trip()
    let_the_wait_pass()
    assert breaker.may_probe()
    assert not breaker.may_probe()

    Circuit.objects.update(probe_until=timezone.now() - timedelta(seconds=1))

    assert breaker.may_probe()


def test_a_trial_without_a_job_is_given_up_at_once(db):
    trip()
    let_the_wait_pass()

    assert services.start_next_job("w") is None
    assert breaker.may_probe()


def test_what_only_a_person_can_mend_stays_open_until_a_person_closes_it(tenant):
    JobFactory(tenant=tenant)
    breaker.hold_open("llm_quota")
    assert not breaker.may_probe()
    assert claim() is None

    assert breaker.close("paid") is True
    assert breaker.close("paid") is False

    assert claim() is not None


@pytest.mark.django_db(transaction=True)
def test_of_a_whole_fleet_exactly_one_tries():
    trip()
    let_the_wait_pass()
    barrier, won = threading.Barrier(8), []

    def work():
        barrier.wait()
        won.append(breaker.may_probe())
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(won) == [False] * 7 + [True]
