import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from config.isolation import DatabaseRole, acting_as
from jobs import error_groups
from jobs.filters import JobFilter
from jobs.models import ErrorGroup, ErrorGroupCount, Failure, Job
from llm.errors import Refused, Truncated
from tenants.models import AuditEntry
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import claimed, fail, failed, in_thread

GROUPS = reverse("admin:error_groups")
WHY = {"reason": "Mended in the provider's console"}
db = pytest.mark.django_db


@pytest.mark.parametrize(
    ("said", "form"),
    [
        ("At most 4,096 tokens; these are 5000.", "At most <n> tokens; these are <n>."),
        ("Job 0199a0b1-7c00-7abc-8def-0123456789ab failed", "Job <id> failed"),
        ("The prompt `summarize` and “checklist” 2", "The prompt <name> and <name> <n>"),
        ("request req 0123456789abcdef", "request req <id>"),
        ("The facade was defaced", "The facade was defaced"),
        ("  two \n lines ", "two lines"),
        ("", "<no message>"),
        ("1 1 2 3", "<n>"),
        ("`a` `b`c", "<name>c"),
        ("word " * 90, ("word " * 60)[:300] + "…"),
    ],
)
def test_a_shape_leaves_out_what_differs_and_finds_it_again(said, form):
    assert error_groups.shape(said) == form
    assert re.search(error_groups.pattern(form), said)
    assert len(form) <= 500
    if not form.endswith("…"):
        assert not re.search(error_groups.pattern(form), said + " and more")


@db
def test_only_shapes_that_a_group_has_are_looked_for(tenant):
    """Anybody may write an address; what is in it is no regular expression to be run."""
    failed(JobFactory(tenant=tenant))

    assert not JobFilter(shape="<n><id><n><id><n>x").jobs().exists()
    error_groups.count()
    assert JobFilter(shape=ErrorGroup.objects.get().shape).jobs().exists()


@db
def test_failures_are_counted_once_into_their_group(tenant):
    other = TenantFactory()
    for whose in (tenant, tenant, other):
        failed(JobFactory(tenant=whose))
    failed(JobFactory(tenant=other), Truncated("cut"))

    with acting_as(DatabaseRole.WORKER):
        assert (error_groups.count(), error_groups.count()) == (4, 0)

    groups = {group.error_code: group for group in ErrorGroup.objects.all()}
    assert {code: group.count for code, group in groups.items()} == {
        "llm_refused": 3,
        "llm_truncated": 1,
    }
    refused = ErrorGroupCount.objects.across_tenants().filter(group=groups["llm_refused"])
    assert dict(refused.values_list("tenant", "count")) == {tenant.id: 2, other.id: 1}
    assert not Failure.objects.across_tenants().exists()


@pytest.mark.django_db(transaction=True)
def test_a_second_pump_counts_nothing_twice(tenant):
    for _ in range(20):
        failed(JobFactory(tenant=tenant))

    counted = [future.result() for future in [in_thread(error_groups.count) for _ in range(4)]]
    counted.append(error_groups.count())

    assert sum(counted) == 20
    assert ErrorGroup.objects.get().count == 20


@db
def test_what_fails_again_after_it_was_resolved_is_back(staff_client, tenant):
    failed(JobFactory(tenant=tenant))
    error_groups.count()
    group = ErrorGroup.objects.get()
    operator = staff_client("operator")

    done = operator.post(reverse("admin:error_group_resolve", args=[group.pk]), WHY, follow=True)
    assert "The group is resolved." in done.text
    assert "back again" not in operator.get(GROUPS).text

    failed(JobFactory(tenant=tenant))
    error_groups.count()

    assert "back again" in operator.get(GROUPS).text
    group.refresh_from_db()
    assert (group.state, group.is_back) == ("open", True)


@db
def test_what_is_ignored_stays_so_and_comes_last(staff_client, tenant):
    failed(JobFactory(tenant=tenant))
    failed(JobFactory(tenant=tenant), Truncated("cut"))
    error_groups.count()
    ignored = ErrorGroup.objects.get(error_code="llm_truncated")
    operator = staff_client("operator")
    operator.post(reverse("admin:error_group_ignore", args=[ignored.pk]), WHY)
    failed(JobFactory(tenant=tenant), Truncated("cut"))
    error_groups.count()

    rows = operator.get(GROUPS).context["rows"]

    assert [(row["group"].error_code, row["group"].state) for row in rows] == [
        ("llm_refused", "open"),
        ("llm_truncated", "ignored"),
    ]
    assert rows[1]["hour"] == rows[1]["day"] == 2


@db
def test_each_act_has_its_reason_in_the_audit_log(staff_client, tenant):
    failed(JobFactory(tenant=tenant))
    error_groups.count()
    pk = ErrorGroup.objects.get().pk
    operator, viewer = staff_client("operator"), staff_client("viewer")

    for name, action in (("resolve", "resolved"), ("reopen", "reopened"), ("ignore", "ignored")):
        url = reverse(f"admin:error_group_{name}", args=[pk])
        assert viewer.post(url, WHY).status_code == 403
        operator.post(url, WHY)
        operator.post(url, WHY)
        entry = AuditEntry.objects.across_tenants().get(action=f"error_group.{action}")
        assert (entry.after["reason"], entry.tenant_id) == (WHY["reason"], None)


@db
def test_a_group_shows_its_jobs_and_leads_to_retrying_them(staff_client, tenant):
    job = failed(JobFactory(tenant=tenant))
    error_groups.count()
    operator = staff_client("operator")

    page = operator.get(reverse("admin:error_group", args=[ErrorGroup.objects.get().pk]))

    assert [shown.pk for shown in page.context["jobs"]] == [job.pk]
    assert page.context["tenants"] == [(tenant.slug, 1)]
    assert operator.get(page.context["retry_url"]).context["preview"].total == 1
    assert operator.get(page.context["jobs_url"]).context["rows"][0]["event_id"] == job.event_id


@db
def test_the_lists_take_few_statements(staff_client, tenant, django_assert_max_num_queries):
    failed(JobFactory(tenant=tenant))
    error_groups.count()
    viewer, group = staff_client("viewer"), ErrorGroup.objects.get()

    with django_assert_max_num_queries(9):
        viewer.get(GROUPS)
    with django_assert_max_num_queries(13):
        viewer.get(reverse("admin:error_group", args=[group.pk]))


@db
def test_what_is_old_is_forgotten(tenant):
    failed(JobFactory(tenant=tenant))
    error_groups.count()
    long_ago = timezone.now() - timedelta(days=91)
    ErrorGroupCount.objects.across_tenants().update(since=long_ago)
    with acting_as(DatabaseRole.WORKER):
        assert error_groups.forget() == 0
    assert not ErrorGroupCount.objects.across_tenants().exists()

    ErrorGroup.objects.update(last_seen_at=long_ago)

    assert error_groups.forget() == 1


@db
def test_a_failure_that_is_rolled_back_is_none(tenant):
    from django.db import transaction

    claim = claimed(JobFactory(tenant=tenant))
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        fail(claim, Refused("x"))
        raise ZeroDivisionError

    assert error_groups.count() == 0
    assert Job.objects.across_tenants().get().status == "PROCESSING"
