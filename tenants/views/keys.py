"""The HTTP doors to API keys."""

from datetime import timedelta
from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from config.openapi import ProblemSerializer
from tenants.authentication import Principal, principal
from tenants.models import ActorKind, ApiKey, Scope, Tenant
from tenants.pages import PageQuerySerializer, page
from tenants.scope import TenantView
from tenants.serializers import (
    KeyChangeSerializer,
    KeyCreateSerializer,
    KeyPageSerializer,
    KeyRotateSerializer,
    KeySerializer,
    NewKeySerializer,
)
from tenants.services import keys

REFUSALS = dict.fromkeys((401, 403), ProblemSerializer)
CLIENT_ID = OpenApiParameter("client_id", OpenApiTypes.STR, OpenApiParameter.PATH)
EXAMPLE = {
    "client_id": "gpc_8b1f0c2d4e6a7b9c0d1e2f3a",
    "name": "Intranet of ward 7",
    "status": "active",
    "scopes": ["jobs:read", "jobs:submit"],
    "allowed_networks": ["192.0.2.0/24", "2001:db8::/32"],
    "created_at": "2026-11-24T10:00:00Z",
    "expires_at": "2027-11-24T10:00:00Z",
    "rotated_at": None,
    "previous_secret_until": None,
    "revoked_at": None,
    "last_used_at": None,
    "last_used_address": "",
}
WITH_SECRET = {**EXAMPLE, "client_secret": "gps_…"}


class KeysView(TenantView):
    http_method_names = ["get", "head", "post", "patch"]
    required_scopes: dict[str, Scope]


class KeyListView(KeysView):
    required_scopes = dict.fromkeys(("GET", "POST"), Scope.KEYS_MANAGE)

    @extend_schema(
        operation_id="listKeys",
        summary="List the API keys, newest first",
        description="Also those that have ended. Pages by cursor: follow `next` until it is null."
        " Scope: `keys:manage`.",
        tags=["Keys"],
        parameters=[PageQuerySerializer],
        responses={200: KeyPageSerializer}
        | dict.fromkeys((400, 422), ProblemSerializer)
        | REFUSALS,
        examples=[
            OpenApiExample("Page", value={"data": [EXAMPLE], "next": None}, response_only=True)
        ],
    )
    def get(self, request: Request) -> Response:
        rows = ApiKey.objects.for_tenant(principal(request).tenant_id)
        shown, following = page(request, rows, by="client_id")
        return Response({"data": KeySerializer(shown, many=True).data, "next": following})

    @extend_schema(
        operation_id="createKey",
        summary="Make an API key",
        description="The answer shows the secret, for the only time. A key never has more scopes"
        " than whoever makes it. One that is made by a key expires no later than that key, and may"
        " be used from no other networks. Scope: `keys:manage`.",
        tags=["Keys"],
        request=KeyCreateSerializer,
        responses={201: NewKeySerializer}
        | dict.fromkeys((400, 415, 422), ProblemSerializer)
        | REFUSALS,
        examples=[
            OpenApiExample(
                "Key",
                value={
                    "name": "Intranet of ward 7",
                    "scopes": ["jobs:read", "jobs:submit"],
                    "expires_at": "2027-11-24T10:00:00Z",
                    "allowed_networks": ["192.0.2.0/24", "2001:db8::/32"],
                },
                request_only=True,
            ),
            OpenApiExample("Made", value=WITH_SECRET, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request) -> Response:
        caller = principal(request)
        body = KeyCreateSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        new = keys.issue_api_key(
            tenant=Tenant.objects.get(pk=caller.tenant_id),
            created_by_id=caller.user_id,
            held=caller.scopes,
            by_key=calling_key(caller),
            **body.validated_data,
        )
        return with_secret(new, status=201, headers={"Location": f"/keys/{new.key.client_id}"})


class KeyDetailView(KeysView):
    required_scopes = dict.fromkeys(("GET", "PATCH"), Scope.KEYS_MANAGE)

    @extend_schema(
        operation_id="getKey",
        summary="Get an API key",
        description="Never its secret. Scope: `keys:manage`.",
        tags=["Keys"],
        parameters=[CLIENT_ID],
        responses={200: KeySerializer, 404: ProblemSerializer, **REFUSALS},
        examples=[OpenApiExample("Key", value=EXAMPLE, response_only=True)],
    )
    def get(self, request: Request, client_id: str) -> Response:
        found = ApiKey.objects.for_tenant(principal(request).tenant_id)
        return shown(found.filter(client_id=client_id).first())

    @extend_schema(
        operation_id="changeKey",
        summary="Change an API key's name, scopes, expiry or networks",
        description="You need every scope that the key has or gets. A key changes none, itself"
        " neither, that expires later than it does or may be used from other networks, nor makes it"
        " so. A key that has ended stays as it is. Scope: `keys:manage`.",
        tags=["Keys"],
        parameters=[CLIENT_ID],
        request=KeyChangeSerializer,
        responses={200: KeySerializer}
        | dict.fromkeys((400, 404, 409, 415, 422), ProblemSerializer)
        | REFUSALS,
        examples=[
            OpenApiExample("Narrower", value={"scopes": ["jobs:read"]}, request_only=True),
            OpenApiExample(
                "Changed", value={**EXAMPLE, "scopes": ["jobs:read"]}, response_only=True
            ),
        ],
    )
    def patch(self, request: Request, client_id: str) -> Response:
        caller = principal(request)
        body = KeyChangeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        return shown(
            keys.change_key(
                tenant_id=caller.tenant_id,
                client_id=client_id,
                held=caller.scopes,
                by_key=calling_key(caller),
                **body.validated_data,
            )
        )


class KeyRotateView(KeysView):
    required_scopes = {"POST": Scope.KEYS_MANAGE}

    @extend_schema(
        operation_id="rotateKey",
        summary="Give an API key a new secret",
        description="The client id stays. During the overlap the old secret works too; rotating"
        " again ends the overlap of the one before. You need every scope that the key has; a key"
        " rotates none that expires later than it does or may be used from other networks."
        " Scope: `keys:manage`.",
        tags=["Keys"],
        parameters=[CLIENT_ID],
        request=KeyRotateSerializer,
        responses={200: NewKeySerializer}
        | dict.fromkeys((400, 404, 409, 415, 422), ProblemSerializer)
        | REFUSALS,
        examples=[
            OpenApiExample("A day for both", value={"overlap_minutes": 1440}, request_only=True),
            OpenApiExample(
                "Rotated",
                value={
                    **WITH_SECRET,
                    "rotated_at": "2026-12-24T10:00:00Z",
                    "previous_secret_until": "2026-12-25T10:00:00Z",
                },
                response_only=True,
            ),
        ],
    )
    def post(self, request: Request, client_id: str) -> Response:
        caller = principal(request)
        body = KeyRotateSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        new = keys.rotate_key(
            tenant_id=caller.tenant_id,
            client_id=client_id,
            held=caller.scopes,
            by_key=calling_key(caller),
            overlap=timedelta(minutes=body.validated_data["overlap_minutes"]),
        )
        if new is None:
            raise Http404
        return with_secret(new)


class KeyRevokeView(KeysView):
    required_scopes = {"POST": Scope.KEYS_MANAGE}

    @extend_schema(
        operation_id="revokeKey",
        summary="End an API key",
        description="At once and for good. Safe to repeat. Whoever manages keys may end any."
        " Scope: `keys:manage`.",
        tags=["Keys"],
        parameters=[CLIENT_ID],
        request=None,
        responses={200: KeySerializer, 404: ProblemSerializer, **REFUSALS},
        examples=[
            OpenApiExample(
                "Ended",
                value={**EXAMPLE, "status": "revoked", "revoked_at": "2026-12-24T10:00:00Z"},
                response_only=True,
            )
        ],
    )
    def post(self, request: Request, client_id: str) -> Response:
        tenant_id = principal(request).tenant_id
        return shown(keys.revoke_key(tenant_id=tenant_id, client_id=client_id))


def calling_key(caller: Principal) -> ApiKey | None:
    """The key that calls; None for a person. As it is now: a token knows nothing of its bounds."""
    if caller.kind is not ActorKind.KEY:
        return None
    return ApiKey.objects.for_tenant(caller.tenant_id).get(client_id=caller.subject)


def shown(key: ApiKey | None) -> Response:
    """Raises Http404 for none."""
    if key is None:
        raise Http404
    return Response(KeySerializer(key).data)


def with_secret(
    new: keys.NewApiKey, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    body: dict[str, Any] = {**KeySerializer(new.key).data, "client_secret": new.client_secret}
    return Response(body, status=status, headers={"Cache-Control": "no-store", **(headers or {})})
