"""The public keys that our tokens verify with."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.keyring import GRACE, key_ring
from config.views import PublicView


class JWKSView(PublicView):
    @extend_schema(
        operation_id="jwks",
        summary="Public keys of access tokens",
        description="A JSON Web Key Set (RFC 7517). Tokens name their key in the header `kid`.",
        tags=["Tokens"],
        auth=[],
        responses={200: OpenApiTypes.OBJECT},
    )
    def get(self, request: Request) -> Response:
        # A new key signs only when whoever kept the set for so long has asked again.
        headers = {"Cache-Control": f"public, max-age={int(GRACE.total_seconds())}"}
        return Response(key_ring().jwks(), headers=headers)
