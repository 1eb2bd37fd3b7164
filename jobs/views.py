"""The HTTP doors to jobs."""

import json
from http import HTTPStatus
from uuid import UUID

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from config.openapi import ProblemSerializer
from config.parsers import MultipartParser, StrictJSONParser
from jobs import answers, deletion, services, shares, shown
from jobs.serializers import (
    DocumentSubmitSerializer,
    JobDetailSerializer,
    JobListQuerySerializer,
    JobPageSerializer,
    JobSerializer,
    JobSubmitSerializer,
)
from tenants.authentication import principal
from tenants.models import RouteClass, Scope
from tenants.scope import TenantView

REFUSALS = dict.fromkeys((401, 403), ProblemSerializer)
EVENT_ID = OpenApiParameter("event_id", OpenApiTypes.UUID, OpenApiParameter.PATH)
IF_NONE_MATCH = OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER)
PREFER = OpenApiParameter(
    "Prefer",
    str,
    OpenApiParameter.HEADER,
    description="`wait=30` holds the answer for up to 30 seconds (60 at most) until the job"
    " changes, or is not as `If-None-Match` has it, or has ended (RFC 7240).",
)
PREFERENCE_APPLIED = OpenApiParameter(
    "Preference-Applied",
    str,
    OpenApiParameter.HEADER,
    response=[200, 304],
    description="`wait=30`: the answer was held. Absent where it was given at once all the same.",
)
EXAMPLE = {
    "event_id": "01936f6e-7b1c-7c3e-9d8f-2b6a4e1c0d5f",
    "status": "PENDING",
    "step": "summarize",
    "progress": {"steps_done": 0, "steps": 2, "passages_done": 0, "passages": 0},
    "attempt": 0,
    "title": "Hand hygiene",
    "priority": "normal",
    "metadata": {"ward": "7b"},
    "options": {
        "language": "",
        "on_doubt": "flag",
        "report": False,
        "model": "gpt-4.1-mini",
        "cache": True,
        "fallback_models": ["gpt-4.1-nano"],
    },
    "supersedes": None,
    "replay_of": None,
    "cache": None,
    "created_at": "2026-11-24T10:00:00Z",
    "started_at": None,
    "completed_at": None,
    "error": None,
    "usage": {"llm_calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "unknown_calls": 0},
    "links": {
        "self": "/jobs/01936f6e-7b1c-7c3e-9d8f-2b6a4e1c0d5f",
        "events": "/jobs/01936f6e-7b1c-7c3e-9d8f-2b6a4e1c0d5f/events",
        "cancel": "/jobs/01936f6e-7b1c-7c3e-9d8f-2b6a4e1c0d5f/cancel",
        "retry": "/jobs/01936f6e-7b1c-7c3e-9d8f-2b6a4e1c0d5f/retry",
        "replay": "/jobs/01936f6e-7b1c-7c3e-9d8f-2b6a4e1c0d5f/replay",
    },
}
WAITING = {"waiting_on": "concurrency", "place": 3, "estimated_seconds": 12.5}


class JobView(TenantView):
    http_method_names = ["get", "head", "post"]
    required_scopes: dict[str, Scope]


class JobCreateView(JobView):
    """POST submits a guideline, GET lists the jobs."""

    required_scopes = {"GET": Scope.JOBS_READ, "POST": Scope.JOBS_SUBMIT}
    route_classes = {"POST": RouteClass.SUBMIT}
    in_one_statement = ("GET", "HEAD", "POST")
    parser_classes = [StrictJSONParser, MultipartParser]

    @extend_schema(
        operation_id="submitJob",
        summary="Submit a guideline",
        description="As text in JSON, or as a file in a form (`multipart/form-data`, in which"
        " `metadata` and `options` are JSON). Answers at once. The job is durable from the 202 on"
        " and is worked on by background workers; poll its `Location`. PDF, Word and HTML are read"
        " first, which is the step `read`; citations then point into the text that was read, and"
        " of a PDF say the page. Markdown and plain text are text already: they begin with"
        " `summarize`, as `guideline_text` does."
        " Scope: `jobs:submit`.",
        tags=["Jobs"],
        request={
            "application/json": JobSubmitSerializer,
            "multipart/form-data": DocumentSubmitSerializer,
        },
        responses={202: JobSerializer, 400: ProblemSerializer, **REFUSALS}
        | dict.fromkeys((413, 415, 422, 429, 503), ProblemSerializer),
        examples=[
            OpenApiExample(
                "Guideline",
                value={
                    "guideline_text": "# Hand hygiene\n\nStaff MUST disinfect their hands before"
                    " and after every contact with a patient.",
                    "title": "Hand hygiene",
                    "metadata": {"ward": "7b"},
                },
                request_only=True,
                media_type="application/json",
            ),
            OpenApiExample("Accepted", value=EXAMPLE, response_only=True, status_codes=["202"]),
        ],
    )
    def post(self, request: Request) -> Response:
        caller = principal(request)
        is_form = MultipartParser.reads(request.content_type)
        serializer = DocumentSubmitSerializer if is_form else JobSubmitSerializer
        job = services.submit_job(
            tenant_id=caller.tenant_id,
            submitted_by=caller.subject,
            preferences=caller.preferences,
            visible_to=caller,
            **serializer.checked(request.data),
        )
        data, headers = answers.accepted(job)
        return Response(data, status=HTTPStatus.ACCEPTED, headers=headers)

    @extend_schema(
        operation_id="listJobs",
        summary="List your jobs, newest first",
        description="Pages by cursor: follow `next` until it is null. `metadata.ward=7b` narrows it"
        " to jobs whose `metadata` has that pair; several such pairs to those that have all."
        " Scope: `jobs:read`.",
        tags=["Jobs"],
        parameters=[JobListQuerySerializer],
        responses={
            200: JobPageSerializer,
            400: ProblemSerializer,
            422: ProblemSerializer,
            **REFUSALS,
        },
        examples=[
            OpenApiExample("Page", value={"data": [EXAMPLE], "next": None}, response_only=True)
        ],
    )
    def get(self, request: Request) -> Response:
        query = JobListQuerySerializer.checked(request.query_params)
        jobs = shares.page(principal(request), answers.wanted_by(query))
        return Response(answers.page(jobs, query))


class JobDetailView(JobView):
    http_method_names = ["get", "head", "delete"]
    required_scopes = {"GET": Scope.JOBS_READ, "DELETE": Scope.JOBS_MANAGE}
    in_one_statement = ("GET", "HEAD")

    @extend_schema(
        operation_id="getJob",
        summary="Get a job and, once it is there, its result",
        description="`Retry-After` says when to look again while the job goes on. Unless it waits,"
        " an answer has an `ETag`: sent back in `If-None-Match`, it gets 304 without a body until"
        " something changes. With `Prefer: wait=30` the answer comes when something changes, or"
        " then. Scope: `jobs:read`.",
        tags=["Jobs"],
        parameters=[EVENT_ID, IF_NONE_MATCH, PREFER, PREFERENCE_APPLIED],
        responses={200: JobDetailSerializer, 304: None, **REFUSALS}
        | dict.fromkeys((404, 429), ProblemSerializer),
        examples=[
            OpenApiExample(
                "Waiting",
                value={**EXAMPLE, "result": None, "waiting": WAITING},
                response_only=True,
            )
        ],
    )
    def get(self, request: Request, event_id: UUID) -> Response:
        caller = principal(request)
        job = shown.find(caller.tenant_id, event_id)
        if job is None or not shares.may_see(caller, event_id):
            raise Http404
        data, headers = answers.shown_to(request.headers.get("If-None-Match", ""), job)
        if data is None:
            return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response({**data, "result": json.loads(shown.result_json(job))}, headers=headers)

    @extend_schema(
        operation_id="deleteJob",
        summary="Delete a job that has ended",
        description="The guideline, the result, the title and the metadata are gone at once and"
        " for good; counts and times stay. A guideline that runs again in a replay goes with the"
        " last of its jobs. Afterwards the job is absent (404), also when this is"
        " repeated. Cancel a job that waits or runs first. Scope: `jobs:manage`.",
        tags=["Jobs"],
        parameters=[EVENT_ID],
        responses={204: None, 404: ProblemSerializer, 409: ProblemSerializer, **REFUSALS},
    )
    def delete(self, request: Request, event_id: UUID) -> Response:
        caller = principal(request)
        tenant_id = caller.tenant_id
        if not deletion.delete_job(tenant_id=tenant_id, event_id=event_id, visible_to=caller):
            raise Http404
        return Response(status=204)


class JobCancelView(JobView):
    required_scopes = {"POST": Scope.JOBS_MANAGE}

    @extend_schema(
        operation_id="cancelJob",
        summary="Cancel a job",
        description="Waiting or running. Safe to repeat. Scope: `jobs:manage`.",
        tags=["Jobs"],
        parameters=[EVENT_ID],
        request=None,
        responses={202: JobSerializer, 404: ProblemSerializer, 409: ProblemSerializer, **REFUSALS},
        examples=[
            OpenApiExample(
                "Cancelled",
                value={**EXAMPLE, "status": "CANCELLED", "completed_at": "2026-11-24T10:00:03Z"},
                response_only=True,
                status_codes=["202"],
            )
        ],
    )
    def post(self, request: Request, event_id: UUID) -> Response:
        caller = principal(request)
        job = services.cancel_job(
            tenant_id=caller.tenant_id,
            event_id=event_id,
            actor=caller.subject,
            visible_to=caller,
        )
        if job is None:
            raise Http404
        return Response(JobSerializer(job).data, status=202)


class JobRetryView(JobView):
    required_scopes = {"POST": Scope.JOBS_MANAGE}

    @extend_schema(
        operation_id="retryJob",
        summary="Retry a job that ended without a result",
        description="Failed, cancelled or expired. What step 1 has made is kept. Safe to repeat:"
        " a job that waits or runs stays as it is. Scope: `jobs:manage`.",
        tags=["Jobs"],
        parameters=[EVENT_ID],
        request=None,
        responses={202: JobSerializer, 404: ProblemSerializer, 409: ProblemSerializer, **REFUSALS},
        examples=[
            OpenApiExample("Waiting", value=EXAMPLE, response_only=True, status_codes=["202"])
        ],
    )
    def post(self, request: Request, event_id: UUID) -> Response:
        caller = principal(request)
        job = services.retry_job(
            tenant_id=caller.tenant_id,
            event_id=event_id,
            actor=caller.subject,
            visible_to=caller,
        )
        if job is None:
            raise Http404
        return Response(JobSerializer(job).data, status=202, headers=answers.poll_headers(job))
