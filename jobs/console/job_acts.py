"""What may be done to a job: each act through the service that the API calls."""

from typing import Any

from django import forms
from django.http import Http404

from jobs import deletion, replays, services
from jobs.console.job_page import OneJob, name_of
from jobs.models import Job
from jobs.options import resolve
from jobs.revision_serializers import ReplaySerializer
from tenants.console.page import ConsoleForm, FormPage, console_page, isolated
from tenants.models import RouteClass, Scope


class JobAct(OneJob, FormPage):
    """An act on the job of the address."""

    scope = Scope.JOBS_MANAGE
    weighs = False

    def about(self) -> str:
        return f"{isolated(name_of(self.job))}, now {self.job.status}"

    def back(self) -> str:
        return self.job_url()

    def asked(self) -> dict[str, Any]:
        """Which job, and who asks, as services want to be told."""
        caller = self.caller
        event_id = self.kwargs["event_id"]
        return {"tenant_id": caller.tenant_id, "event_id": event_id, "visible_to": caller}


@console_page("jobs/<uuid:event_id>/cancel/", name="job-cancel")
class CancelPage(JobAct):
    title = "Cancel a job"
    button = "Cancel the job"
    danger = True
    says = "It stops, waiting or running. What it has paid for is paid. It can be retried."

    def perform(self, form: Any) -> str:
        if services.cancel_job(**self.asked(), actor=self.caller.subject) is None:
            raise Http404
        return "The job is cancelled."


@console_page("jobs/<uuid:event_id>/retry/", name="job-retry")
class RetryPage(JobAct):
    title = "Retry a job"
    button = "Retry"
    says = "It gets a new run with the same guideline. What a finished step has paid for is kept."

    def perform(self, form: Any) -> str:
        if services.retry_job(**self.asked(), actor=self.caller.subject) is None:
            raise Http404
        return "The job waits for its new run."


class ReplayForm(ConsoleForm):
    serializer = ReplaySerializer
    model = forms.ChoiceField(required=False)
    reason = forms.CharField(required=False, max_length=500, help_text="For your audit log.")

    def __init__(self, *args: Any, models: list[str], now: str, **more: Any):
        super().__init__(*args, **more)
        model: Any = self.fields["model"]
        others = [(each, each) for each in models if each != now]
        model.choices = [("", f"The same: {now}"), *others]


@console_page("jobs/<uuid:event_id>/replay/", name="job-replay")
class ReplayPage(JobAct):
    scope = Scope.JOBS_SUBMIT
    route_class = RouteClass.SUBMIT
    title = "Run a guideline again"
    button = "Run it again"
    says = (
        "A new job of the same guideline, which asks the model again and costs what a submission"
        " costs. This one stays as it is: compare both then."
    )
    form_class = ReplayForm

    def form_takes(self) -> dict[str, Any]:
        now = resolve(self.job.options)["model"]
        return {"models": self.caller.preferences.allowed, "now": now}

    def perform(self, form: Any) -> str:
        event_id = self.kwargs["event_id"]
        new = replays.replay_job(caller=self.caller, event_id=event_id, **form.accepted)
        if new is None:
            raise Http404
        self.new: Job = new
        return "This is the new job."

    def done(self) -> str:
        return self.url("job", self.new.event_id)

    def done_before(self) -> str:
        return self.url("jobs")


@console_page("jobs/<uuid:event_id>/delete/", name="job-delete")
class DeletePage(JobAct):
    weighs = True
    title = "Delete a job"
    button = "Delete for good"
    danger = True
    says = (
        "The guideline, the checklist, the title and the metadata are gone at once and for good;"
        " counts and times stay. A guideline that runs again in another job goes with the last."
    )

    def perform(self, form: Any) -> str:
        if not deletion.delete_job(**self.asked()):
            raise Http404
        return "The job is deleted."

    def done(self) -> str:
        return self.url("jobs")

    def done_before(self) -> str:
        return self.done()
