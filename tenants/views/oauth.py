"""The token endpoint: RFC 6749 section 4.4, client credentials."""

import base64
import binascii
from typing import Any
from urllib.parse import unquote_plus

from django.conf import settings
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.addresses import client_address, limit_key
from config.errors import DomainError
from config.isolation import DatabaseRole, acting_as
from config.openapi import ProblemSerializer
from config.parsers import BoundedFormParser, StrictJSONParser
from config.problems import problem
from config.views import PublicView
from tenants.services import keys, tokens
from tenants.throttling import count


class InvalidTokenRequest(DomainError):
    code = "invalid_request"
    title = "The token request is not complete"
    status = 400


class UnsupportedGrantType(DomainError):
    code = "unsupported_grant_type"
    title = "This grant type does not exist here"
    status = 400
    detail = "Send grant_type=client_credentials."


class TokenRequestSerializer(serializers.Serializer):
    grant_type = serializers.ChoiceField(choices=["client_credentials"])
    client_id = serializers.CharField(required=False, help_text="Unless sent by HTTP Basic.")
    client_secret = serializers.CharField(required=False, help_text="Unless sent by HTTP Basic.")
    scope = serializers.CharField(
        required=False, help_text="Space-separated; a narrower set than the key's own."
    )


class TokenSerializer(serializers.Serializer):
    access_token = serializers.CharField()
    token_type = serializers.ChoiceField(choices=["Bearer"])
    expires_in = serializers.IntegerField(help_text="Seconds.")
    scope = serializers.CharField()


class TokenView(PublicView):
    parser_classes = [BoundedFormParser, StrictJSONParser]

    @extend_schema(
        operation_id="issueToken",
        summary="Exchange an API key for an access token",
        description="RFC 6749 section 4.4. The key's id and secret come by HTTP Basic or in the"
        " body. The token is a JWT (RFC 9068); it works for about a quarter of an hour.",
        tags=["Tokens"],
        auth=[],
        request={
            "application/x-www-form-urlencoded": TokenRequestSerializer,
            "application/json": TokenRequestSerializer,
        },
        responses={
            200: TokenSerializer,
            400: ProblemSerializer,
            401: ProblemSerializer,
            429: ProblemSerializer,
        },
        examples=[
            OpenApiExample(
                "Request",
                value={
                    "grant_type": "client_credentials",
                    "client_id": "gpc_…",
                    "client_secret": "gps_…",
                },
                request_only=True,
            ),
            OpenApiExample(
                "Token",
                value={
                    "access_token": "eyJ…",
                    "token_type": "Bearer",
                    "expires_in": 900,
                    "scope": "jobs:manage jobs:read jobs:submit",
                },
                response_only=True,
                status_codes=["200"],
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        address = client_address(request)
        count(
            request,
            limit="token_attempts_per_address",
            rate=settings.TOKEN_ATTEMPT_RATE,
            key=limit_key(address),
        )
        fields = request.data
        client_id, client_secret = credentials(request, fields)
        if _text(fields, "grant_type") != "client_credentials":
            raise UnsupportedGrantType
        with acting_as(DatabaseRole.DOOR):
            key = keys.authenticate_client(client_id, client_secret, address=address)
            count(
                request,
                limit="tokens_per_tenant",
                rate=settings.TOKEN_RATE,
                key=str(key.tenant_id),
            )
            token = tokens.issue_token(key, _text(fields, "scope").split())
        return Response(
            {
                "access_token": str(token),
                "token_type": "Bearer",
                "expires_in": int(token.lifetime.total_seconds()),
                "scope": token["scope"],
            },
            headers={"Cache-Control": "no-store"},
        )

    def handle_exception(self, exc: Exception) -> Response:
        """OAuth clients look for `error` and `error_description` (RFC 6749 section 5.2)."""
        if not isinstance(exc, DomainError):
            return super().handle_exception(exc)
        headers = {**exc.headers, "Cache-Control": "no-store"}
        if exc.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="guidepost"'
        members = {"error": exc.code, "error_description": exc.detail, **exc.extra}
        return problem(exc.status, exc.code, exc.title, exc.detail, headers, **members)


def credentials(request: Request, fields: Any) -> tuple[str, str]:
    """Client id and secret, from the header or the body but not both (RFC 6749 section 2.3).

    Raises InvalidTokenRequest, or InvalidClient for a header that cannot be read.
    """
    header = request.headers.get("Authorization", "")
    in_body = (_text(fields, "client_id"), _text(fields, "client_secret"))
    if not header:
        if not all(in_body):
            raise InvalidTokenRequest(
                "Send client_id and client_secret, by HTTP Basic or in the body."
            )
        return in_body
    if in_body[1]:
        raise InvalidTokenRequest("Send the client's secret by header or body, not by both.")
    scheme, _, encoded = header.partition(" ")
    try:
        decoded = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        decoded = ""
    client_id, colon, client_secret = decoded.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise keys.InvalidClient("The Authorization header is not HTTP Basic.")
    return unquote_plus(client_id), unquote_plus(client_secret)


def _text(fields: Any, name: str) -> str:
    value = fields.get(name, "") if hasattr(fields, "get") else ""
    return value if isinstance(value, str) and "\x00" not in value else ""
