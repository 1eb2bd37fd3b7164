"""The HTTP doors to what a tenant sets for all its jobs, and to its own key of a provider."""

from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from config.openapi import ProblemSerializer
from tenants.authentication import principal
from tenants.models import ProviderKey, Scope, Tenant
from tenants.preferences import preferences_of
from tenants.scope import TenantView
from tenants.serializers import (
    ProviderKeyPutSerializer,
    ProviderKeySerializer,
    SettingsChangeSerializer,
    SettingsSerializer,
)
from tenants.services import provider_keys
from tenants.services.settings import CHANGEABLE, change_settings

REFUSALS = dict.fromkeys((401, 403), ProblemSerializer)
BAD_BODY = dict.fromkeys((400, 415, 422), ProblemSerializer)
SETTINGS = {
    "on_doubt": "flag",
    "language": "",
    "models": ["gpt-4.1-mini", "gpt-4.1-nano"],
    "allowed_models": ["gpt-4.1-mini", "gpt-4.1-nano", "gpt-4.1"],
    "retention_days": None,
}
PROVIDER_KEY = {
    "provider": "openai",
    "last4": "x7Qa",
    "set_at": "2026-11-24T10:00:00Z",
    "set_by": "ann@example.com",
}


class SettingsView(TenantView):
    http_method_names = ["get", "head", "patch"]
    required_scopes = dict.fromkeys(("GET", "PATCH"), Scope.SETTINGS_MANAGE)

    @extend_schema(
        operation_id="getSettings",
        summary="What holds for all your jobs",
        description="Unless a job says otherwise. Scope: `settings:manage`.",
        tags=["Settings"],
        responses={200: SettingsSerializer, **REFUSALS},
        examples=[OpenApiExample("Settings", value=SETTINGS, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        return shown(Tenant.objects.get(pk=principal(request).tenant_id))

    @extend_schema(
        operation_id="changeSettings",
        summary="Change what holds for all your jobs",
        description="For jobs that are submitted from then on; retention holds for all."
        " Scope: `settings:manage`.",
        tags=["Settings"],
        request=SettingsChangeSerializer,
        responses={200: SettingsSerializer, **BAD_BODY, **REFUSALS},
        examples=[
            OpenApiExample(
                "With a fallback",
                value={"models": ["gpt-4.1-mini", "gpt-4.1-nano"]},
                request_only=True,
            ),
            OpenApiExample("Changed", value=SETTINGS, response_only=True),
        ],
    )
    def patch(self, request: Request) -> Response:
        body = SettingsChangeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        return shown(change_settings(principal(request).tenant_id, **body.validated_data))


class ProviderKeyView(TenantView):
    http_method_names = ["get", "head", "put", "delete"]
    required_scopes = dict.fromkeys(("GET", "PUT", "DELETE"), Scope.SETTINGS_MANAGE)

    @extend_schema(
        operation_id="getProviderKey",
        summary="Which key of your own is used",
        description="Never the key. 404 while you have none. Scope: `settings:manage`.",
        tags=["Settings"],
        responses={200: ProviderKeySerializer, 404: ProblemSerializer, **REFUSALS},
        examples=[OpenApiExample("Key", value=PROVIDER_KEY, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        key = provider_keys.shown_key(principal(request).tenant_id)
        if key is None:
            raise Http404
        return unkept(key)

    @extend_schema(
        operation_id="putProviderKey",
        summary="Use a key of your own",
        description="Your jobs' model calls are made with it from the next call on, at your own"
        " cost: budgets of money do not count them, budgets of tokens do. It takes the place of"
        " the one before. Scope: `settings:manage`.",
        tags=["Settings"],
        request=ProviderKeyPutSerializer,
        responses={200: ProviderKeySerializer, **BAD_BODY, **REFUSALS},
        examples=[
            OpenApiExample(
                "Key", value={"provider": "openai", "api_key": "sk-…"}, request_only=True
            ),
            OpenApiExample("Set", value=PROVIDER_KEY, response_only=True),
        ],
    )
    def put(self, request: Request) -> Response:
        caller = principal(request)
        body = ProviderKeyPutSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        key = provider_keys.put_key(
            tenant_id=caller.tenant_id, by=caller.user_id, **body.validated_data
        )
        return unkept(key)

    @extend_schema(
        operation_id="removeProviderKey",
        summary="Stop using a key of your own",
        description="From the next call on the installation's key is used, and budgets of money"
        " count again. Revoke the key with your provider too. Scope: `settings:manage`.",
        tags=["Settings"],
        responses={204: None, 404: ProblemSerializer, **REFUSALS},
    )
    def delete(self, request: Request) -> Response:
        if not provider_keys.remove_key(principal(request).tenant_id):
            raise Http404
        return Response(status=204)


def shown(tenant: Tenant) -> Response:
    values: dict[str, Any] = {name: getattr(tenant, name) for name in CHANGEABLE}
    values["allowed_models"] = preferences_of(tenant.pk).choice
    return Response(SettingsSerializer(values).data)


def unkept(key: ProviderKey) -> Response:
    return Response(ProviderKeySerializer(key).data, headers={"Cache-Control": "no-store"})
