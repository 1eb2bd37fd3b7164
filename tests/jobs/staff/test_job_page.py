from datetime import timedelta

import pytest
from django.urls import reverse

from jobs import reveals, services
from jobs.models import Job, JobStatus, Priority
from tenants.models import AuditEntry
from tests.callers import at_once
from tests.factories import JobFactory
from tests.jobs.acts import claimed, completed, failed
from tests.jobs.exported import SOURCE, chain_result, hostile_result
from tests.llm.conftest import offline  # noqa: F401

pytestmark = pytest.mark.django_db
WHY = {"reason": "A customer asked"}


def url(name, job):
    return reverse(f"admin:{name}", args=[job.event_id])


def again(job):
    return Job.objects.across_tenants().get(pk=job.pk)


def entry(action):
    return AuditEntry.objects.across_tenants().get(action=action)


@pytest.fixture
def operator(staff_client):
    return staff_client("operator")


@pytest.fixture
def viewer(staff_client):
    return staff_client("viewer")


def test_metadata_may_be_called_anything(viewer):
    job = JobFactory(metadata={"items": "twelve"})

    assert "<dt>items</dt><dd>twelve</dd>" in viewer.get(url("job", job)).text


# --- The page -----------------------------------------------------------------------------------


def test_all_that_became_of_a_job_but_no_word_of_it(viewer, tenant):
    job = failed(JobFactory(tenant=tenant, title="Hygiene", metadata={"case": "A-17"}))

    page = viewer.get(url("job", job))

    for said in ("Hygiene", "A-17", job.error_code, job.error_detail, "FAILED", "attempt 1"):
        assert said in page.text
    assert "raw provider text" not in page.text
    assert "wash their hands" not in page.text


def test_its_moves_have_durations_and_its_calls_their_cost(viewer, tenant):
    page = viewer.get(url("job", completed(JobFactory(tenant=tenant))))

    moves = page.context["moves"]
    assert [event.to_status for event, _ in moves] == ["PENDING", "PROCESSING", "COMPLETED"]
    assert [lasted is None for _, lasted in moves] == [True, False, False]
    assert [bar.label for bar in page.context["drawing"].bars] == ["attempt 1"]


def test_a_job_that_runs_keeps_its_page_fresh_until_it_is_over(viewer, tenant):
    job = JobFactory(tenant=tenant)
    assert 'data-refresh="2"' in viewer.get(url("job", job)).text

    failed(job)

    assert "data-refresh" not in viewer.get(url("job", job)).text


def test_no_such_job_is_404(viewer):
    assert viewer.get("/admin/jobs/job/00000000-0000-0000-0000-000000000000/").status_code == 404


@pytest.mark.parametrize(
    ("make", "acts"),
    [
        (lambda job: job, ["Change priority", "Cancel"]),
        (lambda job: claimed(job) and again(job), ["Cancel"]),
        (completed, ["Run again with …"]),
        (failed, ["Retry", "Run again with …"]),
    ],
)
def test_what_can_be_done_is_offered_to_whoever_may(operator, viewer, tenant, make, acts):
    job = make(JobFactory(tenant=tenant))

    offered = operator.get(url("job", job)).context["acts"]

    assert [each["act"].label for each in offered] == acts
    assert viewer.get(url("job", job)).context["acts"] == []


def test_the_number_of_statements_does_not_grow(viewer, tenant, django_assert_max_num_queries):
    job = failed(JobFactory(tenant=tenant))
    for _ in range(3):
        services.retry_job(tenant_id=tenant.id, event_id=job.event_id, actor="a")
        failed(again(job))

    with django_assert_max_num_queries(20):
        viewer.get(url("job", job))


# --- Acts ---------------------------------------------------------------------------------------


def test_a_failed_job_is_retried_once_with_its_reason_in_both_histories(operator, tenant):
    job = failed(JobFactory(tenant=tenant))

    done = operator.post(url("job_retry", job), WHY)
    operator.post(url("job_retry", job), WHY)

    assert done.headers["Location"] == url("job", job)
    assert (again(job).status, again(job).run) == (JobStatus.PENDING, 2)
    assert entry("job.retried").after["reason"] == "A customer asked"
    assert (entry("job.retried").actor_kind, entry("job.retried").tenant_id) == ("staff", tenant.id)
    assert job.events.for_tenant(tenant.id).get(seq=4).note == "A customer asked"


@pytest.mark.django_db(transaction=True)
def test_two_who_press_at_once_make_one_retry(staff_client, tenant):
    job = failed(JobFactory(tenant=tenant))
    first, second = staff_client("operator"), staff_client("operator")

    at_once(*(lambda c=c: c.post(url("job_retry", job), WHY) for c in (first, second)))

    assert again(job).run == 2
    assert AuditEntry.objects.across_tenants().filter(action="job.retried").count() == 1


def test_a_waiting_job_is_moved_and_cancelled(operator, tenant):
    job = JobFactory(tenant=tenant)

    operator.post(url("job_priority", job), WHY | {"priority": Priority.HIGH})
    assert again(job).priority == Priority.HIGH
    assert entry("job.priority_changed").after == {"priority": "high", **WHY}

    operator.post(url("job_cancel", job), WHY)
    assert again(job).status == JobStatus.CANCELLED
    assert entry("job.cancelled").after["reason"] == "A customer asked"


def test_what_is_not_possible_is_said_on_the_form_and_changes_nothing(operator, tenant):
    job = completed(JobFactory(tenant=tenant))

    for name, more in (("job_retry", {}), ("job_cancel", {}), ("job_priority", {"priority": 1})):
        refused = operator.post(url(name, job), WHY | more)
        assert refused.status_code == 409, name
        assert "The job is COMPLETED" in refused.text
        assert "A customer asked" in refused.text  # nobody types it twice

    assert again(job).status == JobStatus.COMPLETED
    assert not AuditEntry.objects.across_tenants().filter(action="job.retried").exists()


def test_a_replay_is_a_new_job_of_the_tenant_with_another_prompt(operator, tenant):
    job = completed(JobFactory(tenant=tenant))
    form = operator.get(url("job_replay", job)).context["form"]
    chosen = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}

    done = operator.post(url("job_replay", job), chosen | WHY | {"summarize": 1})

    again = operator.post(url("job_replay", job), chosen | WHY | {"summarize": 1})
    new = Job.objects.across_tenants().exclude(pk=job.pk).get()
    assert again.headers["Location"] == done.headers["Location"]
    assert done.headers["Location"] == url("job", new)
    assert (new.replay_of_id, new.tenant_id, new.prompts["summarize"]) == (job.pk, tenant.id, 1)
    assert new.submitted_by == job.submitted_by
    assert entry("job.replayed").after["reason"] == "A customer asked"
    assert str(new.event_id) in operator.get(url("job", job)).text


def test_without_a_reason_nothing_is_done(operator, tenant):
    job = failed(JobFactory(tenant=tenant))

    asked = operator.post(url("job_retry", job), {"reason": "  "})

    assert asked.status_code == 422
    assert "This field is required" in asked.text
    assert again(job).status == JobStatus.FAILED


# --- What it says -------------------------------------------------------------------------------


@pytest.fixture
def told(tenant, offline):  # noqa: F811
    job = JobFactory(tenant=tenant, guideline_text=SOURCE)
    return completed(job, chain_result(offline.url))


def test_the_text_is_behind_a_reason_which_the_owner_reads_too(
    operator, staff_client, told, person_client_for, tenant
):
    asked = operator.get(url("job_text", told))
    assert asked.headers["Location"] == url("job_reveal", told)

    done = operator.post(url("job_reveal", told), WHY)
    page = operator.get(done.headers["Location"])

    assert page.status_code == 200
    assert "visibly soiled" in page.text
    assert "“A customer asked”" in page.text
    assert staff_client("administrator").get(url("job_text", told)).status_code == 302
    [shown] = person_client_for(tenant).get("/audit?action=job.revealed").json()["data"]
    assert shown["after"]["reason"] == "A customer asked"
    assert shown["actor"] == {"kind": "staff", "name": operator.user.email}


def test_a_reason_holds_for_half_an_hour(operator, told, monkeypatch):
    assert timedelta(minutes=30) == reveals.LASTS
    operator.post(url("job_reveal", told), WHY)
    assert operator.get(url("job_text", told)).status_code == 200

    monkeypatch.setattr(reveals, "LASTS", timedelta(0))

    assert operator.get(url("job_text", told)).status_code == 302


def test_a_viewer_reveals_nothing(viewer, told):
    assert "/text/" not in viewer.get(url("job", failed(JobFactory()))).text
    assert viewer.get(url("job_text", told)).status_code == 403
    assert viewer.post(url("job_reveal", told), WHY).status_code == 403
    assert "Reveal" not in viewer.get(url("job", told)).text


def test_citations_lie_where_the_guideline_has_them(operator, told):
    operator.post(url("job_reveal", told), WHY)

    content = operator.get(url("job_text", told)).context["content"]

    assert "".join(piece.text for piece in content.pieces) == SOURCE
    for _, items in content.checklist.groups:
        for item in items:
            for n, citation in enumerate(item.citations, 1):
                of_citation = [p for p in content.pieces if f"i{item.number}-{n}" in p.by]
                assert "".join(piece.text for piece in of_citation) == citation.quote
    anchors = [anchor for piece in content.pieces for anchor in piece.anchors]
    assert len(anchors) == len(set(anchors))


def test_raw_errors_stand_with_the_text(operator, tenant):
    job = failed(JobFactory(tenant=tenant))
    operator.post(url("job_reveal", job), WHY)

    assert "raw provider text" in operator.get(url("job_text", job)).text


def test_hostile_text_of_tenants_and_models_stays_text(operator, tenant):
    attack = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7|add:7 }}"
    job = JobFactory(
        tenant=tenant, title=attack, metadata={attack[:30]: attack}, guideline_text=attack * 3
    )
    job = completed(job, hostile_result())
    operator.post(url("job_reveal", job), {"reason": attack})

    for name in ("job", "job_text", "job_reveal", "job_replay"):
        page = operator.get(url(name, job)).text
        assert "<script>alert" not in page, name
        assert "<img src=x" not in page, name
        assert "<svg/onload" not in page, name


def test_what_is_not_revealed_is_not_opened(tenant):
    job = JobFactory(tenant=tenant)

    with pytest.raises(reveals.NotRevealed), reveals.opened(tenant.id, job.event_id):
        pass
