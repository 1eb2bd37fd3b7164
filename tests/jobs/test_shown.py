"""What a job says of itself: in one statement, in the described words, to its tenant alone."""

import uuid

import pytest
from django.db import connection
from django.urls import reverse

from config.isolation import DatabaseRole, acting_as, meaning
from jobs import services, shown
from jobs.models import Intake, Job, JobStatus, TenantQueue
from jobs.serializers import JobDetailSerializer, JobSerializer
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import completed


@pytest.mark.parametrize("path", ["/jobs", "/jobs/{}"])
def test_an_answer_has_the_members_that_are_described(api, tenant, path):
    job = completed(JobFactory(tenant=tenant))

    said = api.get(path.format(job.event_id)).json()

    described = JobDetailSerializer() if "{}" in path else JobSerializer()
    found = said if "{}" in path else said["data"][0]
    assert list(found) == list(described.fields)
    for name in ("progress", "usage", "links", "options"):
        assert set(found[name]) <= set(described.fields[name].fields)
    assert found["links"] == {
        name: reverse(f"job-{route}", args=[job.event_id])
        for name, route in [
            ("self", "detail"),
            ("events", "events"),
            ("cancel", "cancel"),
            ("retry", "retry"),
            ("replay", "replay"),
        ]
    }


def test_a_row_and_a_model_say_the_same(tenant):
    job = completed(JobFactory(tenant=tenant, title="Hands", metadata={"ward": "7b"}))

    row = shown.find(tenant.id, job.event_id)

    assert shown.body_of(row) == shown.body_of(Job.objects.for_tenant(tenant.id).get(pk=job.pk))


@pytest.mark.parametrize("of_its_own", [True, False])
def test_the_database_alone_keeps_another_tenants_job(tenant, of_its_own):
    """Whatever tenant a statement names: PostgreSQL shows the rows of the one it acts for."""
    theirs = TenantFactory()
    job = completed(JobFactory(tenant=theirs))

    with acting_as(DatabaseRole.API, theirs.id if of_its_own else tenant.id):
        found = shown.find(theirs.id, job.event_id)
        listed = shown.page(theirs.id, shown.Wanted(most=20))

    assert (found is not None, len(listed)) == (of_its_own, int(of_its_own))


@pytest.mark.django_db(transaction=True)
def test_a_role_that_is_meant_is_taken_on_and_left_in_one_round_trip(
    tenant, django_assert_num_queries
):
    job = JobFactory(tenant=tenant)

    with meaning(DatabaseRole.API, tenant.id), django_assert_num_queries(1):
        assert shown.find(tenant.id, job.event_id) is not None
    with meaning(DatabaseRole.API, uuid.uuid4()):
        assert shown.find(tenant.id, job.event_id) is None

    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('role'), current_setting('guidepost.tenant', true)")
        assert cursor.fetchone() == ("none", "")


# --- Nothing new ----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_who_has_the_answer_already_gets_none(api, tenant):
    job = completed(JobFactory(tenant=tenant))
    path = f"/jobs/{job.event_id}"

    first = api.get(path)
    again = api.get(path, HTTP_IF_NONE_MATCH=f'"other", W/{first.headers["ETag"]}')
    Job.objects.for_tenant(tenant.id).filter(pk=job.pk).update(unknown_calls=3)
    changed = api.get(path, HTTP_IF_NONE_MATCH=first.headers["ETag"])

    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert (changed.status_code, changed.json()["usage"]["unknown_calls"]) == (200, 3)


def test_a_job_that_waits_has_no_tag_since_its_place_changes_with_others(api, tenant):
    job = JobFactory(tenant=tenant)

    assert "ETag" not in api.get(f"/jobs/{job.event_id}").headers


# --- How many wait --------------------------------------------------------------------------


def waiting(tenant):
    arrivals = Intake.objects.for_tenant(tenant.id).get().arrivals
    return arrivals - TenantQueue.objects.get(pk=tenant.pk).departures


def test_arrivals_and_departures_are_the_jobs_that_wait(tenant):
    """Through every way to begin and to end waiting."""
    jobs = [JobFactory(tenant=tenant) for _ in range(4)]
    act = {"tenant_id": tenant.id, "actor": "test"}

    claim = services.start_next_job("worker")
    assert waiting(tenant) == 3
    services.hand_back(claim)
    assert waiting(tenant) == 4
    services.cancel_job(event_id=jobs[3].event_id, **act)
    assert waiting(tenant) == 3
    services.retry_job(event_id=jobs[3].event_id, **act)
    assert waiting(tenant) == 4
    completed(jobs[0])

    pending = Job.objects.for_tenant(tenant.id).filter(status=JobStatus.PENDING).count()
    assert waiting(tenant) == pending == 3
