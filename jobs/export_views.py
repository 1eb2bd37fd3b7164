"""GET /jobs/{event_id}/checklist.{ending}: the checklist as a file."""

import hashlib
import re
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse, HttpResponseBase, HttpResponseNotModified
from django.utils.http import content_disposition_header, quote_etag
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from config.openapi import ProblemSerializer
from config.problems import hint
from config.views import PublicView
from jobs.errors import NotCompleted
from jobs.etags import names
from jobs.exports import FORMATS, Format
from jobs.exports.checklist import Checklist
from jobs.exports.schema import ChecklistExportSerializer, checklist_schema
from jobs.exports.text import fit, one_line
from jobs.models import Job
from jobs.views import EVENT_ID
from tenants.authentication import principal
from tenants.models import Scope
from tenants.scope import TenantView

MAX_NAME = 80  # characters of a title in a file's name: file systems end at 255 bytes
NOT_IN_NAMES = re.compile(r'[/\\:*?"<>|\u202a-\u202e\u2066-\u2069\ufffd]+')


class ByPath(BaseContentNegotiation):
    """The path says which format is wanted; Accept, which browsers fill with theirs, says nothing.
    Refusals are problem documents."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class ExportView(TenantView):
    http_method_names = ["get", "head"]
    required_scopes = {"GET": Scope.JOBS_READ}
    content_negotiation_class = ByPath
    kind: Format

    def get(self, request: Request, event_id: UUID) -> HttpResponseBase:
        job = (
            Job.objects.visible_to(principal(request))
            .with_result()
            .filter(event_id=event_id, deleted_at=None)
            .first()
        )
        if job is None:
            raise Http404
        return exported(job, self.kind, request.headers.get("If-None-Match", ""))


def exported(job: Job, kind: Format, if_none_match: str) -> HttpResponse:
    """The checklist as a file, or 304 to whoever has it already. Raises NotCompleted."""
    result = job.result
    if result is None:
        raise NotCompleted.of(job)
    checklist = Checklist.of(job, result)
    body = kind.write(checklist)
    tag = quote_etag(hashlib.sha256(body).hexdigest())
    response: HttpResponse = HttpResponseNotModified()
    if not names(if_none_match, tag):
        response = HttpResponse(body, content_type=kind.media_type)
        response["Content-Disposition"] = _disposition(checklist.title, kind)
        if kind.policy:
            response["Content-Security-Policy"] = kind.policy
    response["ETag"] = tag
    return response


def _disposition(title: str, kind: Format) -> str:
    """RFC 6266. What browsers are to show is not saved at once."""
    name = file_name(title, kind.file_ending)
    return content_disposition_header(as_attachment=not kind.policy, filename=name) or ""


def file_name(title: str, ending: str) -> str:
    """The title as every file system can hold it, never as a path or a hidden file.

    With our word behind it no title is one of the names that Windows reserves, such as CON.
    """
    words = one_line(NOT_IN_NAMES.sub(" ", fit(title)))[:MAX_NAME].strip(". ")
    return f"{words} - checklist.{ending}" if words else f"checklist.{ending}"


def _view(ending: str, kind: Format) -> type[ExportView]:
    view = type(f"Checklist{kind.name}View", (ExportView,), {"kind": kind})
    media_type = kind.media_type.partition(";")[0]
    shape = ChecklistExportSerializer if ending == "json" else OpenApiTypes.BINARY
    describe = extend_schema(
        operation_id=f"getChecklist{kind.name}",
        summary=f"The checklist as a file: {kind.name}",
        description=f"{ABOUT[ending]} Each item with its citations and its flags, then what no item"
        " covers, then where all of it comes from. 409 until the job is COMPLETED. Scope:"
        " `jobs:read`.",
        tags=["Exports"],
        parameters=[EVENT_ID],
        responses={
            (200, media_type): shape,
            304: None,
            **dict.fromkeys((401, 403, 404, 409), ProblemSerializer),
        },
    )
    return extend_schema_view(get=describe)(view)


ABOUT = {
    "md": "Markdown for GitHub and CommonMark, with boxes to tick. Text of the guideline stays"
    " text: no link, no image, no tag.",
    "csv": "UTF-8 with a byte order mark, a row for each item and for each statement that no item"
    " covers. Text that a spreadsheet would take for a formula begins with an apostrophe.",
    "docx": "A Word document with boxes to tick and page numbers.",
    "html": "One page that asks for nothing and runs nothing, shown by browsers, made to be"
    " printed.",
    "json": "The result with its job, under the JSON Schema at `/schemas/checklist.v1.json`.",
    "fhir": "A FHIR R4 PlanDefinition, a draft: an action for each item, with its quotes.",
}
hint(
    rf"/jobs/[^/]+/checklist(?!\.({'|'.join(FORMATS)})$)[^/]*",
    f"A checklist ends in one of: {', '.join(f'.{ending}' for ending in FORMATS)}.",
)
VIEWS = {ending: _view(ending, kind) for ending, kind in FORMATS.items()}


class ChecklistSchemaView(PublicView):
    http_method_names = ["get", "head"]
    content_negotiation_class = ByPath

    @extend_schema(
        operation_id="getChecklistSchema",
        summary="The JSON Schema of the JSON export",
        description="JSON Schema 2020-12. Fields may be added under the same version. Anybody may"
        " read it.",
        tags=["Exports"],
        responses={(200, "application/schema+json"): OpenApiTypes.OBJECT, 405: ProblemSerializer},
        auth=[],
    )
    def get(self, request: Request) -> Response:
        return Response(checklist_schema(), content_type="application/schema+json")
