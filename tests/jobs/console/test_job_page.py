"""A job's page in the console, its files, and what may be done to it."""

import re
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs import deletion, services
from jobs.console.job_page import KINDS, WAITS
from jobs.exports import FORMATS
from jobs.models import Job, JobStatus
from jobs.queue import WAITING_ON
from jobs.result_schema import FINDINGS
from tenants.models import AuditEntry, Role
from tests.accounts.acts import sign_in
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import claimed, completed, failed
from tests.jobs.exported import SOURCE, chain_result, hostile_result
from tests.llm.conftest import offline  # noqa: F401

pytestmark = pytest.mark.django_db
ACTS = ("job-cancel", "job-retry", "job-replay", "job-delete")
FILES = [f"checklist-{ending}" for ending in FORMATS]


def again(job):
    return Job.objects.across_tenants().get(pk=job.pk)


@pytest.fixture
def told(tenant, offline):  # noqa: F811
    job = JobFactory(tenant=tenant, guideline_text=SOURCE, title="Hand hygiene")
    return completed(job, chain_result(offline.url))


# --- Where it stands ----------------------------------------------------------------------------


def test_a_waiting_job_says_why_and_keeps_its_page_fresh(console, tenant):
    JobFactory(tenant=tenant)
    job = JobFactory(tenant=tenant, metadata={"ward": "7b"})

    text = " ".join(console.get("job", job.event_id).text.split())

    assert "It waits for the next free worker. Place 2" in text
    assert 'data-refresh="2"' in text
    assert "Untitled" in text and "7b" in text


def test_metadata_may_be_called_anything(console, tenant):
    job = JobFactory(tenant=tenant, metadata={"items": "twelve", "0": "zero"})

    text = console.get("job", job.event_id).text

    assert '<dt dir="auto">items</dt><dd dir="auto">twelve</dd>' in text
    assert '<dt dir="auto">0</dt><dd dir="auto">zero</dd>' in text


def test_there_are_words_for_all_that_it_may_say():
    assert set(WAITS) == set(WAITING_ON)
    assert set(KINDS) == set(FINDINGS)


def test_a_running_job_shows_how_far_it_is(console, tenant):
    job = JobFactory(tenant=tenant)
    services.save_progress(claimed(job), 3, 1200)

    text = console.get("job", job.event_id).text

    assert "Summarise: 3 of 1,200 passages" in text
    assert '<progress value="3" max="1200" aria-label="Summarise">' in text


def test_a_failed_job_says_what_to_do_and_stays_as_it_is(console, tenant):
    job = failed(JobFactory(tenant=tenant))

    text = console.get("job", job.event_id).text

    assert job.error_detail in text and f"/docs/errors#{job.error_code}" in text
    assert "raw provider text" not in text and "data-refresh" not in text


def test_jobs_of_others_and_deleted_ones_are_not_there(console, console_for, tenant):
    gone = failed(JobFactory(tenant=tenant))
    deletion.delete_job(tenant_id=tenant.id, event_id=gone.event_id)
    theirs = failed(JobFactory(tenant=TenantFactory()))
    colleagues = failed(JobFactory(tenant=tenant))
    confined = console_for(tenant, Role.MEMBER, sees_own_only=True)

    for who, event_id in (
        (console, gone.event_id),
        (console, theirs.event_id),
        (console, uuid4()),
        (confined, colleagues.event_id),
    ):
        for name in ("job", *FILES, *ACTS):
            if name != "job-delete" or who is console:
                assert who.get(name, event_id).status_code == 404, name
        for name in ACTS:
            assert who.send(name, event_id).status_code == 404, name
    assert [again(job).status for job in (theirs, colleagues)] == ["FAILED", "FAILED"]
    assert not again(colleagues).deleted_at


def test_other_jobs_are_linked_where_they_may_be_opened(console, tenant):
    first = completed(JobFactory(tenant=tenant))
    second = JobFactory(tenant=tenant, supersedes=first.event_id)
    link = f'href="{console.url("job", first.event_id)}"'

    assert link in console.get("job", second.event_id).text

    deletion.delete_job(tenant_id=tenant.id, event_id=first.event_id)
    text = console.get("job", second.event_id).text
    assert link not in text and str(first.event_id) in text


# --- What it says -------------------------------------------------------------------------------


def test_citations_lie_where_the_guideline_has_them(console, told):
    content = console.get("job", told.event_id).context["content"]

    assert "".join(piece.text for piece in content.pieces) == SOURCE
    for item in content.checklist.items:
        for n, citation in enumerate(item.citations, 1):
            of_citation = [p for p in content.pieces if f"i{item.number}-{n}" in p.by]
            assert "".join(piece.text for piece in of_citation) == citation.quote


def test_the_checklist_is_there_with_its_files_and_counts(console, told):
    page = console.get("job", told.event_id)

    checklist = page.context["content"].checklist
    for said in checklist.findings:
        assert said in page.text
    for name in FILES:
        assert f'href="{console.url(name, told.event_id)}"' in page.text
    assert 'id="item-1"' in page.text and "Before contact" in page.text


def test_a_report_points_into_the_guideline(console, tenant, told):
    result = dict(told.result)
    at = SOURCE.index("every day")
    place = {"start": at, "end": at + 9, "section": "Records", "text": "every day"}
    finding = {"kind": "vague", "severity": "low", "message": "Say <how> often."}
    result["report"] = {"findings": [{**finding, "places": [place]}], "counts": {}}
    job = completed(JobFactory(tenant=tenant, guideline_text=SOURCE), result)

    page = console.get("job", job.event_id)

    assert "Threshold without a number" in page.text and "Say &lt;how&gt; often." in page.text
    [marked] = [p.text for p in page.context["content"].pieces if "f1-1" in p.anchors]
    assert "every day".startswith(marked)


def test_items_in_doubt_are_named_first(console, tenant):
    job = completed(JobFactory(tenant=tenant), hostile_result())

    text = console.get("job", job.event_id).text

    assert text.index('href="#item-1"') < text.index('id="item-1"')
    assert "and more" in text


def test_hostile_text_of_tenants_and_models_stays_text(console, tenant):
    attack = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7|add:7 }}"
    job = JobFactory(
        tenant=tenant, title=attack, metadata={attack[:30]: attack}, guideline_text=attack * 3
    )
    job = completed(job, hostile_result())

    for name in ("job", "jobs", "overview", "job-replay", "job-delete"):
        text = console.get(name, *([job.event_id] if "job" in name and name != "jobs" else [])).text
        for mark_up in ("<script>alert", "<img src=x", "<svg/onload"):
            assert mark_up not in text, (name, mark_up)


@pytest.mark.parametrize("ending", FORMATS)
def test_a_file_is_the_one_that_the_api_gives(console, api, told, ending):
    ours = console.get(f"checklist-{ending}", told.event_id)
    theirs = api.get(f"/jobs/{told.event_id}/checklist.{ending}")

    assert ours.content == theirs.content
    for name in ("Content-Type", "Content-Disposition", "Content-Security-Policy", "ETag"):
        assert ours.headers[name] == theirs.headers[name], name
    assert ours.headers["Cache-Control"] == "no-store"
    known = console.browser.get(
        console.url(f"checklist-{ending}", told.event_id), headers={"If-None-Match": ours["ETag"]}
    )
    assert (known.status_code, known.content) == (304, b"")


def test_without_a_checklist_there_is_no_file(console, tenant):
    job = JobFactory(tenant=tenant)

    answer = console.get("checklist-docx", job.event_id)

    assert answer.status_code == 409 and "The job has no checklist" in answer.text


def test_the_number_of_statements_does_not_grow_with_the_checklist(console, tenant):
    def statements(job):
        with CaptureQueriesContext(connection) as seen:
            console.get("job", job.event_id)
        return len(seen)

    short = completed(JobFactory(tenant=tenant), hostile_result(items=1))
    long = completed(JobFactory(tenant=tenant), hostile_result(items=200))
    statements(short)

    assert statements(short) == statements(long)


# --- What changed -------------------------------------------------------------------------------


@pytest.fixture
def edited(tenant, offline, told):  # noqa: F811
    source = SOURCE.replace("30 seconds", "40 seconds").replace("- Visitors may use", "- Pets use")
    job = JobFactory(tenant=tenant, guideline_text=source, supersedes=told.event_id)
    return completed(job, chain_result(offline.url, source))


def test_what_changed_since_the_edition_before_is_shown(console, told, edited):
    url = f"{console.url('job-diff', edited.event_id)}?with={told.event_id}"
    assert f'href="{url}"' in console.get("job", edited.event_id).text

    page = console.browser.get(url)

    changes = [field for item in page.context["changed"] for field in item["fields"]]
    assert any("30 seconds" in was and "40 seconds" in now for _, was, now in changes)
    assert "<del" in page.text and "<ins" in page.text
    [removed] = page.context["removed"]
    assert "dispenser at the door" in removed["action"]
    nothing = console.get("job-diff", told.event_id, **{"with": str(told.event_id)})
    assert "Nothing that the checklists say differs" in nothing.text


def test_only_jobs_that_are_there_and_done_are_compared(console, console_for, tenant, told):
    theirs = completed(JobFactory(tenant=TenantFactory()))
    confined = console_for(tenant, Role.MEMBER, sees_own_only=True)

    def compared(who, before, after=told):
        return who.get("job-diff", after.event_id, **{"with": str(before.event_id)})

    assert compared(console, theirs).status_code == 404
    assert compared(console, told, after=theirs).status_code == 404
    assert compared(confined, told).status_code == 404
    assert console.get("job-diff", told.event_id).status_code == 404
    assert console.get("job-diff", told.event_id, **{"with": "x"}).status_code == 404
    waiting = compared(console, JobFactory(tenant=tenant))
    assert waiting.status_code == 409 and "no result to compare" in waiting.text


def test_hostile_changes_are_text(console, tenant):
    jobs = [completed(JobFactory(tenant=tenant), hostile_result(n)) for n in (40, 60)]
    before, after = (job.event_id for job in jobs)

    for one, other in ((before, after), (after, before)):
        text = console.get("job-diff", one, **{"with": str(other)}).text
        assert "&lt;script&gt;" in text
        for mark_up in ("<script>alert", "<img src=x", "<svg/onload"):
            assert mark_up not in text


# --- Acts ---------------------------------------------------------------------------------------

MANAGES = ["Submit a new edition", "Run again", "Delete"]


@pytest.mark.parametrize(
    ("make", "acts"),
    [
        (lambda job: job, ["Cancel"]),
        (lambda job: claimed(job) and again(job), ["Cancel"]),
        (completed, MANAGES),
        (failed, ["Retry", "Run again", "Delete"]),
    ],
)
def test_what_can_be_done_is_offered_to_whoever_may(console, console_for, tenant, make, acts):
    job = make(JobFactory(tenant=tenant))

    def offered(who):
        return [act["label"] for act in who.get("job", job.event_id).context["acts"]]

    assert offered(console) == acts
    assert offered(console_for(tenant, Role.VIEWER)) == []


def test_an_act_is_refused_to_whoever_may_not(console_for, tenant):
    job = failed(JobFactory(tenant=tenant))
    viewer = console_for(tenant, Role.VIEWER)

    for name in ACTS:
        assert viewer.send(name, job.event_id).status_code == 403, name
    assert again(job).status == JobStatus.FAILED and not again(job).deleted_at


def test_a_job_is_cancelled_and_retried_in_the_name_of_who_does_it(console, tenant):
    job = JobFactory(tenant=tenant)

    assert "The job is cancelled." in console.send("job-cancel", job.event_id).text
    assert again(job).status == JobStatus.CANCELLED
    assert "waits for its new run" in console.send("job-retry", job.event_id).text
    assert (again(job).status, again(job).run) == (JobStatus.PENDING, 2)

    entries = AuditEntry.objects.for_tenant(tenant.id)
    for action in ("job.cancelled", "job.retried"):
        assert entries.get(action=action).actor == console.user.email


def test_what_is_not_possible_is_said_on_the_form_and_changes_nothing(console, tenant):
    done, waits = completed(JobFactory(tenant=tenant)), JobFactory(tenant=tenant)

    for name, job in (
        ("job-cancel", done),
        ("job-retry", done),
        ("job-replay", waits),
        ("job-delete", waits),
    ):
        refused = console.send(name, job.event_id)
        assert refused.status_code == 409, name
        assert f"The job is {job.status}" in refused.text, name
    assert [again(job).status for job in (done, waits)] == ["COMPLETED", "PENDING"]


def test_a_guideline_runs_again_as_a_new_job_with_another_model_once(console, tenant, settings):
    settings.MODELS = ["other-model"]
    once, job = uuid4(), completed(JobFactory(tenant=tenant))

    done = console.send("job-replay", job.event_id, once=once, model="other-model", reason="Why")
    console.send("job-replay", job.event_id, once=once, model="other-model", reason="Why")

    new = Job.objects.for_tenant(tenant.id).exclude(pk=job.pk).get()
    assert done.redirect_chain == [(console.url("job", new.event_id), 302)]
    assert (new.replay_of_id, new.options["model"]) == (job.pk, "other-model")
    assert new.submitted_by == str(console.user.public_id)
    entry = AuditEntry.objects.for_tenant(tenant.id).get(action="job.replayed")
    assert entry.after["reason"] == "Why"
    assert console.send("job-replay", job.event_id, model="nobodys").status_code == 422


def test_a_job_is_deleted_by_whoever_has_just_shown_that_it_is_they(console, tenant):
    job = failed(JobFactory(tenant=tenant))
    once = uuid4()
    sign_in(console.browser, console.user, seconds_ago=301)
    late = console.browser.post(console.url("job-delete", job.event_id), {"once": once})
    assert late.headers["Location"].startswith("/accounts/reauthenticate/")
    assert not again(job).deleted_at

    sign_in(console.browser, console.user)
    done = console.send("job-delete", job.event_id, once=once)
    twice = console.send("job-delete", job.event_id, once=once)

    assert done.redirect_chain == twice.redirect_chain == [(console.url("jobs"), 302)]
    assert "The job is deleted." in done.text and "sent already" in twice.text
    assert again(job).deleted_at


def test_acts_on_jobs_ask_for_no_fresh_sign_in_but_deletion(console, tenant):
    job = JobFactory(tenant=tenant)
    sign_in(console.browser, console.user, seconds_ago=301)

    statuses = {name: console.get(name, job.event_id).status_code for name in ACTS}

    assert statuses == {"job-cancel": 200, "job-retry": 200, "job-replay": 200, "job-delete": 302}
    assert re.search("cancelled", console.send("job-cancel", job.event_id).text)
