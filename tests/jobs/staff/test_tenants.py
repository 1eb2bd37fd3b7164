import pytest
from django.urls import reverse

from jobs import plans
from jobs.models import TenantQueue
from tenants.models import AuditEntry, Plan, Tenant
from tests.callers import member_of
from tests.factories import ApiKeyFactory, JobFactory, PlanFactory, TenantFactory

pytestmark = pytest.mark.django_db
TENANTS, PLANS = reverse("admin:tenants"), reverse("admin:plans")
WHY = {"reason": "Unpaid since June"}


@pytest.fixture
def administrator(staff_client):
    return staff_client("administrator")


def url(name, tenant, *more):
    return reverse(f"admin:{name}", args=[tenant.pk, *more])


def entry(action):
    return AuditEntry.objects.across_tenants().get(action=action)


def test_tenants_are_found_by_name_slug_and_id(administrator):
    north = TenantFactory(name="Northern Hospitals", slug="north")
    TenantFactory(slug="south")

    for words in ("nor", "Northern", str(north.pk)):
        found = administrator.get(TENANTS, {"q": words}).context["tenants"]
        assert [tenant.slug for tenant in found] == ["north"], words


def test_the_list_comes_in_pages(administrator, monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr("jobs.staff.tenants.PER_PAGE", 2)
    for n in range(3):
        TenantFactory(slug=f"x{n}")

    with django_assert_max_num_queries(9):
        first = administrator.get(TENANTS, {"q": "x"})
    second = administrator.get(TENANTS, {"q": "x", "after": first.context["after"]})

    assert [tenant.slug for tenant in second.context["tenants"]] == ["x2"]


def test_a_tenant_with_all_that_is_its_own(administrator, django_assert_max_num_queries):
    new = ApiKeyFactory(name="Ward 7")
    tenant, key = new.key.tenant, new.key
    member = member_of(tenant)
    job = JobFactory(tenant=tenant)

    with django_assert_max_num_queries(24):
        page = administrator.get(url("tenant", tenant)).text

    for said in ("Ward 7", key.client_id, member.user.email, str(job.event_id), tenant.plan.name):
        assert said in page
    assert key.digest not in page
    assert new.client_secret not in page


def test_a_tenant_is_shut_out_and_let_in_again(administrator, client_for):
    tenant = TenantFactory()
    api = client_for(tenant)
    assert api.get("/jobs").status_code == 200

    administrator.post(url("tenant_suspend", tenant), WHY)
    again = administrator.post(url("tenant_suspend", tenant), WHY, follow=True)

    from tenants import standing

    standing._recent.clear()  # a second later
    assert "was suspended already" in again.text
    assert api.get("/jobs").status_code == 401
    assert entry("tenant.suspended").after == {"is_active": False, **WHY}
    assert entry("tenant.suspended").tenant_id == tenant.id

    administrator.post(url("tenant_restore", tenant), WHY)
    standing._recent.clear()
    assert api.get("/jobs").status_code == 200
    assert entry("tenant.restored").after["reason"] == WHY["reason"]


def test_a_queue_is_paused_and_resumed_once(staff_client, tenant):
    operator = staff_client("operator")

    for name, paused in (("pause", True), ("resume", False)):
        operator.post(url(f"queue_{name}", tenant), WHY)
        operator.post(url(f"queue_{name}", tenant), WHY)
        assert TenantQueue.objects.get(tenant=tenant).is_paused is paused
        assert entry(f"queue.{name}d").after == WHY


def test_a_plan_is_given_with_its_caps(administrator, tenant):
    plan = PlanFactory(max_running=3)

    administrator.post(url("tenant_plan", tenant), WHY | {"plan": plan.code})

    assert Tenant.objects.get(pk=tenant.pk).plan_id == plan.code
    assert TenantQueue.objects.get(tenant=tenant).max_running == 3
    assert entry("tenant.plan_changed").after == {"plan": plan.code, **WHY}


def test_a_key_is_revoked_for_its_tenant_and_no_other(staff_client):
    key, other = ApiKeyFactory().key, TenantFactory()
    operator = staff_client("operator")

    assert operator.post(url("key_revoke", other, key.client_id), WHY).status_code == 404
    operator.post(url("key_revoke", key.tenant, key.client_id), WHY)
    operator.post(url("key_revoke", key.tenant, key.client_id), WHY)

    key.refresh_from_db()
    assert key.revoked_at is not None
    assert (entry("key.revoked").tenant_id, entry("key.revoked").after) == (key.tenant_id, WHY)


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_what_is_for_administrators_is_refused_to_others(staff_client, tenant, role):
    browser = staff_client(role)

    for name in ("tenant_suspend", "tenant_restore", "tenant_plan"):
        assert browser.post(url(name, tenant), WHY).status_code == 403
    assert browser.post(reverse("admin:plan", args=[tenant.plan_id]), WHY).status_code == 403
    assert browser.post(reverse("admin:plan_new"), WHY).status_code == 403
    assert Tenant.objects.get(pk=tenant.pk).is_active


# --- Plans --------------------------------------------------------------------------------------


def fields(plan, **changed):
    held = {name: getattr(plan, name) for name in plans.FIELDS}
    held |= {"allowed_models": ",".join(plan.allowed_models)}
    held |= {"money_per_month": f"{plan.money_per_month / 1_000_000:f}"} | changed
    return {name: "" if value is None else value for name, value in held.items()}


def test_a_plan_is_changed_for_all_its_tenants(administrator, tenant):
    plan = PlanFactory()
    plans.assign_plan(tenant=tenant, plan=plan)
    page = reverse("admin:plan", args=[plan.code])
    assert "Tenants that have it: 1" in administrator.get(page).text

    done = administrator.post(page, fields(plan, max_running=5) | WHY)
    administrator.post(page, fields(plan, max_running=5) | WHY)

    assert done.headers["Location"] == PLANS
    assert TenantQueue.objects.get(tenant=tenant).max_running == 5
    changed = entry("plan.changed")
    assert (changed.before["max_running"], changed.after["max_running"]) == (16, 5)
    assert changed.after["reason"] == WHY["reason"]


@pytest.mark.parametrize(
    ("typed", "kept"), [("1000", 10**9), ("0.50", 500_000), ("0", 0), ("12.345678", 12_345_678)]
)
def test_money_is_typed_and_shown_in_dollars(administrator, typed, kept):
    plan = PlanFactory()
    page = reverse("admin:plan", args=[plan.code])

    administrator.post(page, fields(plan, money_per_month=typed) | WHY)

    assert Plan.objects.get(pk=plan.pk).money_per_month == kept
    shown = administrator.get(page)
    assert "in US dollars" in shown.text
    assert float(shown.context["form"]["money_per_month"].value()) == float(typed)


@pytest.mark.parametrize("typed", ["-1", "0.0000001", "1" + "0" * 12, "", "lots"])
def test_what_is_no_amount_of_money_is_refused(administrator, typed):
    plan = PlanFactory()

    page = administrator.post(
        reverse("admin:plan", args=[plan.code]), fields(plan, money_per_month=typed) | WHY
    )

    assert page.status_code == 422
    assert page.context["form"].errors.keys() == {"money_per_month"}
    assert Plan.objects.get(pk=plan.pk).money_per_month == plan.money_per_month


def test_each_limit_says_what_it_limits(administrator):
    page = administrator.get(reverse("admin:plan_new"))

    form = page.context["form"]
    assert [name for name, field in form.fields.items() if not field.help_text] == []
    assert form["money_per_month"].value() == 1000
    assert "of: guidepost-offline-1" in form.fields["allowed_models"].help_text


def test_a_plan_that_allows_nothing_is_refused(administrator):
    plan = PlanFactory()

    page = administrator.post(
        reverse("admin:plan", args=[plan.code]), fields(plan, max_running=0) | WHY
    )

    assert page.status_code == 422
    assert Plan.objects.get(pk=plan.pk).max_running == 16


def test_a_new_plan_is_made(administrator, django_assert_max_num_queries):
    administrator.post(reverse("admin:plan_new"), fields(Plan(code="small", name="Small")) | WHY)

    assert entry("plan.created").after["reason"] == WHY["reason"]
    assert "The plan is made." in administrator.get(PLANS).text
    with django_assert_max_num_queries(8):
        assert "small" in administrator.get(PLANS).text
