from django.urls import include, path

from jobs.docs import ErrorCodesView
from jobs.event_views import JobEventsView
from jobs.export_views import VIEWS, ChecklistSchemaView
from jobs.revision_views import JobDiffView, JobReplayView
from jobs.share_views import ShareDetailView, ShareListView
from jobs.usage_views import LimitsView, UsageTableView, UsageView
from jobs.views import JobCancelView, JobCreateView, JobDetailView, JobRetryView

urlpatterns = [
    path("jobs", JobCreateView.as_view(), name="job-list"),
    path("jobs/<uuid:event_id>", JobDetailView.as_view(), name="job-detail"),
    path("jobs/<uuid:event_id>/events", JobEventsView.as_view(), name="job-events"),
    path("jobs/<uuid:event_id>/cancel", JobCancelView.as_view(), name="job-cancel"),
    path("jobs/<uuid:event_id>/retry", JobRetryView.as_view(), name="job-retry"),
    path("jobs/<uuid:event_id>/replay", JobReplayView.as_view(), name="job-replay"),
    path("jobs/<uuid:event_id>/diff", JobDiffView.as_view(), name="job-diff"),
    path("jobs/<uuid:event_id>/shares", ShareListView.as_view(), name="share-list"),
    path(
        "jobs/<uuid:event_id>/shares/<uuid:share_id>",
        ShareDetailView.as_view(),
        name="share-detail",
    ),
    *(
        path(f"jobs/<uuid:event_id>/checklist.{ending}", view.as_view(), name=f"checklist-{ending}")
        for ending, view in VIEWS.items()
    ),
    path("schemas/checklist.v1.json", ChecklistSchemaView.as_view(), name="checklist-schema"),
    path("limits", LimitsView.as_view(), name="limits"),
    path("usage", UsageView.as_view(), name="usage"),
    path("usage.csv", UsageTableView.as_view(), name="usage-table"),
    path("docs/errors", ErrorCodesView.as_view(), name="error-codes"),
    path("console/", include("jobs.console.urls")),
]
