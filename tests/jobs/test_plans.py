"""Plans are given out and changed by staff, and hold at once."""

import pytest

from jobs import plans, services
from jobs.models import TenantQueue
from tenants.models import AuditEntry, Plan
from tests.factories import JobFactory, PlanFactory, TenantFactory

pytestmark = pytest.mark.django_db


def caps(tenant):
    queue = TenantQueue.objects.get(pk=tenant.pk)
    return queue.max_running, queue.max_waiting


def policy_of(api):
    return api.get("/jobs").headers["RateLimit-Policy"]


def test_every_tenant_has_the_standard_plan(tenant, api):
    assert tenant.plan.code == "standard"
    assert policy_of(api) == '"read";q=6000;w=60'


def test_a_queue_begins_with_the_caps_of_the_plan():
    tenant = TenantFactory()
    tenant.plan = PlanFactory(max_running=3, max_waiting=7)
    tenant.save()

    JobFactory(tenant=tenant)

    assert caps(tenant) == (3, 7)


def test_an_assigned_plan_is_the_queues_too_and_stands_in_the_audit_log(tenant, api):
    JobFactory(tenant=tenant)
    plan = PlanFactory(max_running=3, max_waiting=7, reads_per_minute=5)

    assert plans.assign_plan(tenant=tenant, plan=plan)
    assert not plans.assign_plan(tenant=tenant, plan=plan)

    assert caps(tenant) == (3, 7)
    assert policy_of(api) == '"read";q=5;w=60'
    entry = AuditEntry.objects.for_tenant(tenant.id).get(action="tenant.plan_changed")
    assert (entry.action, entry.before, entry.after) == (
        "tenant.plan_changed",
        {"plan": "standard"},
        {"plan": plan.code},
    )


def test_a_changed_plan_changes_the_queues_of_all_its_tenants():
    plan = PlanFactory()
    tenants = [TenantFactory() for _ in range(2)]
    for tenant in tenants:
        plans.assign_plan(tenant=tenant, plan=plan)
    plan.max_running = 2

    plans.save_plan(plan)

    assert [caps(tenant)[0] for tenant in tenants] == [2, 2]
    entry = AuditEntry.objects.across_tenants().get(action="plan.changed")
    assert (entry.before["max_running"], entry.after["max_running"]) == (16, 2)


def test_a_plan_that_allows_nothing_is_not_stored():
    with pytest.raises(Exception, match="plan_allows_something"):
        Plan.objects.create(code="none", name="None", max_running=0)


def test_what_staff_sets_for_one_queue_stays_until_the_plan_changes(tenant):
    JobFactory(tenant=tenant)

    services.set_queue(tenant.id, max_running=9)

    assert caps(tenant) == (9, 10_000)
