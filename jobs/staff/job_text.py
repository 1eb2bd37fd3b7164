"""What a job says, for whoever gave a reason: the checklist beside its guideline, raw errors."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from config.staff import staff_page
from jobs import reveals
from jobs.exports.checklist import Checklist
from jobs.models import Job, JobAttempt
from jobs.sources import Piece, cut, spans_of
from jobs.staff import job_acts
from jobs.staff.job_page import OneJob


@dataclass(frozen=True)
class Content:
    """Everything of a job that is sealed, opened."""

    text: str | None
    checklist: Checklist | None
    pieces: list[Piece]
    errors: list[tuple[int, str]]  # by the attempt's number


def content_of(job: Job) -> Content:
    """Raises NotRevealed unless the current actor has given a reason within half an hour."""
    with reveals.opened(job.tenant_id, job.event_id):
        whole = Job.objects.for_tenant(job.tenant_id).select_related("document").get(pk=job.pk)
        attempts = JobAttempt.objects.for_tenant(job.tenant_id).filter(job_id=job.pk)
        errors = [(attempt.number, attempt.error) for attempt in attempts if attempt.error]
        text, result = whole.document.text, whole.result
        checklist = Checklist.of(whole, result) if result and "coverage" in result else None
        spans = spans_of(checklist) if checklist else []
        return Content(text, checklist, cut(text or "", spans), errors)


@staff_page("jobs/job/<uuid:event_id>/text/", name="job_text")
class JobTextPage(OneJob):
    title = "What the job says"
    template = "job_text.html"
    least = job_acts.REVEAL.least

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Whoever has given no reason is asked for one."""
        if reveals.revealed(self.job.tenant_id, self.job.event_id) is None:
            return HttpResponseRedirect(reverse("admin:job_reveal", args=[self.job.event_id]))
        return super().get(request, *args, **kwargs)

    def context(self) -> dict[str, Any]:
        job = self.job
        return {
            "job": job,
            "content": content_of(job),
            "reveal": reveals.revealed(job.tenant_id, job.event_id),
            "back": self.url(),
        }
