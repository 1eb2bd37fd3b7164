"""A person's own sessions at the API: seen and ended."""

from uuid import UUID

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.openapi import ProblemSerializer
from tenants.authentication import Principal, principal
from tenants.models import ActorKind, ApiSession
from tenants.scope import TenantView
from tenants.services import sessions

EXAMPLE = {
    "id": "5f6d3c1e-2f0a-4f4e-9d2c-8a7b6c5d4e3f",
    "client_id": "guidepost-cli",
    "scopes": ["jobs:read", "jobs:submit"],
    "created_at": "2026-11-24T10:00:00Z",
    "last_used_at": "2026-11-24T10:15:00Z",
    "address": "203.0.113.7",
    "is_current": True,
}
REFUSALS = dict.fromkeys((401, 403), ProblemSerializer)


class IsPerson(BasePermission):
    """Whatever the token's scopes: one may always see, and end, what goes on in one's own name."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.user, Principal):
            return False
        if request.user.kind is not ActorKind.PERSON:
            raise PermissionDenied("Sessions are of people; an API key has none. Revoke the key.")
        return True


class SessionSerializer(serializers.ModelSerializer):
    is_current = serializers.SerializerMethodField(help_text="The token of this request is its.")

    class Meta:
        model = ApiSession
        fields = [
            "id",
            "client_id",
            "scopes",
            "created_at",
            "last_used_at",
            "address",
            "is_current",
        ]
        read_only_fields = fields

    def get_is_current(self, session: ApiSession) -> bool:
        return str(session.id) == self.context["current"]


class SessionListSerializer(serializers.Serializer):
    data = SessionSerializer(many=True)  # type: ignore[assignment]


class OwnSessionsView(TenantView):
    permission_classes = [IsPerson]


class SessionListView(OwnSessionsView):
    required_scopes = {"GET": None}

    @extend_schema(
        operation_id="listSessions",
        summary="List your sessions at the API",
        description="Those of the calling person in the token's tenant that go on, the one used"
        " last first. For people's tokens, with any scope; an API key has no sessions (403).",
        tags=["Sessions"],
        responses={200: SessionListSerializer, **REFUSALS},
        examples=[OpenApiExample("Sessions", value={"data": [EXAMPLE]}, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        caller = principal(request)
        found = sessions.sessions_of(user_id=_person(caller), tenant_id=caller.tenant_id)
        context = {"current": caller.session}
        return Response({"data": SessionSerializer(found, many=True, context=context).data})


class SessionView(OwnSessionsView):
    required_scopes = {"DELETE": None}

    @extend_schema(
        operation_id="endSession",
        summary="End one of your sessions",
        description="Its refresh token is void at once, its access tokens within a second. Ending"
        " it again changes nothing. For people's tokens, with any scope.",
        tags=["Sessions"],
        parameters=[OpenApiParameter("session_id", OpenApiTypes.UUID, OpenApiParameter.PATH)],
        responses={204: None, 404: ProblemSerializer, **REFUSALS},
    )
    def delete(self, request: Request, session_id: UUID) -> Response:
        caller = principal(request)
        own = ApiSession.objects.for_tenant(caller.tenant_id).filter(user_id=_person(caller))
        session = own.filter(pk=session_id).first()
        if session is None:
            raise Http404
        sessions.end_session(session, reason=ApiSession.Ended.BY_OWNER)
        return Response(status=204)


def _person(caller: Principal) -> int:
    assert caller.user_id is not None  # noqa: S101  (IsPerson has seen to it)
    return caller.user_id
