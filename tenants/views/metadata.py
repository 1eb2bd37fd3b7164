"""What this authorization server can do (RFC 8414), for clients that configure themselves."""

from django.conf import settings
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from config.openapi import ProblemSerializer
from config.views import PublicView
from tenants.models import Scope
from tenants.views.oauth import GRANTS

CLIENT_AUTHENTICATION = ["client_secret_basic", "client_secret_post", "none"]


def metadata() -> dict[str, object]:
    issuer = settings.PUBLIC_URL
    return {
        "issuer": issuer,
        "authorization_endpoint": issuer + reverse("authorize"),
        "token_endpoint": issuer + reverse("token"),
        "revocation_endpoint": issuer + reverse("revoke"),
        "jwks_uri": issuer + reverse("jwks"),
        "service_documentation": issuer + reverse("docs"),
        "scopes_supported": [scope.value for scope in Scope],
        "grant_types_supported": list(GRANTS),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": CLIENT_AUTHENTICATION,
        "revocation_endpoint_auth_methods_supported": CLIENT_AUTHENTICATION,
        "authorization_response_iss_parameter_supported": True,
    }


class MetadataView(PublicView):
    @extend_schema(
        operation_id="oauthMetadata",
        summary="Metadata of the authorization server",
        description="RFC 8414: endpoints, grants and methods. Needs no token.",
        tags=["Tokens"],
        auth=[],
        responses={200: OpenApiTypes.OBJECT, 503: ProblemSerializer},
        examples=[
            OpenApiExample(
                "Excerpt",
                value={
                    "issuer": "https://guidepost.example",
                    "token_endpoint": "https://guidepost.example/oauth/token",
                    "code_challenge_methods_supported": ["S256"],
                },
                response_only=True,
                status_codes=["200"],
            )
        ],
    )
    def get(self, request: Request) -> Response:
        return Response(metadata(), headers={"Cache-Control": "public, max-age=300"})
