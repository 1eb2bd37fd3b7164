"""Staff look, search and retry. Nobody types into a job: rows change in services."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_results.models import GroupResult, TaskResult

from config.admin import ReadOnlyAdmin, ReadOnlyInline
from config.isolation import DatabaseRole, acting_as
from config.staff import StaffRole, holds
from jobs import breaker, bulk, plans, services
from jobs.errors import InvalidTransition, QuotaExceeded
from jobs.models import SEALED, BulkAction, Circuit, Job, JobAttempt, JobEvent, LLMCall, TenantQueue
from tenants.admin import TenantAdmin
from tenants.models import Plan, Tenant

admin.site.unregister([GroupResult, TaskResult])


@admin.register(TaskResult)
class TaskResultAdmin(ReadOnlyAdmin):
    """Which task of which worker ran which job: search for an event_id."""

    list_display = ("task_id", "result", "status", "worker", "date_created", "date_done")
    list_filter = ("status", "task_name")
    search_fields = ("=task_id", "result")


class AttemptInline(ReadOnlyInline):
    model = JobAttempt
    fields = readonly_fields = (
        "number",
        "step",
        "outcome",
        "worker",
        "started_at",
        "ended_at",
        "error_code",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobAttempt]:
        return super().get_queryset(request).defer("sealed_error")


class EventInline(ReadOnlyInline):
    model = JobEvent
    verbose_name_plural = "history"
    fields = readonly_fields = ("seq", "at", "from_status", "to_status", "attempt", "actor", "note")


class CallInline(ReadOnlyInline):
    model = LLMCall
    verbose_name_plural = "model calls"
    fields = readonly_fields = (
        "label",
        "outcome",
        "error_code",
        "requested_model",
        "own_key",
        "model",
        "prompt_tokens",
        "completion_tokens",
        "started_at",
        "ended_at",
        "request_id",
    )


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = (
        "event_id",
        "tenant",
        "title",
        "status",
        "step",
        "attempt",
        "error_code",
        "created_at",
    )
    list_filter = ("status", "error_code", "priority")
    list_select_related = ("tenant",)
    search_fields = ("=event_id", "tenant__slug", "error_code")
    ordering = ("-id",)
    exclude = ("document", "supersedes", "replay_of", *SEALED)
    readonly_fields = ("event_id", "created_at")
    inlines = [AttemptInline, CallInline, EventInline]
    actions = ["retry"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        return Job.objects.across_tenants().without_content()

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return holds(request, StaffRole.OPERATOR)

    @admin.action(description="Retry selected failed or cancelled jobs", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        retried = sum(self._retry(job, request.user.get_username()) for job in queryset)
        skipped = len(queryset) - retried
        self.message_user(
            request,
            f"Retrying {retried} job(s)."
            + (
                f" {skipped} left alone: neither failed nor cancelled, or no budget."
                if skipped
                else ""
            ),
            messages.SUCCESS if retried else messages.WARNING,
        )

    def _retry(self, job: Job, actor: str) -> bool:
        if not job.is_over:
            return False
        try:
            with acting_as(DatabaseRole.API, job.tenant_id):
                retried = services.retry_job(
                    tenant_id=job.tenant_id, event_id=job.event_id, actor=actor
                )
        except (InvalidTransition, QuotaExceeded):
            return False
        return retried is not None


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):
    """Who may change plans changes what all their tenants may use, within a second."""

    list_display = ("code", "name", "submits_per_minute", "max_running", "tokens_per_day")
    search_fields = ("code", "name")

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> tuple[str, ...]:
        return ("code",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Plan, form: Any, change: bool) -> None:
        plans.save_plan(obj)


admin.site.unregister(Tenant)


@admin.register(Tenant)
class TenantWithPlanAdmin(TenantAdmin):
    """A tenant's plan is all that is changed here."""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [field.name for field in Tenant._meta.fields if field.name != "plan"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return holds(request, StaffRole.ADMINISTRATOR)

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        plans.assign_plan(tenant=obj, plan=form.cleaned_data["plan"])


@admin.register(TenantQueue)
class TenantQueueAdmin(ReadOnlyAdmin):
    list_display = ("tenant", "running", "max_running", "max_waiting", "weight", "is_paused")
    list_select_related = ("tenant",)
    search_fields = ("tenant__slug",)


@admin.register(Circuit)
class CircuitAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "failures", "open_until", "reason", "changed_at")
    actions = ["close"]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return holds(request, StaffRole.OPERATOR)

    @admin.action(description="Close: the cause is mended", permissions=["operate"])
    def close(self, request: HttpRequest, queryset: QuerySet[Circuit]) -> None:
        reason = f"closed by {request.user.get_username()}"
        closed = sum(breaker.close(reason, circuit.name) for circuit in queryset)
        self.message_user(request, f"Closed {closed}.")


@admin.register(BulkAction)
class BulkActionAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "changed", "total", "rate", "actor", "reason", "created_at")
    list_filter = ("state", "kind")
    actions = ["abort"]

    def has_abort_permission(self, request: HttpRequest) -> bool:
        return holds(request, StaffRole.OPERATOR)

    @admin.action(description="Abort", permissions=["abort"])
    def abort(self, request: HttpRequest, queryset: QuerySet[BulkAction]) -> None:
        aborted = sum(bulk.abort(action) for action in queryset)
        self.message_user(request, f"Aborted {aborted}.")
