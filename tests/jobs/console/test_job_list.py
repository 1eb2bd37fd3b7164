"""The list of jobs in the console, and its first page."""

import html
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.services import enrol_totp
from jobs import breaker, deletion, services
from tenants.console import page
from tenants.models import Role
from tenants.services import keys
from tests.accounts.acts import SECRET
from tests.factories import ApiKeyFactory, JobFactory, TenantFactory
from tests.jobs.acts import claimed, failed

pytestmark = pytest.mark.django_db
ATTACK = "<script>alert(1)</script>"


def statements(console, name, **query):
    with CaptureQueriesContext(connection) as seen:
        assert console.get(name, **query).status_code == 200
    return len(seen)


# --- The list -----------------------------------------------------------------------------------


def test_jobs_newest_first_with_what_becomes_of_them(console, tenant):
    lost = failed(JobFactory(tenant=tenant, title="Fire drills"))
    JobFactory(tenant=tenant, priority=1)
    JobFactory(tenant=TenantFactory(), title="Elsewhere")

    text = console.get("jobs").text

    assert text.index("Untitled") < text.index("Fire drills")
    assert "is-failed" in text and lost.error_code in text and "high" in text
    assert "Elsewhere" not in text
    assert 'data-refresh="5"' in text


def test_a_list_of_which_nothing_goes_on_stays_as_it_is(console, tenant):
    failed(JobFactory(tenant=tenant))

    assert "data-refresh" not in console.get("jobs").text


def test_progress_is_shown_while_it_runs(console, tenant):
    claim = claimed(JobFactory(tenant=tenant))
    services.save_progress(claim, 3, 12)

    text = console.get("jobs").text

    assert "Summarise" in text and "3 of 12 passages" in text


def test_one_status_is_shown_and_an_unknown_one_is_said(console, tenant):
    failed(JobFactory(tenant=tenant, title="Lost"))
    JobFactory(tenant=tenant, title="Waits")

    shown = console.get("jobs", status="FAILED").text
    unknown = console.get("jobs", status="LOST<b>")

    assert ("Lost" in shown, "Waits" in shown) == (True, False)
    assert unknown.status_code == 422
    assert "no status “LOST&lt;b&gt;”" in unknown.text and "EXPIRED" in unknown.text


@pytest.mark.parametrize("sees_own_only", [False, True])
def test_jobs_are_found_by_day_and_by_metadata(console_for, tenant, monkeypatch, sees_own_only):
    monkeypatch.setattr(page, "PER_PAGE", 1)
    console = console_for(tenant, Role.MEMBER, sees_own_only=sees_own_only)
    mine = {"tenant": tenant, "submitted_by": str(console.user.public_id)}
    for n in range(2):
        JobFactory(**mine, title=f"Ward {n}", metadata={"ward": "7b"})
    JobFactory(**mine, title="Elsewhere", metadata={"ward": "8"})
    today = timezone.now().date()

    first = console.get("jobs", metadata="ward = 7b", created_after=today, created_before="").text
    following = re.search(r'href="(\?[^"]*before=[0-9a-f-]{36}[^"]*)"', first)[1]
    second = console.browser.get(console.url("jobs") + html.unescape(following)).text

    assert ("Ward 1" in first, "Ward 0" in first, "Elsewhere" in first) == (True, False, False)
    assert ("Ward 1" in second, "Ward 0" in second, "Elsewhere" in second) == (False, True, False)
    assert 'value="ward = 7b"' in second and "<details" in second and " open" in second
    assert "No job is like that" in console.get("jobs", created_before=today).text
    assert "No job is like that" in console.get("jobs", metadata="ward=9").text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"created_after": "yesterday"}, "Datetime has wrong format"),
        ({"metadata": "ward"}, "as in ward=7b"),
        ({"metadata": "=7b"}, "“=7b” is no pair"),
        ({"stauts": "FAILED"}, "stauts"),
        ({"created_after": ["2026-01-01", "2026-01-02"]}, "more than once"),
    ],
)
def test_what_cannot_be_looked_for_is_said(console, tenant, asked, said):
    JobFactory(tenant=tenant, title="Not this")

    answer = console.get("jobs", **asked)

    assert answer.status_code == 422
    assert said in answer.text and "Not this" not in answer.text


@pytest.mark.parametrize("status", ["", "PENDING"])
@pytest.mark.parametrize("sees_own_only", [False, True])
def test_many_jobs_stand_on_several_pages(console_for, tenant, monkeypatch, status, sees_own_only):
    monkeypatch.setattr(page, "PER_PAGE", 2)
    console = console_for(tenant, Role.MEMBER, sees_own_only=sees_own_only)
    for n in range(5):
        JobFactory(tenant=tenant, title=f"Job {n}", submitted_by=str(console.user.public_id))
    asked = f"?status={status}" if status else ""

    seen, query = [], asked
    while True:
        text = console.browser.get(console.url("jobs") + query).text
        seen.append(re.findall(r"Job (\d)", text))
        following = re.search(r'href="(\?[^"]*before=[^"]+)"', text)
        if not following:
            break
        query = html.unescape(following[1])

    assert seen == [["4", "3"], ["2", "1"], ["0"]]


def test_the_place_of_another_tenants_job_shows_but_own_jobs(console, tenant):
    JobFactory(tenant=tenant, title="Mine")
    theirs = JobFactory(tenant=TenantFactory(), title="Theirs")

    text = console.get("jobs", before=str(theirs.event_id)).text

    assert "Mine" in text and "Theirs" not in text
    assert console.get("jobs", before="soon").status_code == 422


def test_who_sees_own_jobs_only_sees_those_and_what_is_shared(
    console_for, tenant, person_client_for
):
    console = console_for(tenant, Role.MEMBER, sees_own_only=True)
    JobFactory(tenant=tenant, title="Mine", submitted_by=str(console.user.public_id))
    JobFactory(tenant=tenant, title="Secret")
    shared = JobFactory(tenant=tenant, title="Shared")
    owner = person_client_for(tenant)
    owner.post(f"/jobs/{shared.event_id}/shares", {"role": "member"}, format="json")

    for name in ("jobs", "overview"):
        text = console.get(name).text
        assert [word in text for word in ("Mine", "Secret", "Shared")] == [True, False, True], name


def test_deleted_jobs_are_gone_and_hostile_titles_are_text(console, tenant):
    job = failed(JobFactory(tenant=tenant, title="Gone"))
    deletion.delete_job(tenant_id=tenant.id, event_id=job.event_id)
    JobFactory(tenant=tenant, title=ATTACK)

    text = console.get("jobs").text

    assert "Gone" not in text and ATTACK not in text and "&lt;script&gt;" in text


@pytest.mark.parametrize("name", ["jobs", "overview"])
@pytest.mark.parametrize("sees_own_only", [False, True])
def test_a_page_costs_the_same_however_many_jobs_there_are(
    console_for, tenant, name, sees_own_only
):
    role = Role.MEMBER if sees_own_only else Role.OWNER
    console = console_for(tenant, role, sees_own_only=sees_own_only)
    me = {"tenant": tenant, "submitted_by": str(console.user.public_id)}
    JobFactory(**me)
    console.get(name)
    one = statements(console, name)

    for _ in range(9):
        JobFactory(**me)

    assert statements(console, name) == one
    assert one <= {"jobs": 19, "overview": 25}[name]


def test_whoever_may_not_submit_is_offered_no_form(console_for, tenant):
    for role, offered in ((Role.MEMBER, True), (Role.VIEWER, False)):
        console = console_for(tenant, role)
        assert ("New job" in console.get("jobs").text) is offered
        assert (console.url("job-new") in console.get("overview").text) is offered


# --- The overview -------------------------------------------------------------------------------


def test_who_has_a_password_alone_is_told_of_second_factors(console):
    assert "Set up a second factor" in console.get("overview").text

    enrol_totp(console.user, SECRET)

    assert "Set up a second factor" not in console.get("overview").text


def test_a_tenant_without_jobs_reads_where_to_begin(console, console_for, tenant):
    text = console.get("overview").text
    assert "Begin here" in text and console.url("job-new") in text
    assert console.url("key-new") in text and console.url("member-invite") in text

    assert "Begin here" not in console_for(tenant, Role.VIEWER).get("overview").text

    JobFactory(tenant=tenant)
    assert "Begin here" not in console.get("overview").text


def test_how_much_is_used_is_for_whoever_may_read_it(console, console_for, tenant):
    claimed(JobFactory(tenant=tenant))
    JobFactory(tenant=tenant)

    text = " ".join(console.get("overview").text.split())

    assert "1 of 16" in text and "1 of 10,000" in text
    assert "Tokens today" in text and "Promised" in text and "<progress" in text
    assert "Tokens today" not in console_for(tenant, Role.VIEWER).get("overview").text


def test_failed_jobs_of_the_last_days_are_counted_up_to_a_limit(console, tenant, monkeypatch):
    for _ in range(3):
        failed(JobFactory(tenant=tenant))
    assert "3 of the jobs of the last 7 days failed" in console.get("overview").text

    monkeypatch.setattr("jobs.console.overview.FAILED_COUNTED", 2)
    assert "More than 2 of the jobs" in console.get("overview").text

    monkeypatch.setattr("jobs.console.overview.FAILED_WITHIN", timedelta(0))
    assert "of the jobs of the last" not in console.get("overview").text


def test_keys_that_end_soon_are_named_to_whoever_manages_them(console, console_for, tenant):
    now = timezone.now()
    for name, days in (("Soon", 13), ("Later", 15), ("Ended", -1)):
        ApiKeyFactory(tenant=tenant, name=name, expires_at=now + timedelta(days=20))
        tenant.api_keys.filter(name=name).update(expires_at=now + timedelta(days=days))
    keys.revoke_api_key(ApiKeyFactory(tenant=tenant, name="Revoked").key)
    tenant.api_keys.filter(name="Revoked").update(expires_at=now + timedelta(days=1))

    text = console.get("overview").text

    named = [name for name in ("Soon", "Later", "Ended", "Revoked") if name in text]
    assert named == ["Soon"]
    assert "Soon" not in console_for(tenant, Role.MEMBER).get("overview").text


def test_what_holds_jobs_back_is_said(console, tenant):
    JobFactory(tenant=tenant)
    assert "Jobs wait for" not in console.get("overview").text

    services.pause_queue(tenant.id, paused=True)
    assert "have paused your queue" in console.get("overview").text

    services.pause_queue(tenant.id, paused=False)
    breaker.hold_open("llm_quota")
    assert "the language model, which is away" in console.get("overview").text
