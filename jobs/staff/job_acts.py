"""What staff may do to one job: what its tenant may do too, through the same services, in that
tenant's name and with a reason that the tenant reads in its own audit log."""

from datetime import timedelta
from functools import cached_property
from typing import Any

from django import forms
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone

from config.isolation import DatabaseRole, acting_as
from config.staff import Act, ActPage, ReasonForm, StaffRole, declare, staff_page
from jobs import replays, reveals, services
from jobs.models import Job, Priority
from jobs.options import current_prompts, resolve
from llm import prompts as prompt_files
from tenants.authentication import Principal
from tenants.limits import Limits
from tenants.models import Tenant
from tenants.preferences import preferences_of

RETRY = declare(
    Act(
        "job.retried",
        "Retry",
        StaffRole.OPERATOR,
        "The job gets a new run with the same guideline. What a finished step has paid for is kept;"
        " the rest is paid for by its tenant.",
    )
)
REPLAY = declare(
    Act(
        "job.replayed",
        "Run again with …",
        StaffRole.OPERATOR,
        "A new job of the same tenant runs the same guideline with another model or prompt. This"
        " one stays as it is. The tenant pays for the new one.",
    )
)
CANCEL = declare(
    Act(
        "job.cancelled",
        "Cancel",
        StaffRole.OPERATOR,
        "The job stops, waiting or running. What it has paid for is paid. It can be retried.",
        danger=True,
    )
)
PRIORITY = declare(
    Act(
        "job.priority_changed",
        "Change priority",
        StaffRole.OPERATOR,
        "The job moves before or behind the other waiting jobs of its tenant. No other tenant's"
        " jobs are concerned.",
    )
)
REVEAL = declare(
    Act(
        reveals.REVEALED,
        "Reveal the text",
        StaffRole.OPERATOR,
        "For 30 minutes you, and nobody else, can read this job's guideline, its checklist and its"
        " raw errors. The owners of the tenant see in their audit log that you did, and why.",
    )
)


class JobAct(ActPage):
    """An act on the job of the address, done as the tenant's own requests are."""

    @cached_property
    def job(self) -> Job:
        jobs = Job.objects.across_tenants().without_content().select_related("tenant")
        return get_object_or_404(jobs, event_id=self.kwargs["event_id"], deleted_at=None)

    def about(self) -> str:
        job = self.job
        title = f" “{job.title}”" if job.title else ""
        return f"Job {job.event_id}{title} of {job.tenant.name}, now {job.status}"

    def back(self) -> str:
        return reverse("admin:job", args=[self.kwargs["event_id"]])

    def perform(self, form: Any) -> str:
        with acting_as(DatabaseRole.API, self.job.tenant_id):
            return self.act_on(self.job, form.cleaned_data)

    def act_on(self, job: Job, given: dict[str, Any]) -> str:
        raise NotImplementedError

    def who(self) -> str:
        return self.request.user.get_username()


@staff_page("jobs/job/<uuid:event_id>/retry/", name="job_retry")
class RetryPage(JobAct):
    act = RETRY

    def act_on(self, job: Job, given: dict[str, Any]) -> str:
        services.retry_job(
            tenant_id=job.tenant_id,
            event_id=job.event_id,
            actor=self.who(),
            reason=given["reason"],
        )
        return "The job runs again."


@staff_page("jobs/job/<uuid:event_id>/cancel/", name="job_cancel")
class CancelPage(JobAct):
    act = CANCEL

    def act_on(self, job: Job, given: dict[str, Any]) -> str:
        services.cancel_job(
            tenant_id=job.tenant_id,
            event_id=job.event_id,
            actor=self.who(),
            reason=given["reason"],
        )
        return "The job is cancelled."


class PriorityForm(ReasonForm):
    priority = forms.TypedChoiceField(choices=Priority.choices, coerce=lambda n: Priority(int(n)))
    field_order = ["priority", "reason"]


@staff_page("jobs/job/<uuid:event_id>/priority/", name="job_priority")
class PriorityPage(JobAct):
    act = PRIORITY
    form_class = PriorityForm

    def initial(self) -> dict[str, Any]:
        return {"priority": self.job.priority}

    def act_on(self, job: Job, given: dict[str, Any]) -> str:
        priority = given["priority"]
        services.set_priority(tenant_id=job.tenant_id, event_id=job.event_id, priority=priority)
        return f"The job's priority is {priority.label}."


ONE_PRESS = timedelta(minutes=1)  # the same asked for twice within this is meant once


class ReplayForm(ReasonForm):
    """The models that the tenant may use, and the prompts that there are."""

    field_order = ["model", "summarize", "checklist", "repair", "reason"]

    def __init__(self, *args: Any, models: list[str], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["model"] = forms.ChoiceField(choices=[(model, model) for model in models])
        for name in ("summarize", "checklist", "repair"):
            versions = sorted(each.version for each in prompt_files.every() if each.name == name)
            self.fields[name] = forms.TypedChoiceField(
                label=f"Prompt: {name}", choices=[(v, f"v{v}") for v in versions], coerce=int
            )
        self.order_fields(self.field_order)


@staff_page("jobs/job/<uuid:event_id>/replay/", name="job_replay")
class ReplayPage(JobAct):
    act = REPLAY
    form_class = ReplayForm

    def initial(self) -> dict[str, Any]:
        job = self.job
        return {"model": resolve(job.options)["model"], **current_prompts(), **job.prompts}

    def form_takes(self) -> dict[str, Any]:
        return {"models": preferences_of(self.job.tenant_id).allowed}

    def act_on(self, job: Job, given: dict[str, Any]) -> str:
        prompts = {name: given[name] for name in ("summarize", "checklist", "repair")}
        jobs = Job.objects.for_tenant(job.tenant_id)
        jobs.select_for_update(no_key=True).only("pk").get(pk=job.pk)  # one press at a time
        twice = jobs.without_content().filter(
            replay_of=job,
            model=given["model"],
            prompts__contains=prompts,
            created_at__gt=timezone.now() - ONE_PRESS,
        )
        if again := twice.first():
            self.new_id = again.event_id
            return "This is the new job, of a moment ago."
        new = replays.replay_job(
            caller=submitter_of(job),
            event_id=job.event_id,
            prompts=prompts,
            options={"model": given["model"]},
            reason=given["reason"],
        )
        if new is None:
            raise Http404
        self.new_id = new.event_id
        return "This is the new job."

    def done(self) -> str:
        return reverse("admin:job", args=[self.new_id])


def submitter_of(job: Job) -> Principal:
    """Whoever submitted the job, as far as its replay needs to know them: it is theirs as well."""
    tenant = Tenant.objects.select_related("plan").get(pk=job.tenant_id)
    return Principal(
        subject=job.submitted_by,
        tenant_id=job.tenant_id,
        scopes=frozenset(),
        limits=Limits.of(vars(tenant.plan) | {"plan": tenant.plan_id}),
        preferences=preferences_of(job.tenant_id),
    )


@staff_page("jobs/job/<uuid:event_id>/reveal/", name="job_reveal")
class RevealPage(JobAct):
    act = REVEAL

    def perform(self, form: Any) -> str:
        until = reveals.reveal(self.job.tenant_id, self.job.event_id)
        return f"Revealed to you until {until:%H:%M} UTC."

    def done(self) -> str:
        return reverse("admin:job_text", args=[self.kwargs["event_id"]])
