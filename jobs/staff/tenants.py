"""Tenants: what they may use and what they use, who belongs to them, and shutting one out."""

from functools import cached_property
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Q
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse

from config.isolation import DatabaseRole, acting_as
from config.staff import Act, ActPage, ReasonForm, StaffPage, StaffRole, declare, staff_page
from jobs import plans, services, usage
from jobs.models import Job, TenantQueue
from tenants.models import ApiKey, AuditEntry, Invitation, Membership, Plan, ProviderKey, Tenant
from tenants.services import keys, standing

PER_PAGE = 50
SHOWN = 100  # members, keys and invitations of one tenant
SUSPEND = declare(
    Act(
        "tenant.suspended",
        "Suspend",
        StaffRole.ADMINISTRATOR,
        "Within a second none of its tokens and keys is good for anything, and its people are shut"
        " out of it. Jobs that were accepted still run, unless its queue is paused as well. Nothing"
        " is deleted.",
        danger=True,
    )
)
RESTORE = declare(
    Act("tenant.restored", "Restore", StaffRole.ADMINISTRATOR, "Everything works as before.")
)
CHANGE_PLAN = declare(
    Act(
        "tenant.plan_changed",
        "Change the plan",
        StaffRole.ADMINISTRATOR,
        "Caps and budgets are the other plan's at once; rates follow within a second.",
    )
)
PAUSE = declare(
    Act(
        "queue.paused",
        "Pause the queue",
        StaffRole.OPERATOR,
        "No job of this tenant begins until somebody resumes. What runs goes on, and more can be"
        " submitted, up to the tenant's cap.",
        danger=True,
    )
)
RESUME = declare(
    Act("queue.resumed", "Resume the queue", StaffRole.OPERATOR, "The tenant's jobs begin again.")
)
REVOKE = declare(
    Act(
        "key.revoked",
        "Revoke",
        StaffRole.OPERATOR,
        "The key and every token it was given are good for nothing within a second. It cannot be"
        " undone: its owner makes another one.",
        danger=True,
    )
)


@staff_page("tenants/", name="tenants", label="Tenants", place=50)
class TenantsPage(StaffPage):
    title = "Tenants"
    template = "tenants.html"

    def context(self) -> dict[str, Any]:
        words = self.request.GET.get("q", "").strip()
        after = self.request.GET.get("after", "")
        tenants = Tenant.objects.select_related("queue").order_by("slug")
        if words:
            found = Q(slug__startswith=words.lower()) | Q(name__istartswith=words)
            try:
                found |= Q(pk=UUID(words))
            except ValueError:
                pass
            tenants = tenants.filter(found)
        rows = list(tenants.filter(slug__gt=after)[: PER_PAGE + 1])
        return {
            "tenants": rows[:PER_PAGE],
            "after": rows[PER_PAGE - 1].slug if len(rows) > PER_PAGE else "",
            "words": words,
        }


class OneTenant:
    """Mixed into pages about the tenant of their address."""

    kwargs: dict[str, Any]

    @cached_property
    def tenant(self) -> Tenant:
        return get_object_or_404(Tenant.objects.select_related("plan"), pk=self.kwargs["tenant_id"])

    def back(self) -> str:
        return reverse("admin:tenant", args=[self.kwargs["tenant_id"]])


@staff_page("tenants/tenant/<uuid:tenant_id>/", name="tenant")
class TenantPage(OneTenant, StaffPage):
    template = "tenant.html"

    def context(self) -> dict[str, Any]:
        tenant = self.tenant
        of_tenant = {"tenant_id": tenant.pk}
        queue = TenantQueue.objects.filter(**of_tenant).first()
        members = Membership.objects.for_tenant(tenant.pk).select_related("user")
        invitations = Invitation.objects.for_tenant(tenant.pk).filter(accepted_at=None)
        jobs = Job.objects.for_tenant(tenant.pk).without_content().filter(deleted_at=None)
        entries = AuditEntry.objects.for_tenant(tenant.pk).exclude(action="job.submitted")
        acts = [
            ("tenant_suspend", SUSPEND) if tenant.is_active else ("tenant_restore", RESTORE),
            ("tenant_plan", CHANGE_PLAN),
            ("queue_resume", RESUME) if queue and queue.is_paused else ("queue_pause", PAUSE),
        ]
        return {
            "title": tenant.name,
            "tenant": tenant,
            "queue": queue,
            "caps": usage.caps(tenant.pk),
            "budgets": usage.budgets(tenant.pk),
            "members": members.order_by("role", "pk")[:SHOWN],
            "keys": ApiKey.objects.for_tenant(tenant.pk).order_by("revoked_at", "-pk")[:SHOWN],
            "invitations": invitations.filter(revoked_at=None).order_by("-pk")[:SHOWN],
            "provider_key": ProviderKey.objects.for_tenant(tenant.pk).defer("sealed_key").first(),
            "jobs": jobs.order_by("-event_id")[:10],
            "entries": entries.order_by("-at", "-id")[:20],
            "acts": [
                (act, reverse(f"admin:{name}", args=[tenant.pk]))
                for name, act in acts
                if self.may(act)
            ],
            "may_revoke": self.may(REVOKE),
        }


class TenantAct(OneTenant, ActPage):
    def about(self) -> str:
        return f"The tenant {self.tenant.name} ({self.tenant.slug})"


class StandingPage(TenantAct):
    active: bool

    def perform(self, form: Any) -> str:
        changed = standing.set_active(self.tenant.pk, active=self.active)
        said = "restored" if self.active else "suspended"
        return f"The tenant is {said}." if changed else f"The tenant was {said} already."


@staff_page("tenants/tenant/<uuid:tenant_id>/suspend/", name="tenant_suspend")
class SuspendPage(StandingPage):
    act, active = SUSPEND, False


@staff_page("tenants/tenant/<uuid:tenant_id>/restore/", name="tenant_restore")
class RestorePage(StandingPage):
    act, active = RESTORE, True


class QueuePage(TenantAct):
    paused: bool

    def perform(self, form: Any) -> str:
        changed = services.pause_queue(self.tenant.pk, paused=self.paused)
        said = "paused" if self.paused else "resumed"
        return f"The queue is {said}." if changed else f"The queue was {said} already."


@staff_page("tenants/tenant/<uuid:tenant_id>/pause/", name="queue_pause")
class PausePage(QueuePage):
    act, paused = PAUSE, True


@staff_page("tenants/tenant/<uuid:tenant_id>/resume/", name="queue_resume")
class ResumePage(QueuePage):
    act, paused = RESUME, False


class PlanChoiceForm(ReasonForm):
    plan = forms.ModelChoiceField(Plan.objects.order_by("code"), empty_label=None)
    field_order = ["plan", "reason"]


@staff_page("tenants/tenant/<uuid:tenant_id>/plan/", name="tenant_plan")
class ChangePlanPage(TenantAct):
    act, form_class = CHANGE_PLAN, PlanChoiceForm

    def initial(self) -> dict[str, Any]:
        return {"plan": self.tenant.plan_id}

    def perform(self, form: Any) -> str:
        plan = form.cleaned_data["plan"]
        changed = plans.assign_plan(tenant=self.tenant, plan=plan)
        return f"The plan is {plan.name}." if changed else f"The plan was {plan.name} already."


@staff_page("tenants/tenant/<uuid:tenant_id>/keys/<str:client_id>/revoke/", name="key_revoke")
class RevokePage(TenantAct):
    act = REVOKE

    @cached_property
    def key(self) -> ApiKey:
        mine = ApiKey.objects.for_tenant(self.kwargs["tenant_id"])
        return get_object_or_404(mine, client_id=self.kwargs["client_id"])

    def about(self) -> str:
        return f"The key “{self.key.name}” ({self.key.client_id}) of {self.tenant.name}"

    def perform(self, form: Any) -> str:
        tenant_id = self.kwargs["tenant_id"]
        with acting_as(DatabaseRole.API, tenant_id):
            revoked = keys.revoke_key(tenant_id=tenant_id, client_id=self.kwargs["client_id"])
        if revoked is None:
            raise Http404
        return "The key is revoked."
