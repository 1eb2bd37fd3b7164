"""A job: where it stands, and the checklist beside the guideline once that is there."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from jobs import queue, shares
from jobs.export_views import exported
from jobs.exports import FORMATS, Format
from jobs.exports.checklist import Checklist, place
from jobs.exports.text import fit, one_line
from jobs.models import RETRYABLE, Document, Job, JobStatus, Step
from jobs.shown import PRIORITY, step_of
from jobs.sources import Piece, Span, cut, spans_of
from tenants.console.page import ConsolePage, console_page
from tenants.models import Scope

WAITS = {
    "document": "its file, which is read first",
    "worker": "the next free worker",
    "concurrency": "your own jobs: as many run as may at once",
    "retry": "its next attempt, since one has failed",
    "provider": "the language model, which is away",
    "paused": "our staff, who have paused your queue",
}
OPTIONS = {
    "language": "Language",
    "on_doubt": "On doubt",
    "report": "Report of gaps",
    "model": "Model",
    "fallback_models": "While that is away",
}
KINDS = {
    "contradiction": "Contradiction",
    "numbers": "Two numbers for one act",
    "reference": "Reference to what is not there",
    "vague": "Threshold without a number",
    "actor": "Nobody's duty",
}


class OneJob(ConsolePage):
    """A page about the job of its address; 404 where whoever asks knows of none."""

    @cached_property
    def job(self) -> Job:
        jobs = Job.objects.visible_to(self.caller).with_result().with_links()
        return get_object_or_404(jobs, event_id=self.kwargs["event_id"], deleted_at=None)

    def job_url(self) -> str:
        return self.url("job", self.kwargs["event_id"])


def name_of(job: Job) -> str:
    return job.title or f"Untitled {str(job.event_id)[:8]}"


def _options(job: Job) -> list[tuple[str, Any]]:
    asked = [(label, name) for name, label in OPTIONS.items() if job.options.get(name)]
    return [(label, job.options[name]) for label, name in asked]


# --- What it says -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """What is wrong with the guideline itself. places: (id, where it is)."""

    kind: str
    severity: str
    message: str
    places: list[tuple[str, str]]


@dataclass(frozen=True)
class Content:
    """The checklist, and the guideline in pieces that know what cites them."""

    checklist: Checklist
    findings: list[Finding]
    pieces: list[Piece]


def content_of(job: Job) -> Content | None:
    """None without a checklist. Raises `config.crypto.CannotUnseal`."""
    result = job.result
    if not result or "coverage" not in result:
        return None
    checklist = Checklist.of(job, result)
    found = result.get("report", {}).get("findings", [])
    of_findings = [
        Span(each["start"], each["end"], f"f{number}-{n}")
        for number, finding in enumerate(found, 1)
        for n, each in enumerate(finding["places"], 1)
    ]
    document = Document.objects.for_tenant(job.tenant_id).get(pk=job.document_id)
    pieces = cut(document.text or "", spans_of(checklist) + of_findings)
    findings = [_finding(number, each) for number, each in enumerate(found, 1)]
    return Content(checklist, findings, pieces)


def _finding(number: int, finding: dict[str, Any]) -> Finding:
    places = [
        (f"f{number}-{n}", place(one_line(fit(at["section"])), None, at["start"], at["end"]))
        for n, at in enumerate(finding["places"], 1)
    ]
    kind = KINDS.get(finding["kind"], finding["kind"])
    return Finding(kind, finding["severity"], one_line(fit(finding["message"])), places)


# --- The page -----------------------------------------------------------------------------------


@console_page("jobs/<uuid:event_id>/", name="job")
class JobPage(OneJob):
    scope = Scope.JOBS_READ
    template = "job.html"

    def context(self) -> dict[str, Any]:
        job = self.job
        waiting = queue.waiting(job) if job.status == JobStatus.PENDING else None
        return {
            "title": name_of(job),
            "job": job,
            "step": Step(step_of(job)).label,
            "priority": PRIORITY[job.priority],
            "waiting": waiting,
            "waits_for": waiting and WAITS[waiting.waiting_on],
            "options": _options(job),
            "links": self._links(),
            "acts": self._acts(),
            "content": content_of(job),
            "files": [
                (kind.name, self.url(f"checklist-{ending}", job.event_id))
                for ending, kind in FORMATS.items()
            ],
        }

    def _links(self) -> list[dict[str, Any]]:
        """The jobs that it has to do with; where its page is, if whoever asks may open it."""
        found = [("New edition of", self.job.supersedes), ("Run again from", self.job.replay_of)]
        return [{"label": label, **self._link(job)} for label, job in found if job]

    def _link(self, job: Job) -> dict[str, Any]:
        """url, diff: the addresses of its page, and of what has changed since; "" for none."""
        is_there = job.deleted_at is None and shares.may_see(self.caller, job.event_id)
        both_done = {job.status, self.job.status} == {JobStatus.COMPLETED}
        diff = f"{self.url('job-diff', self.job.event_id)}?with={job.event_id}"
        return {
            "job": job,
            "url": self.url("job", job.event_id) if is_there else "",
            "diff": diff if is_there and both_done else "",
        }

    def _acts(self) -> list[dict[str, Any]]:
        """What its state allows and whoever asks may do: label, url, danger."""
        job, was_read = self.job, self.job.step != Step.READ
        is_done = job.status == JobStatus.COMPLETED
        known = [
            ("job-cancel", "Cancel", Scope.JOBS_MANAGE, not job.is_over),
            ("job-retry", "Retry", Scope.JOBS_MANAGE, job.status in RETRYABLE and was_read),
            ("job-new", "Submit a new edition", Scope.JOBS_SUBMIT, is_done),
            ("job-replay", "Run again", Scope.JOBS_SUBMIT, job.is_over and was_read),
            ("job-delete", "Delete", Scope.JOBS_MANAGE, job.is_over),
        ]
        return [
            {"label": label, "url": self._act_url(name), "danger": name == "job-delete"}
            for name, label, scope, is_possible in known
            if is_possible and self.may(scope)
        ]

    def _act_url(self, name: str) -> str:
        if name == "job-new":
            return f"{self.url(name)}?supersedes={self.job.event_id}"
        return self.url(name, self.job.event_id)


class ChecklistFile(OneJob):
    """The checklist as a file, as the API gives it."""

    scope = Scope.JOBS_READ
    kind: Format

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return exported(self.job, self.kind, request.headers.get("If-None-Match", ""))


for ending, kind in FORMATS.items():
    console_page(f"jobs/<uuid:event_id>/checklist.{ending}", name=f"checklist-{ending}")(
        type(f"Checklist{kind.name}", (ChecklistFile,), {"kind": kind})
    )
