from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from jobs import bulk
from jobs.models import BulkAction
from tenants.models import AuditEntry, Plan
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import completed, failed

NEW = reverse("admin:bulk_new")
pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(staff_client):
    return staff_client("operator")


def form_of(page, **given):
    form = page.context["form"]
    shown = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    return {name: value for name, value in shown.items() if value is not None} | given


def entries(action):
    return AuditEntry.objects.across_tenants().filter(action=action)


def test_what_would_be_done_is_shown_first(operator):
    north = TenantFactory(slug="north")
    for _ in range(2):
        failed(JobFactory(tenant=north))
    failed(JobFactory())
    completed(JobFactory(tenant=north))

    page = operator.get(f"{NEW}?tenant=north")

    preview = page.context["preview"]
    assert (preview.total, preview.is_more, preview.tenants) == (2, False, [("north", 2)])
    assert preview.errors == [("llm_refused", 2)]
    assert "of north" in page.text


def test_a_preview_counts_no_further_than_it_helps(operator, monkeypatch):
    monkeypatch.setattr(bulk, "COUNTED", 1)
    for _ in range(3):
        failed(JobFactory())

    assert "more than 1" in " ".join(operator.get(NEW).text.split())


@pytest.mark.parametrize(
    ("asked", "kind"), [("status=FAILED", "retry"), ("status=PENDING", "cancel"), ("", "retry")]
)
def test_what_can_be_done_to_them_is_chosen(operator, asked, kind):
    assert operator.get(f"{NEW}?{asked}").context["kind"] == kind


def test_what_cannot_be_done_is_said(operator):
    failed(JobFactory())

    assert "To cancel, choose one of" in operator.get(f"{NEW}?status=FAILED&kind=cancel").text
    sent = {"kind": "cancel", "name": "n", "rate": 1, "reason": "r"}
    token = "00000000-0000-4000-8000-000000000000"
    refused = operator.post(f"{NEW}?status=FAILED", sent | {"token": token})
    assert refused.status_code == 422
    assert not BulkAction.objects.exists()


@pytest.mark.parametrize(
    "wrong", ["tenant=acme%20corp", "since=yesterday", f"shape={'x' * 501}", "state=x"]
)
def test_a_filter_that_is_not_well_formed_acts_on_nothing(operator, wrong):
    failed(JobFactory())
    url = f"{NEW}?status=FAILED&{wrong}"

    page = operator.get(url)
    assert "The filter is not well formed" in page.text
    assert "?status=FAILED&amp;kind=" not in page.text  # no way around what was left out
    assert page.context["back"].startswith(f"{reverse('admin:jobs')}?status=FAILED&{wrong[:6]}")
    refused = operator.post(
        url, form_of(operator.get(f"{NEW}?status=FAILED"), reason="r", name="n", rate=1)
    )

    assert refused.status_code == 422
    assert not BulkAction.objects.exists()


def test_it_is_begun_once_watched_and_ends_with_a_count_of_what_it_left(operator):
    poor = TenantFactory(plan={"tokens_per_day": 10**9})
    for tenant in (poor, TenantFactory(), TenantFactory()):
        failed(JobFactory(tenant=tenant))
    page = operator.get(f"{NEW}?status=FAILED")
    sent = form_of(page, name="After the outage", rate=100, reason="The provider is back")

    first = operator.post(f"{NEW}?status=FAILED", sent)
    second = operator.post(f"{NEW}?status=FAILED", sent)

    action = BulkAction.objects.get()
    assert first.headers["Location"] == second.headers["Location"]
    assert entries("bulk.started").get().after["reason"] == "The provider is back"
    assert (action.total, action.name) == (3, "After the outage")
    assert action.filter == {"status": "FAILED"}
    Plan.objects.filter(tenants=poor).update(tokens_per_day=1)

    for _ in range(2):
        BulkAction.objects.update(worked_at=timezone.now() - timedelta(seconds=1))
        bulk.work()

    watched = operator.get(first.headers["Location"])
    assert "3 of 3 jobs" in watched.text
    assert "data-refresh" not in watched.text
    assert watched.context["action"].skipped == {"quota_exceeded": 1}
    done = entries("job.retried").order_by("id")
    assert [entry.on_behalf_of for entry in done] == [operator.user.email] * 2
    assert {entry.after["reason"] for entry in done} == {"The provider is back"}
    assert entries("bulk.ended").get().after["changed"] == 2


def test_it_is_aborted_with_a_reason(operator):
    for _ in range(3):
        failed(JobFactory())
    sent = form_of(operator.get(f"{NEW}?status=FAILED"), reason="r", rate=1)
    one = operator.post(f"{NEW}?status=FAILED", sent).headers["Location"]
    assert 'data-refresh="1"' in operator.get(one).text

    operator.post(f"{one}abort/", {"reason": "Wrong tenant"})
    again = operator.post(f"{one}abort/", {"reason": "Wrong tenant"}, follow=True)

    assert "It had ended already." in again.text
    assert BulkAction.objects.get().state == "aborted"
    assert entries("bulk.aborted").get().after["reason"] == "Wrong tenant"


def test_a_viewer_watches_and_does_nothing(operator, staff_client):
    failed(JobFactory())
    sent = form_of(operator.get(f"{NEW}?status=FAILED"), reason="r")
    one = operator.post(f"{NEW}?status=FAILED", sent).headers["Location"]
    viewer = staff_client("viewer")

    assert viewer.get(one).status_code == 200
    assert "Abort" not in viewer.get(one).text
    assert viewer.get(NEW).status_code == 403
    assert viewer.post(f"{one}abort/", {"reason": "r"}).status_code == 403
    assert BulkAction.objects.get().state == "running"


def test_the_history_comes_in_pages(operator, monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr("jobs.staff.bulk.PER_PAGE", 2)
    for n in range(3):
        bulk.start(kind="retry", chosen=bulk.JobFilter(), actor="a", reason="r", name=f"action {n}")

    with django_assert_max_num_queries(10):
        first = operator.get(reverse("admin:bulk"))
    second = operator.get(reverse("admin:bulk") + first.context["older"])

    names = [[each["action"].name for each in page.context["actions"]] for page in (first, second)]
    assert names == [["action 2", "action 1"], ["action 0"]]


def test_a_stale_sign_in_comes_back_to_the_same_filter(staff_client):
    from tests.accounts.acts import sign_in

    browser = staff_client("operator")
    sign_in(browser, browser.user, seconds_ago=400)

    sent = browser.post(f"{NEW}?status=FAILED&tenant=north", {"reason": "r"})

    assert sent.headers["Location"].startswith("/accounts/reauthenticate/?next=")
    assert "status%3DFAILED%26tenant%3Dnorth" in sent.headers["Location"]
