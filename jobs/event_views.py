"""GET /jobs/{event_id}/events, for requests that no lane takes (see jobs/lanes.py)."""

from http import HTTPStatus
from uuid import UUID

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from config.openapi import ProblemSerializer
from jobs import events, shares, shown
from jobs.export_views import ByPath
from jobs.views import EVENT_ID, REFUSALS, JobView
from tenants.authentication import principal
from tenants.models import Scope

LAST_EVENT_ID = OpenApiParameter("Last-Event-ID", str, OpenApiParameter.HEADER)


class JobEventsView(JobView):
    """One event, after which the client comes back for the next: a thread is not kept for it."""

    http_method_names = ["get", "head"]
    required_scopes = {"GET": Scope.JOBS_READ}
    in_one_statement = ("GET", "HEAD")
    content_negotiation_class = ByPath

    @extend_schema(
        operation_id="getJobEvents",
        summary="Follow a job as it goes on",
        description="Server-Sent Events: each `job` event has in `data` the job without its result,"
        " as `GET /jobs/{event_id}` shows it, and in `id` its version. The first is the job as it"
        " stands, unless `Last-Event-ID` names that; the last is its end, after which the stream"
        " closes, and 204 to whoever has had it. Changes in quick succession may come as one. A"
        " comment comes at least every 15 seconds. The stream ends with its token, and whenever we"
        " restart: come back after `retry`, as every EventSource does. It counts as one request."
        " Scope: `jobs:read`.",
        tags=["Jobs"],
        parameters=[EVENT_ID, LAST_EVENT_ID],
        responses={
            (200, events.MEDIA_TYPE): OpenApiTypes.STR,
            204: None,
            **REFUSALS,
            **dict.fromkeys((404, 429), ProblemSerializer),
        },
    )
    def get(self, request: Request, event_id: UUID) -> HttpResponse:
        caller = principal(request)
        job = shown.find(caller.tenant_id, event_id)
        if job is None or not shares.may_see(caller, event_id):
            raise Http404
        last_event_id = request.headers.get("Last-Event-ID", "")
        if events.is_over_for(last_event_id, job):
            return HttpResponse(status=HTTPStatus.NO_CONTENT)
        body = events.present(last_event_id, job)
        return HttpResponse(body, content_type=events.MEDIA_TYPE, headers=events.HEADERS)
