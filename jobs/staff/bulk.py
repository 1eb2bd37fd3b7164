"""Many jobs at once: what would be done, what is being done, and what was."""

import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from config.staff import Act, ActPage, ReasonForm, StaffPage, StaffRole, declare, staff_page
from jobs import bulk
from jobs.filters import JobFilter
from jobs.models import BulkAction
from jobs.staff.job_list import FilterForm

PER_PAGE = 30
START = declare(
    Act(
        "bulk.started",
        "Start",
        StaffRole.OPERATOR,
        "It is done to the jobs that match now, a few a second, and can be aborted. Jobs that have"
        " moved on meanwhile, or whose tenant has nothing left to spend, are left alone.",
    )
)
ABORT = declare(
    Act(
        "bulk.aborted",
        "Abort",
        StaffRole.OPERATOR,
        "It stops where it is. What is done stays done.",
        danger=True,
    )
)


@staff_page("jobs/bulk/", name="bulk", label="Bulk actions", place=30)
class BulkPage(StaffPage):
    title = "Bulk actions"
    template = "bulk.html"

    def context(self) -> dict[str, Any]:
        before = self.request.GET.get("before", "")
        actions = BulkAction.objects.order_by("-pk")
        if before.isascii() and before.isdigit():
            actions = actions.filter(pk__lt=int(before))
        rows = list(actions[: PER_PAGE + 1])
        shown = rows[:PER_PAGE]
        older = f"?before={shown[-1].pk}" if len(rows) > PER_PAGE else ""
        running = any(action.state == BulkAction.State.RUNNING for action in shown)
        return {"actions": [_said(action) for action in shown], "older": older, "running": running}


def _said(action: BulkAction) -> dict[str, Any]:
    left = max(action.total - action.looked_at, 0)
    return {
        "action": action,
        "filter": JobFilter.of(action.filter),
        "left": timedelta(seconds=left / action.rate),
        "jobs_url": f"{reverse('admin:jobs')}?{urlencode(action.filter)}",
    }


class StartForm(ReasonForm):
    """`token` is of the form that was shown: sent twice, it begins one action."""

    kind = forms.ChoiceField(choices=BulkAction.Kind.choices, widget=forms.HiddenInput)
    name = forms.CharField(max_length=200, help_text="By which you will know it in the history.")
    rate = forms.IntegerField(
        label="Jobs a second", min_value=1, max_value=200, initial=10, help_text="At most."
    )
    token = forms.UUIDField(widget=forms.HiddenInput)
    field_order = ["name", "rate", "reason"]


@staff_page("jobs/bulk/new/", name="bulk_new")
class StartPage(ActPage):
    act = START
    form_class = StartForm
    template = "bulk_new.html"

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        asked = FilterForm(request.GET)
        self.chosen, self.wrong = asked.filter(), asked.wrong()
        self.kind = request.GET.get("kind", "")
        if self.kind not in BulkAction.Kind.values:
            stops = self.chosen.status in bulk.POSSIBLE[BulkAction.Kind.CANCEL]
            self.kind = BulkAction.Kind.CANCEL if stops else BulkAction.Kind.RETRY

    def initial(self) -> dict[str, Any]:
        said = f"{self.kind} {self.chosen}"[:200]
        return {"kind": self.kind, "name": said, "rate": 10, "token": uuid.uuid4()}

    def context(self) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        try:
            self._refuse_what_is_wrong()
            seen["preview"] = bulk.preview(self.kind, self.chosen)
        except bulk.ImpossibleAction as refused:
            seen["impossible"] = refused.detail
        kinds = [
            (label, f"?{urlencode(self.chosen.held() | {'kind': value})}", value == self.kind)
            for value, label in BulkAction.Kind.choices
        ]
        said = {"filter": self.chosen, "kinds": kinds, "kind": self.kind, "wrong": self.wrong}
        return super().context() | seen | said

    def _refuse_what_is_wrong(self) -> None:
        """A value that was left out of the filter would let in more jobs than were meant."""
        if self.wrong:
            raise bulk.ImpossibleAction(f"The filter is not well formed. {self.wrong}")

    def perform(self, form: Any) -> str:
        self._refuse_what_is_wrong()
        given = form.cleaned_data
        self.action = bulk.start(
            kind=given["kind"],
            chosen=self.chosen,
            actor=self.request.user.get_username(),
            reason=given["reason"],
            rate=given["rate"],
            name=given["name"],
            token=given["token"],
        )
        return f"Started with {self.action.total} jobs."

    def back(self) -> str:
        held = self.request.GET.dict() if self.wrong else self.chosen.held()
        return f"{reverse('admin:jobs')}?{urlencode(held)}"

    def done(self) -> str:
        return reverse("admin:bulk_one", args=[self.action.pk])


@staff_page("jobs/bulk/<int:pk>/", name="bulk_one")
class OnePage(StaffPage):
    title = "Bulk action"
    template = "bulk_one.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.action = get_object_or_404(BulkAction, pk=self.kwargs["pk"])
        self.title = self.action.name
        return self.show()

    def context(self) -> dict[str, Any]:
        return _said(self.action) | {"abort": ABORT, "may_abort": self.may(ABORT)}


@staff_page("jobs/bulk/<int:pk>/abort/", name="bulk_abort")
class AbortPage(ActPage):
    act = ABORT

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.action = get_object_or_404(BulkAction, pk=kwargs["pk"])

    def about(self) -> str:
        return f"{self.action.name}: {self.action.looked_at} of {self.action.total} done"

    def perform(self, form: Any) -> str:
        stopped = bulk.abort(self.action)
        return "Aborted." if stopped else "It had ended already."

    def back(self) -> str:
        return reverse("admin:bulk_one", args=[self.action.pk])
