"""The audit log, for the tenant whose acts it tells of."""

from urllib.parse import urlencode

from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from config.openapi import ProblemSerializer
from tenants import entries
from tenants.authentication import principal
from tenants.models import Scope
from tenants.scope import TenantView
from tenants.serializers import AuditEntrySerializer, AuditPageSerializer, AuditQuerySerializer

EXAMPLE = {
    "at": "2026-11-24T10:00:03.120000Z",
    "seq": 4711,
    "hash": "9f2c1f0e6c0b6a0f8f5d4b8c7f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c",
    "actor": {"kind": "key", "name": "gpc_5f1c0de2a9b34c6d8e7f9012"},
    "on_behalf_of": "",
    "address": "203.0.113.7",
    "request_id": "5e3b2f6f0a0c4f0c9a3e6a0e2b1d4c77",
    "action": "job.cancelled",
    "outcome": "done",
    "object": {"type": "job", "id": "01936f6e-7b1c-7c3e-9d8f-2b6a4e1c0d5f"},
    "before": {"status": "PENDING"},
    "after": {"status": "CANCELLED", "reason": "cancelled"},
}
REFUSED = {
    **EXAMPLE,
    "seq": None,
    "hash": None,
    "action": "access.refused",
    "outcome": "refused",
    "object": {"type": "route", "id": "GET /audit"},
    "before": None,
    "after": {"code": "insufficient_scope", "path": "/audit"},
}


class AuditView(TenantView):
    http_method_names = ["get", "head"]
    required_scopes = {"GET": Scope.AUDIT_READ}

    @extend_schema(
        operation_id="listAuditEntries",
        summary="Read your audit log, newest first",
        description="Who did what to which object, and what was refused. An entry gets `seq` and"
        " `hash`, its place in your tenant's hash chain, about a second after the act. Pages by"
        " cursor: follow `next` until it is null. Scope: `audit:read`.",
        tags=["Audit"],
        parameters=[AuditQuerySerializer],
        responses={200: AuditPageSerializer}
        | dict.fromkeys((400, 401, 403, 422), ProblemSerializer),
        examples=[
            OpenApiExample(
                "Page", value={"data": [REFUSED, EXAMPLE], "next": None}, response_only=True
            )
        ],
    )
    def get(self, request: Request) -> Response:
        parameters = AuditQuerySerializer(data=request.query_params)
        parameters.is_valid(raise_exception=True)
        rows, cursor = entries.page(principal(request).tenant_id, parameters.validated_data)
        data = AuditEntrySerializer(rows, many=True).data
        return Response({"data": data, "next": _next_link(request, cursor)})


def _next_link(request: Request, cursor: str | None) -> str | None:
    if cursor is None:
        return None
    fields = {k: v for k, v in request.query_params.items() if k != "cursor"}
    return f"{reverse('audit')}?{urlencode(fields | {'cursor': cursor})}"
