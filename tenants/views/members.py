"""The HTTP doors to members and invitations, and to who one is."""

from uuid import UUID

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from config.openapi import ProblemSerializer
from tenants.authentication import principal
from tenants.models import Membership, Scope, Tenant
from tenants.pages import PageQuerySerializer, page
from tenants.scope import TenantView
from tenants.serializers import (
    InvitationCreateSerializer,
    InvitationPageSerializer,
    InvitationSerializer,
    MemberChangeSerializer,
    MemberPageSerializer,
    MemberSerializer,
    MeSerializer,
)
from tenants.services import invitations, members, roles
from tenants.throttling import count_invitation

REFUSALS = dict.fromkeys((401, 403), ProblemSerializer)
MEMBER_ID = OpenApiParameter("member_id", OpenApiTypes.UUID, OpenApiParameter.PATH)
INVITATION_ID = OpenApiParameter("invitation_id", OpenApiTypes.UUID, OpenApiParameter.PATH)
MEMBER = {
    "id": "5b0d8a4e-6f0f-4d0a-9a53-2a7c3f1f7f10",
    "email": "ann@example.com",
    "name": "Ann",
    "role": "member",
    "sees_own_only": False,
    "can_sign_in": True,
    "joined_at": "2026-11-24T10:00:00Z",
}
INVITATION = {
    "id": "0d3c1f52-0c0e-4f39-8f0e-6c2a1a9b7d11",
    "email": "ben@example.com",
    "role": "member",
    "sees_own_only": False,
    "invited_by": "ann@example.com",
    "created_at": "2026-11-24T10:00:00Z",
    "expires_at": "2026-12-01T10:00:00Z",
}
ME = {
    "kind": "person",
    "subject": "3f1f7f10-6f0f-4d0a-9a53-5b0d8a4e2a7c",
    "name": "ann@example.com",
    "tenant": {
        "id": "9a535b0d-8a4e-4d0a-8f0e-2a7c3f1f7f10",
        "name": "St. Anna Hospital",
        "slug": "st-anna",
    },
    "role": "member",
    "sees_own_only": False,
    "scopes": ["jobs:manage", "jobs:read", "jobs:submit", "usage:read"],
}


class PeopleView(TenantView):
    http_method_names = ["get", "head", "post", "patch", "delete"]
    required_scopes: dict[str, Scope]


class MemberListView(PeopleView):
    required_scopes = {"GET": Scope.MEMBERS_MANAGE}

    @extend_schema(
        operation_id="listMembers",
        summary="List the members, newest first",
        description="Pages by cursor: follow `next` until it is null. Scope: `members:manage`.",
        tags=["Members"],
        parameters=[PageQuerySerializer],
        responses={200: MemberPageSerializer}
        | dict.fromkeys((400, 422), ProblemSerializer)
        | REFUSALS,
        examples=[
            OpenApiExample("Page", value={"data": [MEMBER], "next": None}, response_only=True)
        ],
    )
    def get(self, request: Request) -> Response:
        rows = Membership.objects.for_tenant(principal(request).tenant_id)
        rows = rows.select_related("user").only(*roles.SHOWN)
        shown, following = page(request, rows, by="public_id")
        return Response({"data": MemberSerializer(shown, many=True).data, "next": following})


class MemberDetailView(PeopleView):
    required_scopes = dict.fromkeys(("PATCH", "DELETE"), Scope.MEMBERS_MANAGE)

    @extend_schema(
        operation_id="changeMember",
        summary="Change a member's role, or what they see",
        description="Nobody changes their own. Only owners change owners or make one, and the last"
        " owner stays. Invitations that the member may not give any more end."
        " Scope: `members:manage`.",
        tags=["Members"],
        parameters=[MEMBER_ID],
        request=MemberChangeSerializer,
        responses={200: MemberSerializer}
        | dict.fromkeys((400, 404, 409, 415, 422), ProblemSerializer)
        | REFUSALS,
        examples=[
            OpenApiExample("To viewer", value={"role": "viewer"}, request_only=True),
            OpenApiExample("Changed", value={**MEMBER, "role": "viewer"}, response_only=True),
        ],
    )
    def patch(self, request: Request, member_id: UUID) -> Response:
        caller = principal(request)
        body = MemberChangeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        member = members.change_member(
            tenant_id=caller.tenant_id,
            by=caller.user_id,
            member_id=member_id,
            **body.validated_data,
        )
        if member is None:
            raise Http404
        return Response(MemberSerializer(member).data)

    @extend_schema(
        operation_id="removeMember",
        summary="Remove a member",
        description="Ends their access, their invitations and what was shared with them. Only"
        " owners remove owners, and the last owner stays. Keys they made are the tenant's and"
        " stay. Scope: `members:manage`.",
        tags=["Members"],
        parameters=[MEMBER_ID],
        responses={204: None, 404: ProblemSerializer, 409: ProblemSerializer, **REFUSALS},
    )
    def delete(self, request: Request, member_id: UUID) -> Response:
        caller = principal(request)
        member = members.remove_member(
            tenant_id=caller.tenant_id, by=caller.user_id, member_id=member_id
        )
        if member is None:
            raise Http404
        return Response(status=204)


class InvitationListView(PeopleView):
    required_scopes = dict.fromkeys(("GET", "POST"), Scope.MEMBERS_MANAGE)

    @extend_schema(
        operation_id="listInvitations",
        summary="List the invitations that are open, newest first",
        description="Also expired ones, until they are taken back. Pages by cursor: follow `next`"
        " until it is null. Scope: `members:manage`.",
        tags=["Members"],
        parameters=[PageQuerySerializer],
        responses={200: InvitationPageSerializer}
        | dict.fromkeys((400, 422), ProblemSerializer)
        | REFUSALS,
        examples=[
            OpenApiExample("Page", value={"data": [INVITATION], "next": None}, response_only=True)
        ],
    )
    def get(self, request: Request) -> Response:
        rows = invitations.open_invitations(principal(request).tenant_id)
        rows = rows.select_related("invited_by").only(*invitations.SHOWN)
        shown, following = page(request, rows, by="public_id")
        return Response({"data": InvitationSerializer(shown, many=True).data, "next": following})

    @extend_schema(
        operation_id="invite",
        summary="Invite somebody",
        description="Mails a link that works once, for seven days, for that e-mail address. An"
        " open invitation of the same address ends. Only owners invite owners."
        " Scope: `members:manage`.",
        tags=["Members"],
        request=InvitationCreateSerializer,
        responses={201: InvitationSerializer}
        | dict.fromkeys((400, 409, 415, 422, 429, 503), ProblemSerializer)
        | REFUSALS,
        examples=[
            OpenApiExample(
                "Member", value={"email": "ben@example.com", "role": "member"}, request_only=True
            ),
            OpenApiExample("Invited", value=INVITATION, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request) -> Response:
        caller = principal(request)
        count_invitation(request, caller.tenant_id)
        body = InvitationCreateSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        invitation = invitations.invite(
            tenant_id=caller.tenant_id, by=caller.user_id, **body.validated_data
        )
        return Response(InvitationSerializer(invitation).data, status=201)


class InvitationDetailView(PeopleView):
    required_scopes = {"DELETE": Scope.MEMBERS_MANAGE}

    @extend_schema(
        operation_id="revokeInvitation",
        summary="Take an invitation back",
        description="Its link stops working. Safe to repeat. Only owners take back invitations of"
        " owners. Scope: `members:manage`.",
        tags=["Members"],
        parameters=[INVITATION_ID],
        responses={204: None, 404: ProblemSerializer, **REFUSALS},
    )
    def delete(self, request: Request, invitation_id: UUID) -> Response:
        caller = principal(request)
        if not invitations.revoke_invitation(
            tenant_id=caller.tenant_id, by=caller.user_id, invitation_id=invitation_id
        ):
            raise Http404
        return Response(status=204)


class MeView(TenantView):
    """Open to every good token: it says nothing that its bearer could not find out."""

    http_method_names = ["get", "head"]
    permission_classes = [IsAuthenticated]
    required_scopes: dict[str, Scope | None] = {"GET": None}

    @extend_schema(
        operation_id="me",
        summary="Who am I, and what may I do",
        description="As this token stands: for which tenant, in which role, with which scopes."
        " Needs a token, and no scope.",
        tags=["Members"],
        responses={200: MeSerializer, 401: ProblemSerializer},
        examples=[OpenApiExample("A person", value=ME, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        caller = principal(request)
        body = {
            "kind": caller.kind,
            "subject": caller.subject,
            "name": caller.name,
            "tenant": Tenant.objects.get(pk=caller.tenant_id),
            "role": caller.role,
            "sees_own_only": caller.sees_own_only,
            "scopes": sorted(caller.scopes),
        }
        return Response(MeSerializer(body).data)
