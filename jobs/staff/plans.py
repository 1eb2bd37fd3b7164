"""Plans: what their tenants may use."""

from functools import cached_property
from typing import Any

from django import forms
from django.db.models import Count
from django.shortcuts import get_object_or_404
from django.urls import reverse

from config.staff import Act, ActPage, ReasonForm, StaffPage, StaffRole, declare, staff_page
from jobs import plans
from tenants.models import Plan

LIMITS = [name for name in plans.FIELDS if name != "code"]
CHANGE = declare(
    Act(
        "plan.changed",
        "Change",
        StaffRole.ADMINISTRATOR,
        "All its tenants are held to it at once; rates follow within a second.",
    )
)
CREATE = declare(Act("plan.created", "New plan", StaffRole.ADMINISTRATOR, "No tenant has it yet."))


@staff_page("plans/", name="plans", label="Plans", place=60)
class PlansPage(StaffPage):
    title = "Plans"
    template = "plans.html"

    def context(self) -> dict[str, Any]:
        known = Plan.objects.annotate(held_by=Count("tenants")).order_by("code")
        return {
            "plans": known,
            "may_change": self.may(CHANGE),
            "change": CHANGE,
            "create": CREATE,
        }


class PlanForm(ReasonForm, forms.ModelForm):
    """A plan's limits, and why they are as they are now."""

    class Meta:
        model = Plan
        fields = LIMITS

    field_order = [*LIMITS, "reason"]


class NewPlanForm(PlanForm):
    class Meta:
        model = Plan
        fields = ["code", *LIMITS]

    field_order = ["code", *LIMITS, "reason"]


@staff_page("plans/new/", name="plan_new")
class NewPlanPage(ActPage):
    act, form_class = CREATE, NewPlanForm

    def perform(self, form: Any) -> str:
        plans.save_plan(form.save(commit=False))
        return "The plan is made."

    def back(self) -> str:
        return reverse("admin:plans")


@staff_page("plans/<slug:code>/", name="plan")
class ChangePlanPage(ActPage):
    act, form_class = CHANGE, PlanForm

    @cached_property
    def plan(self) -> Plan:
        return get_object_or_404(Plan, pk=self.kwargs["code"])

    def about(self) -> str:
        return f"The plan {self.plan.name}. Tenants that have it: {self.plan.tenants.count()}"

    def form_takes(self) -> dict[str, Any]:
        return {"instance": self.plan}

    def perform(self, form: Any) -> str:
        plans.save_plan(form.save(commit=False))
        return "The plan is changed."

    def back(self) -> str:
        return reverse("admin:plans")
