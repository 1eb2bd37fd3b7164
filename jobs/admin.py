"""Staff look, search and retry. Nobody types into a job: rows change in services."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_results.models import GroupResult, TaskResult

from config.admin import ReadOnlyAdmin
from config.staff import StaffRole, holds
from jobs import breaker, plans
from jobs.models import Circuit, TenantQueue
from jobs.staff import (  # noqa: F401  (they put their pages in place)
    bulk,
    error_groups,
    job_acts,
    job_list,
    job_page,
    job_text,
)
from tenants.admin import TenantAdmin
from tenants.models import Plan, Tenant

admin.site.unregister([GroupResult, TaskResult])


@admin.register(TaskResult)
class TaskResultAdmin(ReadOnlyAdmin):
    """Which task of which worker ran which job: search for an event_id."""

    list_display = ("task_id", "result", "status", "worker", "date_created", "date_done")
    list_filter = ("status", "task_name")
    search_fields = ("=task_id", "result")


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
