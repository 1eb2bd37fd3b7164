"""The pages of staff about jobs, and Django's list of what Celery ran."""

from django.contrib import admin
from django_celery_results.models import GroupResult, TaskResult

from config.admin import ReadOnlyAdmin
from jobs.staff import (  # noqa: F401  (each puts its pages in place)
    bulk,
    circuits,
    error_groups,
    job_acts,
    job_list,
    job_page,
    job_text,
    overview,
    plans,
    tenants,
)

admin.site.unregister([GroupResult, TaskResult])


@admin.register(TaskResult)
class TaskResultAdmin(ReadOnlyAdmin):
    """Which task of which worker ran which job: search for an event_id."""

    list_display = ("task_id", "result", "status", "worker", "date_created", "date_done")
    list_filter = ("status", "task_name")
    search_fields = ("=task_id", "=result")
