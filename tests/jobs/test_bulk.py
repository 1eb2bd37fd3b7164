from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from jobs import breaker, bulk
from jobs.filters import JobFilter
from jobs.models import BulkAction, Job, JobEvent
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import completed, failed


def start(*, kind="retry", status="FAILED", rate=10, reason="fixed", token=None, **chosen):
    return bulk.start(
        kind=kind,
        chosen=JobFilter(status=status, **chosen),
        actor="ann",
        reason=reason,
        rate=rate,
        token=token,
    )


def after(seconds):
    """As if so much time had passed since the pump last worked."""
    BulkAction.objects.update(worked_at=timezone.now() - timedelta(seconds=seconds))
    return bulk.work()


def test_it_goes_on_as_fast_as_its_rate_allows_and_then_it_is_done(tenant):
    for _ in range(5):
        failed(JobFactory(tenant=tenant))
    action = start(rate=2)

    assert [after(1.1), after(1.1), after(1.1), after(1.1)] == [2, 2, 1, 0]

    action.refresh_from_db()
    assert (action.state, action.changed, action.total) == ("done", 5, 5)
    assert set(Job.objects.across_tenants().values_list("status", "run")) == {("PENDING", 2)}


def test_a_pump_that_was_away_does_not_catch_up_in_a_storm(tenant):
    for _ in range(10):
        failed(JobFactory(tenant=tenant))
    start(rate=2)

    assert after(3600) == 2 * bulk.SLICE_SECONDS


def test_only_what_matches_is_touched(tenant):
    other = TenantFactory()
    mine, theirs = failed(JobFactory(tenant=tenant)), failed(JobFactory(tenant=other))
    done = completed(JobFactory(tenant=tenant))
    action = start(tenant=tenant.slug, error_code="llm_refused", rate=100)
    later = failed(JobFactory(tenant=tenant))

    after(1)
    after(1)

    statuses = [
        Job.objects.across_tenants().get(pk=job.pk).status for job in (mine, theirs, done, later)
    ]
    assert statuses == ["PENDING", "FAILED", "COMPLETED", "FAILED"]
    action.refresh_from_db()
    assert (action.state, action.total) == ("done", 1)


def test_two_people_who_press_at_once_make_one_retry(tenant):
    job = failed(JobFactory(tenant=tenant))
    start(rate=10)
    start(rate=10)

    after(1)
    after(1)

    job.refresh_from_db()
    assert job.run == 2


def test_it_stops_where_it_is(tenant):
    for _ in range(4):
        failed(JobFactory(tenant=tenant))
    action = start(rate=2)
    after(1.1)

    assert bulk.abort(action) is True
    assert bulk.abort(action) is False

    assert after(1.1) == 0
    assert Job.objects.across_tenants().filter(status="FAILED").count() == 2


def test_cancelling_many_stands_in_the_history_of_each(tenant):
    job = JobFactory(tenant=tenant)
    start(kind="cancel", status="PENDING", reason="wrong guideline", rate=10)

    after(1)

    last = JobEvent.objects.across_tenants().filter(job=job).last()
    assert (last.to_status, last.actor, last.note) == ("CANCELLED", "ann", "wrong guideline")


@pytest.mark.parametrize(("kind", "status"), [("retry", "COMPLETED"), ("cancel", "FAILED")])
def test_what_is_impossible_is_refused_at_once(db, kind, status):
    with pytest.raises(bulk.ImpossibleAction, match="choose one of"):
        start(kind=kind, status=status)


# --- The commands ---------------------------------------------------------------------------


def run(*arguments):
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_where_there_is_nothing_the_commands_say_so(tenant):
    assert run("dead_letters") == "No failed jobs.\n"
    assert run("dead_letters", "llm_refused") == "No failed jobs with this error code.\n"
    assert run("bulk_jobs", "list") == "No bulk actions so far.\n"


def test_failed_jobs_are_shown_by_kind_and_one_by_one(tenant):
    job = failed(JobFactory(tenant=tenant))

    assert run("dead_letters").split()[:2] == ["1", "llm_refused"]
    latest = run("dead_letters", "llm_refused")
    assert str(job.event_id) in latest
    assert "raw provider text" in latest


def test_a_bulk_action_is_started_listed_and_aborted_from_the_shell(tenant):
    failed(JobFactory(tenant=tenant))

    started = run("bulk_jobs", "retry", "--tenant", tenant.slug, "--reason", "mended")
    number = started.split(":")[0]

    assert "running, 0 of 1" in run("bulk_jobs", "list")
    assert "aborted" in run("bulk_jobs", "abort", number)
    with pytest.raises(CommandError, match="No bulk action"):
        run("bulk_jobs", "abort", number)
    with pytest.raises(CommandError, match="no tenant 'nobody'"):
        run("bulk_jobs", "retry", "--tenant", "nobody", "--reason", "x")


def test_the_circuit_is_shown_opened_and_closed_from_the_shell(db, settings):
    settings.MODELS = ["m"]
    assert "nothing has ever failed" in run("circuit")
    assert "open, until -, reason: maintenance" in run("circuit", "open", "--reason", "maintenance")
    assert f"{breaker.circuit_name()}: closed" in run("circuit", "close")
    assert f"{breaker.circuit_name('m')}: open" in run("circuit", "open", "--model", "m")
    assert f"{breaker.circuit_name()}: closed" in run("circuit")
    assert f"{breaker.circuit_name('m')}: closed" in run("circuit", "close", "--model", "m")
    with pytest.raises(CommandError, match=r"No model n here\. There are:"):
        run("circuit", "close", "--model", "n")
