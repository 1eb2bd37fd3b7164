"""Plans: what their tenants may use."""

from decimal import Decimal
from functools import cached_property
from typing import Any

from django import forms
from django.db.models import Count
from django.shortcuts import get_object_or_404
from django.urls import reverse

from config.staff import Act, ActPage, ReasonForm, StaffPage, StaffRole, declare, staff_page
from jobs import plans
from tenants.models import Plan
from tenants.preferences import installed_models

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


MICROS = 1_000_000  # of a dollar: that is how money is counted


class DollarsField(forms.DecimalField):
    """Dollars to whoever types, millionths of a dollar to the model."""

    def __init__(self, **kwargs: Any):
        super().__init__(min_value=0, max_digits=18, decimal_places=6, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return Decimal(value) / MICROS if isinstance(value, int) else value

    def clean(self, value: Any) -> Any:
        return int(super().clean(value) * MICROS)


class PlanForm(ReasonForm, forms.ModelForm):
    """A plan's limits, and why they are as they are now."""

    money_per_month = DollarsField(
        label="Money a month, in US dollars",
        initial=Plan._meta.get_field("money_per_month").default,
        help_text="What its jobs may cost in a calendar month in UTC, for example 1000 or 0.50."
        " 0: only what costs nothing.",
    )

    class Meta:
        model = Plan
        fields = LIMITS
        labels = {
            "submits_per_minute": "Submissions a minute",
            "reads_per_minute": "Reads a minute",
            "manages_per_minute": "Other requests a minute",
            "max_running": "Jobs running at once",
            "max_waiting": "Jobs waiting",
            "tokens_per_day": "Tokens a day",
            "retention_days": "Jobs are kept for, in days",
        }
        help_texts = {
            "name": "What people read beside its code.",
            "submits_per_minute": "Requests that submit a job, in any 60 seconds, of all the"
            " tenant's callers together.",
            "reads_per_minute": "Requests that read, counted likewise.",
            "manages_per_minute": "Requests that change anything else, such as to retry a job, to"
            " make a key or to invite a person; counted likewise.",
            "max_running": "More wait for their turn.",
            "max_waiting": "A submission beyond that is refused.",
            "tokens_per_day": "What its jobs may use in a day in UTC, prompts and replies alike.",
            "retention_days": "Counted from their end; then they are deleted. Empty: for ever. A"
            " tenant may choose a number of its own.",
        }

    field_order = [*LIMITS, "reason"]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields[
            "allowed_models"
        ].help_text = (
            f"Separated by commas, of: {', '.join(installed_models())}. Empty: all of them."
        )


class NewPlanForm(PlanForm):
    class Meta(PlanForm.Meta):
        fields = ["code", *LIMITS]
        help_texts = PlanForm.Meta.help_texts | {
            "code": "How the API and the audit log name it. It stays as it is.",
        }

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
