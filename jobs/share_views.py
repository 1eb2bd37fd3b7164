"""The HTTP doors to the shares of a job."""

from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.openapi import ProblemSerializer
from config.serializers import StrictSerializer
from jobs import shares
from jobs.views import EVENT_ID
from tenants.authentication import principal
from tenants.models import Role, Scope
from tenants.scope import TenantView

REFUSALS = dict.fromkeys((401, 403, 404), ProblemSerializer)
SHARE_ID = OpenApiParameter("share_id", OpenApiTypes.UUID, OpenApiParameter.PATH)
EXAMPLE = {
    "id": "6c2a1a9b-0c0e-4f39-8f0e-0d3c1f527d11",
    "member": {"id": "5b0d8a4e-6f0f-4d0a-9a53-2a7c3f1f7f10", "email": "ann@example.com"},
    "role": None,
}


class ShareCreateSerializer(StrictSerializer):
    """Either a member or a role."""

    member = serializers.UUIDField(required=False, help_text="The `id` of a member.")
    role = serializers.ChoiceField(
        choices=Role.choices, required=False, help_text="Everybody of the role, now and later."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError("Send `member` or `role`.", code="one_of_two")
        return attrs


class SharedWithSerializer(serializers.Serializer):
    id = serializers.UUIDField(source="member_id")
    email = serializers.EmailField()


class ShareSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    member = serializers.SerializerMethodField()
    role = serializers.SerializerMethodField()

    @extend_schema_field(SharedWithSerializer(allow_null=True))
    def get_member(self, share: shares.Share) -> dict[str, Any] | None:
        return dict(SharedWithSerializer(share).data) if share.member_id else None

    @extend_schema_field(serializers.ChoiceField(choices=Role.choices, allow_null=True))
    def get_role(self, share: shares.Share) -> str | None:
        return share.role or None


class ShareListSerializer(serializers.Serializer):
    data = ShareSerializer(many=True)  # type: ignore[assignment]


class ShareView(TenantView):
    http_method_names = ["get", "head", "post", "delete"]
    required_scopes: dict[str, Scope]


class ShareListView(ShareView):
    required_scopes = dict.fromkeys(("GET", "POST"), Scope.JOBS_MANAGE)

    @extend_schema(
        operation_id="listShares",
        summary="List with whom a job is shared",
        description="Whoever sees all jobs of the tenant is not listed. Scope: `jobs:manage`.",
        tags=["Jobs"],
        parameters=[EVENT_ID],
        responses={200: ShareListSerializer, **REFUSALS},
        examples=[OpenApiExample("Shares", value={"data": [EXAMPLE]}, response_only=True)],
    )
    def get(self, request: Request, event_id: UUID) -> Response:
        found = shares.shares_of(caller=principal(request), event_id=event_id)
        if found is None:
            raise Http404
        return Response({"data": ShareSerializer(found, many=True).data})

    @extend_schema(
        operation_id="shareJob",
        summary="Share a job with a member or a role",
        description="For people who see only jobs of their own (`sees_own_only`): they see this"
        " one too. Safe to repeat. Scope: `jobs:manage`.",
        tags=["Jobs"],
        parameters=[EVENT_ID],
        request=ShareCreateSerializer,
        responses={201: ShareSerializer}
        | dict.fromkeys((400, 415, 422), ProblemSerializer)
        | REFUSALS,
        examples=[
            OpenApiExample(
                "With a member",
                value={"member": "5b0d8a4e-6f0f-4d0a-9a53-2a7c3f1f7f10"},
                request_only=True,
            ),
            OpenApiExample("With a role", value={"role": "viewer"}, request_only=True),
            OpenApiExample("Shared", value=EXAMPLE, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request, event_id: UUID) -> Response:
        body = ShareCreateSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        share = shares.share_job(
            caller=principal(request),
            event_id=event_id,
            member_id=body.validated_data.get("member"),
            role=body.validated_data.get("role", ""),
        )
        if share is None:
            raise Http404
        return Response(ShareSerializer(share).data, status=201)


class ShareDetailView(ShareView):
    required_scopes = {"DELETE": Scope.JOBS_MANAGE}

    @extend_schema(
        operation_id="unshareJob",
        summary="End a share of a job",
        description="Whoever sees only their own jobs sees it no more. Scope: `jobs:manage`.",
        tags=["Jobs"],
        parameters=[EVENT_ID, SHARE_ID],
        responses={204: None, **REFUSALS},
    )
    def delete(self, request: Request, event_id: UUID, share_id: UUID) -> Response:
        if not shares.unshare_job(caller=principal(request), event_id=event_id, share_id=share_id):
            raise Http404
        return Response(status=204)
