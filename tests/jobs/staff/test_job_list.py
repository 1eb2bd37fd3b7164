from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.urls import reverse

from config.isolation import DatabaseRole, acting_as
from jobs import deletion, services
from jobs.models import JobLabel, Priority, first_id_of
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import completed, failed

LIST = reverse("admin:jobs")
pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer(staff_client):
    return staff_client("viewer")


def shown(response):
    assert response.status_code == 200
    return [row["event_id"] for row in response.context["rows"]]


def test_jobs_of_all_tenants_newest_first_in_few_statements(viewer, django_assert_num_queries):
    jobs = [JobFactory() for _ in range(3)]

    # Three for the role, three for the patience, a savepoint's two; session, person, jobs, tenants,
    # the second factor.
    with django_assert_num_queries(13):
        page = viewer.get(LIST)

    assert shown(page) == [job.event_id for job in reversed(jobs)]
    assert all(job.tenant.slug in page.text for job in jobs)


@pytest.mark.parametrize("asked", ["", "status=FAILED", "tenant=north"])
def test_pages_by_key_forth_and_back(viewer, monkeypatch, asked):
    monkeypatch.setattr("jobs.staff.job_list.PER_PAGE", 2)
    tenant = TenantFactory(slug="north")
    made = [failed(JobFactory(tenant=tenant)).event_id for _ in range(5)][::-1]

    first = viewer.get(f"{LIST}?{asked}")
    second = viewer.get(first.context["older"])
    third = viewer.get(second.context["older"])
    back = viewer.get(third.context["newer"])

    assert [shown(page) for page in (first, second, third)] == [made[:2], made[2:4], made[4:]]
    assert shown(back) == made[2:4]
    assert (first.context["newer"], third.context["older"]) == ("", "")
    assert viewer.get(back.context["newer"]).context["newer"] == ""


def test_each_filter_leaves_what_it_names(viewer, settings):
    settings.MODELS = ["other-model"]
    north = TenantFactory(slug="north")
    lost = failed(JobFactory(tenant=north))
    services.retry_job(tenant_id=north.id, event_id=lost.event_id, actor="a")
    lost = failed(lost)
    done = completed(JobFactory(metadata={"case": "A-17"}, options={"model": "other-model"}))
    waits = JobFactory(priority=Priority.HIGH, metadata={"A-17": "key, not value"})

    def found(**asked):
        return shown(viewer.get(LIST, asked))

    assert found(status="PENDING") == [waits.event_id]
    assert found(tenant="north") == [lost.event_id]
    assert found(tenant="nobody") == []
    assert found(error_code=lost.error_code) == [lost.event_id]
    assert found(error_code="poison") == []
    assert found(model="other-model") == [done.event_id]
    assert found(attempts=2) == [lost.event_id]
    assert found(attempts=3) == []
    assert found(worker="w") == [done.event_id, lost.event_id]
    assert found(metadata="case=A-17") == [done.event_id]
    assert found(metadata="A-17") == [done.event_id]
    assert found(metadata='") || true') == []
    assert found(since="2000-01-01 00:00") == [waits.event_id, done.event_id, lost.event_id]
    assert found(until="2000-01-01 00:00") == []
    assert found(status="COMPLETED", model="other-model", worker="w") == [done.event_id]
    assert found(status="COMPLETED", tenant="north") == []


def test_what_is_no_filter_is_said_and_lists_nothing(staff_client):
    JobFactory()
    operator = staff_client("operator")

    page = operator.get(LIST, {"status": "LOST", "since": "yesterday", "attempts": "-1"})
    misspelt = operator.get(LIST, {"state": "FAILED"})

    assert shown(page) == shown(misspelt) == []
    assert page.text.count('class="errorlist"') == 3
    assert "Status: Select a valid choice. LOST is not one" in page.text
    assert "There is no filter state. There is: status, tenant," in misspelt.text
    for each in (page, misspelt):
        assert "nothing is listed" in each.text
        assert reverse("admin:bulk_new") not in each.text
        assert "all jobs" not in each.text


def test_deleted_jobs_are_not_listed(viewer):
    job = failed(JobFactory(metadata={"case": "A-17"}))
    assert JobLabel.objects.for_tenant(job.tenant_id).get(event_id=job.event_id).value == "A-17"
    with acting_as(DatabaseRole.API, job.tenant_id):
        deletion.delete_job(tenant_id=job.tenant_id, event_id=job.event_id)
    assert not JobLabel.objects.across_tenants().exists()

    assert shown(viewer.get(LIST)) == []
    assert viewer.get(reverse("admin:job", args=[job.event_id])).status_code == 200


def test_a_search_leads_where_it_is_meant(viewer):
    north = TenantFactory(slug="north")
    job = JobFactory(tenant=north)
    page = reverse("admin:job", args=[job.event_id])

    def leads(words):
        return viewer.get(LIST, {"q": words}).headers["Location"]

    assert leads(str(job.event_id)) == page
    assert leads(f"  {job.event_id.hex.upper()} ") == page
    assert leads(str(job.event_id)[:13]) == page
    assert leads("north") == f"{LIST}?tenant=north"
    assert leads("case=A-17") == f"{LIST}?metadata=case%3DA-17"
    assert leads("A-17") == f"{LIST}?metadata=A-17"
    assert leads("0" * 32) == f"{LIST}?metadata={'0' * 32}"


def test_what_many_event_ids_begin_with_leads_to_their_time_and_no_further(viewer):
    ids = [JobFactory().event_id for _ in range(2)]
    begin = ids[0].hex[:8]  # a span of 66 seconds
    width = timedelta(milliseconds=16**4)

    page = viewer.get(LIST, {"q": begin}, follow=True)

    asked = page.context["filter"]
    since, until = datetime.fromisoformat(asked.since), datetime.fromisoformat(asked.until)
    assert until - since == width
    assert first_id_of(since).hex == begin.ljust(32, "0")
    assert ids[0] in shown(page)


@pytest.mark.parametrize("asked", ["since=1960-01-01", "since=0001-01-01&until=9999-12-31"])
def test_jobs_since_before_there_were_ids_are_all_jobs(viewer, asked):
    job = JobFactory()

    assert shown(viewer.get(f"{LIST}?{asked}")) == [job.event_id]


@pytest.mark.parametrize("field", ["q", "tenant", "model", "worker", "metadata", "shape", "before"])
@pytest.mark.parametrize("words", ["=", "'\"<(*", "00000000", "x" * 5000])
def test_no_words_break_the_page(viewer, field, words):
    assert viewer.get(LIST, {field: words}, follow=True).status_code == 200


@pytest.mark.parametrize("path", ["jobs", "tenants", "people", "audit", "bulk", "error_groups"])
@pytest.mark.parametrize("field", ["q"])
def test_what_no_text_may_hold_is_a_bad_request(staff_client, path, field):
    asked = {field: "a\0b"}

    assert staff_client("administrator").get(reverse(f"admin:{path}"), asked).status_code == 400


def test_a_question_that_takes_too_long_is_given_up_and_says_so(viewer, monkeypatch):
    JobFactory()
    monkeypatch.setattr("jobs.staff.job_list.PATIENCE", 0.001)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION slow(jobs_job) RETURNS bool LANGUAGE sql VOLATILE AS"
            " $$ SELECT pg_sleep(0.1) IS NOT NULL $$"
        )
        cursor.execute("ALTER POLICY guidepost_staff ON jobs_job USING (slow(jobs_job))")

    page = viewer.get(LIST)

    assert page.status_code == 200
    assert "That takes too long" in page.text


def test_hostile_titles_and_metadata_stay_text(viewer):
    JobFactory(
        title="<script>alert(1)</script>", metadata={"<b>k": '"><img src=x onerror=alert(1)>'}
    )

    page = viewer.get(LIST, {"metadata": '"><img src=x onerror=alert(1)>'})

    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
