"""What a wake-up begins: how many jobs at once, how long, and who is woken for the rest."""

import pytest

from jobs import dispatch, runner, services
from jobs.models import Job, JobStatus, TenantQueue
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import in_thread
from tests.jobs.test_round_trips import NEW
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


def some_jobs(number):
    tenant = TenantFactory()
    return [JobFactory(tenant=tenant, **NEW) for _ in range(number)]


def refreshed(job):
    return Job.objects.for_tenant(job.tenant_id).get(event_id=job.event_id)


@pytest.fixture
def woken(provider, monkeypatch):
    wake_ups = []
    monkeypatch.setattr(dispatch, "wake_worker", lambda: wake_ups.append(1))
    return wake_ups


def test_one_wake_up_carries_all_the_jobs_that_may_start(woken):
    jobs = some_jobs(3)
    woken.clear()

    assert runner.carry_jobs("w") == [str(job.event_id) for job in jobs]

    assert len(woken) == 1  # by the first: another process may help


def test_they_are_carried_at_once(woken, provider):
    jobs = some_jobs(3)
    provider.script([{"do": "hold", "step": "summary", "times": 3}])
    carried = in_thread(lambda: runner.carry_jobs("w"))

    until(lambda: len(provider.ledger()) == 3)

    provider.release()
    assert carried.result(10) == [str(job.event_id) for job in jobs]


def test_a_process_has_no_more_than_it_has_room_for(woken, provider, monkeypatch):
    monkeypatch.setattr(runner.room, "left", 2)
    jobs = some_jobs(3)
    provider.script([{"do": "hold", "step": "summary", "times": 2}])
    carried = in_thread(lambda: runner.carry_jobs("w"))
    until(lambda: len(provider.ledger()) == 2)

    assert runner.run_next_job("w") is None
    jobs[2].refresh_from_db()
    assert jobs[2].status == JobStatus.PENDING

    provider.release()  # and the third begins as soon as one of the two has ended
    assert carried.result(10) == [str(job.event_id) for job in jobs]
    assert runner.room.left == 2


def test_where_a_job_has_ended_one_more_is_asked_for(woken, monkeypatch):
    some_jobs(6)
    TenantQueue.objects.update(max_running=1)
    start, found = services.start_next_job, []

    def listen(*args, **kwargs):
        claim = start(*args, **kwargs)
        found.append(claim is not None)
        return claim

    monkeypatch.setattr(services, "start_next_job", listen)

    assert len(runner.carry_jobs("w")) == 6

    # The second and the last find none: when it began as many as may were to start, when it ended
    # there was room for one.
    assert found == [True, False, True, True, True, True, True, False]


def test_a_wake_up_during_a_shift_has_it_look_again(woken, provider):
    some_jobs(1)
    provider.script([{"do": "hold", "step": "summary", "times": 1}])
    carried = in_thread(lambda: runner.carry_jobs("w"))
    until(lambda: len(provider.ledger()) == 1)
    later = some_jobs(1)[0]

    assert runner.carry_jobs("w") == []

    until(lambda: refreshed(later).status == JobStatus.COMPLETED)
    provider.release()
    assert len(carried.result(10)) == 2


def test_a_shift_that_is_over_leaves_its_room_to_the_next(woken, provider, monkeypatch):
    monkeypatch.setattr(runner, "SHIFT_SECONDS", 0.0)
    monkeypatch.setattr(runner.room, "left", 1)
    some_jobs(1)
    provider.script([{"do": "hold", "step": "summary", "times": 1}])
    first = in_thread(lambda: runner.carry_jobs("w"))
    until(lambda: len(provider.ledger()) == 1)
    some_jobs(1)
    assert runner.carry_jobs("w") == []  # there is no room
    woken.clear()

    provider.release()

    assert len(first.result(10)) == 1
    assert len(woken) == 1  # by whoever ended
    assert len(runner.carry_jobs("w")) == 1


def test_a_shift_that_can_claim_no_more_leaves_wake_ups_to_the_next(woken, provider, monkeypatch):
    some_jobs(2)
    provider.script([{"do": "hold", "step": "summary", "times": 1}])
    start, claims = services.start_next_job, []

    def second_fails(*args, **kwargs):
        claims.append(1)
        if len(claims) == 2:
            raise ZeroDivisionError
        return start(*args, **kwargs)

    monkeypatch.setattr(services, "start_next_job", second_fails)
    first = in_thread(lambda: runner.carry_jobs("w"))
    until(lambda: len(provider.ledger()) == 1)

    assert len(runner.carry_jobs("w")) == 1

    provider.release()
    with pytest.raises(ZeroDivisionError):
        first.result(10)


def test_what_cannot_be_settled_ends_no_shift(woken, monkeypatch):
    some_jobs(2)
    work, failed = runner._work, []

    async def fail_once(claim):
        if not failed:
            failed.append(claim)
            raise OSError("PostgreSQL is away for longer than a lease")
        await work(claim)

    monkeypatch.setattr(runner, "_work", fail_once)

    assert len(runner.carry_jobs("w")) == 2

    assert refreshed(failed[0]).status == JobStatus.PROCESSING  # until its lease has run out


def test_a_wake_up_that_has_carried_jobs_for_long_leaves_the_rest_to_the_next(woken, monkeypatch):
    monkeypatch.setattr(runner, "SHIFT_SECONDS", 0.0)
    jobs = some_jobs(2)
    woken.clear()

    assert runner.carry_jobs("w") == [str(jobs[0].event_id)]

    assert len(woken) > 1  # as it began, and in its own place
