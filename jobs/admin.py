"""Staff look, search and retry. Nobody types into a job: rows change in services."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_results.models import GroupResult, TaskResult

from config.admin import ReadOnlyAdmin
from jobs import services
from jobs.errors import InvalidTransition
from jobs.models import Job, JobAttempt

admin.site.unregister([GroupResult, TaskResult])


@admin.register(TaskResult)
class TaskResultAdmin(ReadOnlyAdmin):
    """Which task of which worker ran which job: search for an event_id."""

    list_display = ("task_id", "result", "status", "worker", "date_created", "date_done")
    list_filter = ("status", "task_name")
    search_fields = ("=task_id", "result")


class AttemptInline(admin.TabularInline):
    model = JobAttempt
    extra = max_num = 0
    can_delete = False
    exclude = ("tenant",)
    readonly_fields = (
        "number",
        "step",
        "outcome",
        "worker",
        "started_at",
        "ended_at",
        "error_code",
        "error",
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
    exclude = ("document", "summary", "result")
    readonly_fields = ("event_id", "created_at")
    inlines = [AttemptInline]
    actions = ["retry"]

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.retry_job")

    @admin.action(description="Retry selected failed or cancelled jobs", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        retried = sum(self._retry(job, request.user.get_username()) for job in queryset)
        skipped = len(queryset) - retried
        self.message_user(
            request,
            f"Retrying {retried} job(s)."
            + (f" {skipped} left alone: neither failed nor cancelled." if skipped else ""),
            messages.SUCCESS if retried else messages.WARNING,
        )

    def _retry(self, job: Job, actor: str) -> bool:
        if not job.is_over:
            return False
        try:
            services.retry_job(tenant_id=job.tenant_id, event_id=job.event_id, actor=actor)
        except InvalidTransition:
            return False
        return True
