"""Every act of staff, tried as every role through its page: who may does it, with a reason in the
audit log; for whoever may not nothing happens, and that is in the log too."""

from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib import admin
from django.urls import reverse

from config.staff import StaffRole, acts
from jobs import breaker, bulk, error_groups, plans, services
from jobs.filters import JobFilter
from jobs.models import ErrorGroup
from tenants.models import AuditEntry, AuditSeal
from tenants.services import standing
from tests.factories import ApiKeyFactory, JobFactory, PlanFactory, TenantFactory, UserFactory
from tests.jobs.acts import completed, failed

admin.autodiscover()
WHY = {"reason": "Because of the matrix"}


def to(page, /, *arguments, **form):
    return reverse(f"admin:{page}", args=arguments), form


def of_job(name, make=lambda job: job, **form):
    return lambda: to(name, make(JobFactory()).event_id, **form)


def replay():
    job = completed(JobFactory())
    return to("job_replay", job.event_id, model=job.options["model"], **job.prompts)


def group(name, state=None):
    def make():
        failed(JobFactory())
        error_groups.count()
        found = ErrorGroup.objects.get()
        if state:
            error_groups.set_state(found, state)
        return to(name, found.pk)

    return make


def start():
    failed(JobFactory())
    url, form = to("bulk_new", kind="retry", name="n", rate=1, token=str(uuid4()))
    return f"{url}?status=FAILED", form


def abort():
    action = bulk.start(kind="retry", chosen=JobFilter(), actor="a", reason="r")
    return to("bulk_abort", action.pk)


def circuit(name, *, opened=False):
    def make():
        if opened:
            breaker.hold_open("llm_quota")
        return to(name, breaker.circuit_name())

    return make


def queue(name, *, paused=False):
    def make():
        tenant = TenantFactory()
        if paused:
            services.pause_queue(tenant.pk, paused=True)
        return to(name, tenant.pk)

    return make


def restore():
    tenant = TenantFactory()
    standing.set_active(tenant.pk, active=False)
    return to("tenant_restore", tenant.pk)


def key():
    made = ApiKeyFactory().key
    return to("key_revoke", made.tenant_id, made.client_id)


def plan(**changed):
    def make():
        made = PlanFactory()
        held = {name: getattr(made, name) for name in plans.FIELDS} | {"max_running": 3}
        held |= {"allowed_models": "", "retention_days": ""} | changed
        return to("plan_new", **held) if changed else to("plan", made.code, **held)

    return make


def person(name, **fields):
    def make():
        made = UserFactory(**fields)
        if name == "person_factors":
            from accounts.services import enrol_totp
            from tests.accounts.acts import SECRET

            enrol_totp(made, SECRET)
        return to(name, made.public_id, staff_role="viewer")

    return make


HOW = {
    "job.retried": of_job("job_retry", failed),
    "job.replayed": replay,
    "job.cancelled": of_job("job_cancel"),
    "job.priority_changed": of_job("job_priority", priority=1),
    "job.revealed": of_job("job_reveal"),
    "bulk.started": start,
    "bulk.aborted": abort,
    "error_group.resolved": group("error_group_resolve"),
    "error_group.ignored": group("error_group_ignore"),
    "error_group.reopened": group("error_group_reopen", ErrorGroup.State.RESOLVED),
    "circuit.held_open": circuit("circuit_open"),
    "circuit.closed": circuit("circuit_close", opened=True),
    "queue.paused": queue("queue_pause"),
    "queue.resumed": queue("queue_resume", paused=True),
    "tenant.suspended": queue("tenant_suspend"),
    "tenant.restored": restore,
    "tenant.plan_changed": lambda: to("tenant_plan", TenantFactory().pk, plan=PlanFactory().code),
    "key.revoked": key,
    "plan.changed": plan(),
    "plan.created": plan(code="new"),
    "person.added": lambda: to("person_add", email="new@example.com", staff_role="viewer"),
    "person.disabled": person("person_disable"),
    "person.enabled": person("person_enable", is_active=False),
    "staff.role_changed": person("person_role"),
    "second_factor.removed": person("person_factors"),
    "audit.verified": lambda: to("audit_verify"),
    "audit.exported": lambda: to("audit_export", form="csv"),
}


def everything():
    """Each row of our apps, by table; but for what says who came and who was refused."""
    return {
        model.__name__: sorted(map(repr, model._base_manager.all().values_list()))
        for app in ("accounts", "tenants", "jobs")
        for model in apps.get_app_config(app).get_models()
        if model not in (AuditEntry, AuditSeal)
    }


def test_every_act_is_tried():
    assert {act.code for act in acts()} == HOW.keys()


@pytest.mark.django_db
@pytest.mark.parametrize("role", StaffRole.values)
@pytest.mark.parametrize("act", acts(), ids=lambda act: act.code)
def test_an_act_is_done_by_whoever_may_and_by_nobody_else(staff_client, act, role):
    url, form = HOW[act.code]()
    browser = staff_client(role)
    before = everything()
    entries = AuditEntry.objects.across_tenants().filter(actor=browser.user.email)

    without = browser.post(url, form)
    answer = browser.post(url, form | WHY)

    if StaffRole(role).includes(act.least):
        assert without.status_code == 422
        assert answer.status_code in (200, 302)
        [entry] = entries
        assert (entry.action, entry.actor_kind, entry.outcome) == (act.code, "staff", "done")
        assert entry.after["reason"] == WHY["reason"]
    else:
        assert (without.status_code, answer.status_code) == (403, 403)
        assert set(entries.values_list("action", flat=True)) == {"access.refused"}
        assert everything() == before
