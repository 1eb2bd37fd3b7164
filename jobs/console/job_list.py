"""The tenant's jobs, newest first, and what a list of them says of each."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse, QueryDict

from jobs import answers, shares
from jobs.console.metadata import pair_of
from jobs.models import ENDED, Job, JobStatus, Priority, Step
from jobs.serializers import METADATA, JobListQuerySerializer
from jobs.shown import PRIORITY, Row, step_of
from tenants.console import page
from tenants.console.page import ConsolePage, QueryForm, console_page
from tenants.models import Scope


def _day(label: str) -> forms.CharField:
    widget = forms.TextInput(attrs={"type": "date"})
    return forms.CharField(label=label, required=False, widget=widget)


def described(jobs: Iterable[Job | Row]) -> dict[str, Any]:
    """What templates/console/job_rows.html shows."""
    jobs = list(jobs)
    entries = [
        {
            "job": job,
            "step": Step(step_of(job)).label,
            "priority": "" if job.priority == Priority.NORMAL else PRIORITY[job.priority],
        }
        for job in jobs
    ]
    return {"entries": entries, "goes_on": any(job.status not in ENDED for job in jobs)}


class FindForm(QueryForm):
    """What is looked for, in the words of GET /jobs; `metadata` as "ward=7b"."""

    serializer = JobListQuerySerializer
    status = forms.CharField(required=False, widget=forms.HiddenInput)
    created_after = _day("Submitted from (UTC)")
    created_before = _day("and before (UTC)")
    metadata = forms.CharField(
        required=False, widget=forms.TextInput(attrs={"placeholder": "ward=7b"})
    )

    def clean_metadata(self) -> tuple[str, str] | None:
        typed: str = self.cleaned_data["metadata"]
        return pair_of(typed) if typed else None

    def body(self) -> QueryDict:
        asked = super().body()
        for name in ("before", "metadata"):
            asked.pop(name, None)
        if pair := self.cleaned_data["metadata"]:
            key, value = pair
            asked[f"{METADATA}{key}"] = value
        return asked

    @property
    def narrows(self) -> bool:
        """Besides to a status."""
        return bool(self.errors) or any(
            self.data.get(name) for name in self.fields if name != STATUS
        )


STATUS = "status"


@console_page("jobs/", name="jobs", label="Jobs", place=20)
class JobsPage(ConsolePage):
    scope = Scope.JOBS_READ
    title = "Jobs"
    template = "jobs.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        wrong = self._wrong()
        if wrong or not self.form.is_valid():
            return self.show(422, wrong=wrong)
        return self.show(**self._page(self.form.accepted))

    @cached_property
    def form(self) -> FindForm:
        return FindForm(self.request.GET, label_suffix="")

    def context(self) -> dict[str, Any]:
        status = self.request.GET.get(STATUS, "")
        return {"status": status, "statuses": JobStatus.values, "form": self.form}

    def _wrong(self) -> str:
        status, before = (self.request.GET.get(name, "") for name in (STATUS, "before"))
        if status and status not in JobStatus.values:
            return f"There is no status “{status}”. There are: {', '.join(JobStatus.values)}."
        if before and _place(before) is None:
            return "The address is not as our link has it. Begin with the newest jobs again."
        return ""

    def _page(self, query: dict[str, Any]) -> dict[str, Any]:
        wanted = answers.wanted_by({**query, "limit": page.PER_PAGE})
        before = _place(self.request.GET.get("before", ""))
        found = shares.page(self.caller, replace(wanted, before=before))
        jobs, following = found[: page.PER_PAGE], ""
        if len(found) > len(jobs):
            held = self.request.GET.copy()
            held["before"] = str(jobs[-1].event_id)
            following = f"?{held.urlencode()}"
        return {**described(jobs), "following": following}


def _place(before: str) -> UUID | None:
    try:
        return UUID(before)
    except ValueError:
        return None
