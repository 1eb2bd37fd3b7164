"""The tenant's jobs, newest first, and what a list of them says of each."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse

from jobs import shares
from jobs.models import ENDED, Job, JobStatus, Priority, Step
from jobs.shown import PRIORITY, Row, step_of
from tenants.console import page
from tenants.console.page import ConsolePage, console_page
from tenants.models import Scope


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


@console_page("jobs/", name="jobs", label="Jobs", place=20)
class JobsPage(ConsolePage):
    scope = Scope.JOBS_READ
    title = "Jobs"
    template = "jobs.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        wrong = self._wrong()
        return self.show(422, wrong=wrong) if wrong else self.show(**self._page())

    def context(self) -> dict[str, Any]:
        return {"status": self._asked("status"), "statuses": JobStatus.values}

    def _asked(self, name: str) -> str:
        return self.request.GET.get(name, "")

    def _wrong(self) -> str:
        status, before = self._asked("status"), self._asked("before")
        if status and status not in JobStatus.values:
            return f"There is no status “{status}”. There are: {', '.join(JobStatus.values)}."
        if before and _place(before) is None:
            return "The address is not as our link has it. Begin with the newest jobs again."
        return ""

    def _page(self) -> dict[str, Any]:
        status = self._asked("status")
        found = shares.page(
            self.caller,
            status=status or None,
            before=_place(self._asked("before")),
            most=page.PER_PAGE + 1,
        )
        jobs, following = found[: page.PER_PAGE], ""
        if len(found) > len(jobs):
            held = {"status": status} if status else {}
            following = f"?{urlencode({**held, 'before': jobs[-1].event_id})}"
        return {**described(jobs), "following": following}


def _place(before: str) -> UUID | None:
    try:
        return UUID(before)
    except ValueError:
        return None
