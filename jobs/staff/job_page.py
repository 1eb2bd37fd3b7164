"""One job: what became of it, when and why, and what may be done about it. Not what it says: that
is behind a reason (jobs/reveals.py)."""

from datetime import timedelta
from functools import cached_property
from typing import Any

from django.db.models import Q
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django_celery_results.models import TaskResult

from config.staff import StaffPage, staff_page
from jobs import queue, reveals
from jobs.models import RETRYABLE, Job, JobAttempt, JobEvent, JobStatus, LLMCall
from jobs.options import resolve
from jobs.staff import job_acts, timeline
from tenants.models import AuditEntry

CALLS_SHOWN = 300
ENTRIES_SHOWN = 50
# A task's row is written once all that it carried has ended: see runner.carry_jobs.
BEFORE, AFTER = timedelta(seconds=60), timedelta(minutes=20)
SIBLINGS_SHOWN = 10


class OneJob(StaffPage):
    """A page about the job of its address; 404 where there is none."""

    @cached_property
    def job(self) -> Job:
        jobs = Job.objects.across_tenants().without_content().with_links()
        found = jobs.select_related("tenant", "supersedes", "replay_of")
        return get_object_or_404(found, event_id=self.kwargs["event_id"])

    def url(self) -> str:
        return reverse("admin:job", args=[self.kwargs["event_id"]])


@staff_page("jobs/job/<uuid:event_id>/", name="job")
class JobPage(OneJob):
    title = "Job"
    template = "job.html"

    def context(self) -> dict[str, Any]:
        job, now = self.job, timezone.now()
        attempts = list(self._of(JobAttempt).defer("sealed_error").order_by("number"))
        calls = list(self._of(LLMCall).order_by("id")[: CALLS_SHOWN + 1])
        waits = job.status == JobStatus.PENDING
        return {
            "job": job,
            "options": resolve(job.options),
            "moves": timeline.with_durations(self._of(JobEvent).order_by("seq")),
            "attempts": attempts,
            "calls": calls[:CALLS_SHOWN],
            "calls_left_out": max(job.llm_calls - CALLS_SHOWN, 0),
            "drawing": timeline.draw(job, attempts, calls[:CALLS_SHOWN], now),
            "waiting": queue.waiting(job) if waits else None,
            "tasks": self._tasks(attempts),
            "entries": self._entries(),
            "siblings": self._siblings(),
            "is_revealed": reveals.revealed(job.tenant_id, job.event_id) is not None,
            "acts": [
                {"act": act, "url": reverse(f"admin:{name}", args=[job.event_id])}
                for name, act in self._possible()
                if self.may(act)
            ],
            "reveal_url": reverse("admin:job_reveal", args=[job.event_id]),
            "may_reveal": self.may(job_acts.REVEAL),
        }

    def _of(self, model: Any) -> Any:
        return model.objects.for_tenant(self.job.tenant_id).filter(job_id=self.job.pk)

    def _possible(self) -> list[tuple[str, Any]]:
        """The acts that the job's state allows, by the names of their pages."""
        job = self.job
        if job.deleted_at:
            return []
        ended = [("job_replay", job_acts.REPLAY)]
        if job.status in RETRYABLE:
            return [("job_retry", job_acts.RETRY), *ended]
        if job.is_over:
            return ended
        waits = [("job_priority", job_acts.PRIORITY)] if job.status == JobStatus.PENDING else []
        return [*waits, ("job_cancel", job_acts.CANCEL)]

    def _tasks(self, attempts: list[JobAttempt]) -> list[TaskResult]:
        """Celery's rows of the tasks that ran it: found by when its attempts ended, since nothing
        indexes what a task returned."""
        ends = [attempt.ended_at for attempt in attempts if attempt.ended_at][-10:]
        if not ends:
            return []
        near = Q()
        for end in ends:
            near |= Q(date_done__range=(end - BEFORE, end + AFTER))
        ran = TaskResult.objects.filter(near, result__contains=str(self.job.event_id))
        return list(ran.order_by("date_done")[:20])

    def _entries(self) -> list[AuditEntry]:
        entries = AuditEntry.objects.for_tenant(self.job.tenant_id)
        of_job = entries.filter(object_type="job", object_id=str(self.job.event_id))
        return list(of_job.order_by("-at", "-id")[:ENTRIES_SHOWN])

    def _siblings(self) -> list[Job]:
        """Other jobs of the same document: replays of this one, and what it is a replay of."""
        jobs = Job.objects.for_tenant(self.job.tenant_id).without_content()
        others = jobs.filter(document_id=self.job.document_id).exclude(pk=self.job.pk)
        return list(others.order_by("-id")[:SIBLINGS_SHOWN])
