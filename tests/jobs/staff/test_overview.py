from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from config.isolation import DatabaseRole, acting_as
from jobs import breaker, bulk, error_groups, services, workers
from jobs.models import Circuit, Job, Worker
from tenants.audit import record
from tenants.models import AuditEntry
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import claimed, completed, failed

pytestmark = pytest.mark.django_db
OVERVIEW, CIRCUITS = reverse("admin:overview"), reverse("admin:circuits")
WHY = {"reason": "The provider said so"}


@pytest.fixture
def viewer(staff_client):
    return staff_client("viewer")


@pytest.fixture
def alive():
    """A worker that pumps."""
    with acting_as(DatabaseRole.WORKER):
        workers.seen("w", starts=True)
        workers.pumped("w")
        workers.forget()


def alarms(browser):
    return [alarm.says for alarm in browser.get(OVERVIEW).context["alarms"]]


def test_it_is_the_home_of_staff(viewer):
    assert reverse("admin:index") == OVERVIEW == "/admin/"


def test_all_is_well(viewer, alive):
    assert "All is well." in viewer.get(OVERVIEW).text


def test_nobody_works(viewer):
    assert alarms(viewer) == ["No worker is alive."]


def test_a_worker_that_holds_a_lease_is_there_though_it_was_not_heard_of(viewer, tenant):
    claimed(JobFactory(tenant=tenant), worker="quiet")

    [busy] = viewer.get(OVERVIEW).context["workers"]

    assert (busy.name, busy.is_there, len(busy.jobs)) == ("quiet", True, 1)
    assert alarms(viewer) == ["The pump does not run."]


def test_a_worker_that_was_not_heard_of_is_named_while_jobs_wait(viewer, alive, tenant):
    workers.seen("lost")
    long_ago = timezone.now() - timedelta(minutes=5)
    Worker.objects.filter(name="lost").update(seen_at=long_ago)
    assert alarms(viewer) == []

    JobFactory(tenant=tenant)

    assert alarms(viewer) == ["Not heard of for a while: lost."]
    workers.forget()
    assert Worker.objects.count() == 2


def test_the_pump_has_stopped(viewer, alive):
    Worker.objects.update(pumped_at=timezone.now() - timedelta(minutes=1))

    assert alarms(viewer) == ["The pump does not run."]


def test_circuits_say_who_has_to_act(viewer, alive):
    breaker.hold_open("llm_quota", "a/m")
    for _ in range(breaker.FAILURES):
        breaker.failed("llm_unavailable", "b/m")

    assert alarms(viewer) == [
        "a/m is held open: llm_quota.",
        "b/m does not answer: llm_unavailable.",
    ]


def test_a_job_that_only_lacks_a_worker_is_missed_after_ten_minutes(viewer, alive, tenant):
    job = JobFactory(tenant=tenant)
    assert alarms(viewer) == []
    Job.objects.across_tenants().filter(pk=job.pk).update(
        created_at=timezone.now() - timedelta(minutes=11)
    )

    assert alarms(viewer) == ["A job that could run has waited for 11 min."]

    services.pause_queue(tenant.pk, paused=True)
    assert alarms(viewer) == [f"Paused: {tenant.slug}."]


def test_many_failures_are_an_alarm(viewer, alive, tenant):
    for n in range(10):
        (failed if n < 3 else completed)(JobFactory(tenant=tenant))

    assert alarms(viewer) == ["3 of 10 jobs failed in the last hour."]


def test_a_bulk_action_that_runs_is_said(viewer, alive):
    bulk.start(kind="retry", chosen=bulk.JobFilter(), actor="a", reason="r")

    assert alarms(viewer) == ["1 bulk action under way."]


def test_a_log_that_is_not_sealed_is_an_alarm(viewer, alive, monkeypatch):
    monkeypatch.setattr("jobs.staff.numbers.SEALED_WITHIN", timedelta(0))
    record("x.done", tenant_id=None)

    assert "The audit log is not sealed." in alarms(viewer)


def test_the_numbers(viewer, alive, tenant):
    other = TenantFactory()
    completed(JobFactory(tenant=tenant))
    failed(JobFactory(tenant=other))
    error_groups.count()
    claimed(JobFactory(tenant=other))
    JobFactory(tenant=tenant)
    JobFactory(tenant=other)

    seen = viewer.get(OVERVIEW).context

    assert (str(seen["waiting"]), seen["running"]) == ("2", 1)
    ended = seen["ended"]
    assert (ended["completed"], ended["failed"], ended["cancelled"]) == (1, 1, 0)
    assert 0 <= ended["wait_p50"] <= ended["wait_p95"] < 60
    assert seen["failures"] == [{"code": "llm_refused", "hour": 1, "day": 1}]
    assert seen["plot"].total == 2
    queues = {queue["slug"]: queue for queue in seen["queues"]}
    assert (queues[other.slug]["running"], queues[other.slug]["waiting"]) == (1, 1)
    assert (queues[other.slug]["share"], queues[tenant.slug]["share"]) == (100, 0)


def test_counting_stops_where_it_no_longer_helps(viewer, alive, tenant, monkeypatch):
    monkeypatch.setattr("jobs.staff.numbers.COUNTED", 1)
    monkeypatch.setattr("jobs.staff.numbers.QUEUE_COUNTED", 1)
    for _ in range(3):
        JobFactory(tenant=tenant)

    seen = viewer.get(OVERVIEW).context

    assert str(seen["waiting"]) == "1+"
    [queue] = seen["queues"]
    assert (queue["waiting"], queue["is_more"]) == (1, True)


def test_the_number_of_statements_is_fixed(viewer, alive, tenant, django_assert_num_queries):
    for _ in range(3):
        completed(JobFactory(tenant=tenant))

    with django_assert_num_queries(21):
        viewer.get(OVERVIEW)


def test_a_circuit_is_held_open_and_closed_with_a_reason(staff_client):
    operator = staff_client("operator")
    name = breaker.circuit_name()
    assert name in operator.get(CIRCUITS).text

    for _ in range(2):
        operator.post(reverse("admin:circuit_open", args=[name]), WHY)
    assert Circuit.objects.get(name=name).state == "open"
    for _ in range(2):
        operator.post(reverse("admin:circuit_close", args=[name]), WHY)
    assert Circuit.objects.get(name=name).state == "closed"

    entries = AuditEntry.objects.across_tenants().filter(object_type="circuit").order_by("id")
    assert [(e.action, e.after) for e in entries] == [
        ("circuit.held_open", WHY),
        ("circuit.closed", WHY),
    ]


def test_a_viewer_holds_nothing_and_an_unknown_circuit_is_none(viewer, staff_client):
    path = reverse("admin:circuit_open", args=[breaker.circuit_name()])
    unknown = reverse("admin:circuit_open", args=["nowhere/model"])

    assert viewer.post(path, WHY).status_code == 403
    assert staff_client("operator").post(unknown, WHY).status_code == 404
    assert not Circuit.objects.exists()
