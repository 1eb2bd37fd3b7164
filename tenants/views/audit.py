"""The audit log, for the tenant whose acts it tells of."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from config.errors import InvalidCursor
from config.openapi import ProblemSerializer
from tenants.authentication import principal
from tenants.models import AuditEntry, Scope
from tenants.scope import TenantView
from tenants.serializers import AuditEntrySerializer, AuditPageSerializer, AuditQuerySerializer

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXACT = ("action", "actor", "object_type", "object_id", "outcome")
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
        query = parameters.validated_data
        limit = query["limit"]
        at, skip = _position(query.get("cursor", ""))
        entries = _matching(principal(request).tenant_id, query)
        if at is not None:
            entries = entries.filter(at__lte=at)
        rows = list(entries[skip : skip + limit + 1])
        page = rows[:limit]
        more = len(rows) > limit
        return Response(
            {
                "data": AuditEntrySerializer(page, many=True).data,
                "next": _next_link(request, page, (at, skip)) if more else None,
            }
        )


def _matching(tenant_id: UUID, query: dict[str, Any]) -> QuerySet[AuditEntry]:
    entries = AuditEntry.objects.for_tenant(tenant_id).select_related("seal")
    entries = entries.filter(**{name: query[name] for name in EXACT if name in query})
    if "after" in query:
        entries = entries.filter(at__gte=query["after"])
    if "before" in query:
        entries = entries.filter(at__lt=query["before"])
    return entries.order_by("-at", "-id")


# A cursor is the time of the last entry shown, and how many with just that time were shown. Ids
# stay inside: they count everybody's entries.


def _position(cursor: str) -> tuple[datetime | None, int]:
    """Raises InvalidCursor."""
    if not cursor:
        return None, 0
    try:
        microseconds, skip = (int(part, 16) for part in cursor.split("-"))
        at = EPOCH + timedelta(microseconds=microseconds)
    except (ValueError, OverflowError):
        raise InvalidCursor from None
    if not 0 <= skip <= 10_000:
        raise InvalidCursor
    return at, skip


def _next_link(request: Request, page: list[AuditEntry], began: tuple[datetime | None, int]) -> str:
    last = page[-1].at
    shown = sum(entry.at == last for entry in page)
    if began[0] == last:
        shown += began[1]
    cursor = f"{(last - EPOCH) // timedelta(microseconds=1):x}-{shown:x}"
    fields = {k: v for k, v in request.query_params.items() if k != "cursor"}
    return f"{reverse('audit')}?{urlencode(fields | {'cursor': cursor})}"
