"""The HTTP doors to replays and comparisons."""

from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from config.openapi import ProblemSerializer
from jobs import answers, diffs, replays
from jobs.revision_serializers import DiffQuerySerializer, DiffSerializer, ReplaySerializer
from jobs.serializers import JobSerializer
from jobs.views import EVENT_ID, EXAMPLE, REFUSALS, JobView
from tenants.authentication import principal
from tenants.models import RouteClass, Scope

ABSENT = {404: ProblemSerializer, 409: ProblemSerializer, 422: ProblemSerializer}
ITEM: dict[str, Any] = {
    "id": "3f0c1d2e4b5a",
    "action": "Wash your hands for 20 seconds",
    "actor": "Staff",
    "level": "must",
    "category": "Hands",
    "priority": "high",
    "condition": "",
    "citations": [
        {
            "start": 24,
            "end": 67,
            "quote": "Staff must wash their hands for 20 seconds.",
            "section": "Hands",
            "match": "exact",
            "similarity": None,
        }
    ],
    "supported": True,
    "flags": [],
}
EDITED = "Staff must wash their hands for 40 seconds."
NONE = {"added": 0, "removed": 0, "changed": 1, "same": 12}


class JobReplayView(JobView):
    http_method_names = ["post"]
    required_scopes = {"POST": Scope.JOBS_SUBMIT}
    route_classes = {"POST": RouteClass.SUBMIT}

    @extend_schema(
        operation_id="replayJob",
        summary="Run a job's guideline again, with other versions",
        description="A new job on the same document, with `replay_of`; any job that has ended can"
        " be replayed. It costs what a submission costs. What the body leaves out is as it was;"
        " compare both with `GET /jobs/{event_id}/diff`. Scope: `jobs:submit`.",
        tags=["Jobs"],
        parameters=[EVENT_ID],
        request=ReplaySerializer,
        responses={202: JobSerializer, 400: ProblemSerializer, **REFUSALS, **ABSENT}
        | dict.fromkeys((413, 415, 429, 503), ProblemSerializer),
        examples=[
            OpenApiExample(
                "Another version of a prompt",
                value={"prompts": {"summarize": 1}, "reason": "Compare the versions."},
                request_only=True,
            ),
            OpenApiExample(
                "Accepted",
                value={**EXAMPLE, "replay_of": "01936f6d-0a2b-7d4e-8f90-1a2b3c4d5e6f"},
                response_only=True,
                status_codes=["202"],
            ),
        ],
    )
    def post(self, request: Request, event_id: UUID) -> Response:
        body = ReplaySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        job = replays.replay_job(
            caller=principal(request), event_id=event_id, **body.validated_data
        )
        if job is None:
            raise Http404
        data = JobSerializer(job).data
        headers = {"Location": data["links"]["self"], **answers.poll_headers(job)}
        return Response(data, status=202, headers=headers)


class JobDiffView(JobView):
    http_method_names = ["get", "head"]
    required_scopes = {"GET": Scope.JOBS_READ}

    @extend_schema(
        operation_id="diffJobs",
        summary="Compare the results of two jobs",
        description="Items and statements that were added, removed, changed or are the same, from"
        " the job in `with` to the job in the path. Of the same guideline, of two revisions, or of"
        " any two guidelines. Scope: `jobs:read`.",
        tags=["Jobs"],
        parameters=[
            EVENT_ID,
            OpenApiParameter(
                "with",
                OpenApiTypes.UUID,
                OpenApiParameter.QUERY,
                required=True,
                description="`event_id` of the earlier job.",
            ),
        ],
        responses={200: DiffSerializer, **REFUSALS, **ABSENT},
        examples=[
            OpenApiExample(
                "A number was edited",
                value={
                    "before": {
                        "event_id": "01936f6d-0a2b-7d4e-8f90-1a2b3c4d5e6f",
                        "completed_at": "2026-11-23T10:00:09Z",
                    },
                    "after": {
                        "event_id": EXAMPLE["event_id"],
                        "completed_at": "2026-11-24T10:00:09Z",
                    },
                    "items": {
                        "counts": NONE,
                        "added": [],
                        "removed": [],
                        "changed": [
                            {
                                "before": ITEM,
                                "after": {
                                    **ITEM,
                                    "id": "a1b2c3d4e5f6",
                                    "action": "Wash your hands for 40 seconds",
                                    "citations": [{**ITEM["citations"][0], "quote": EDITED}],
                                },
                                "fields": {
                                    "action": {
                                        "before": ITEM["action"],
                                        "after": "Wash your hands for 40 seconds",
                                    },
                                    "quotes": {
                                        "before": [ITEM["citations"][0]["quote"]],
                                        "after": [EDITED],
                                    },
                                },
                                "similarity": 0.861,
                            }
                        ],
                        "same": ["9d8c7b6a5f4e"],
                    },
                    "statements": {
                        "counts": NONE,
                        "added": [],
                        "removed": [],
                        "changed": [
                            {
                                "before": {
                                    "text": ITEM["citations"][0]["quote"],
                                    "levels": ["must"],
                                    "start": 24,
                                    "end": 67,
                                    "state": "covered",
                                },
                                "after": {
                                    "text": EDITED,
                                    "levels": ["must"],
                                    "start": 24,
                                    "end": 67,
                                    "state": "covered",
                                },
                                "similarity": 0.875,
                            }
                        ],
                    },
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request, event_id: UUID) -> Response:
        query = DiffQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        found = diffs.diff_jobs(
            caller=principal(request), before=query.validated_data["with"], after=event_id
        )
        if found is None:
            raise Http404
        return Response(found)
