"""The OpenAPI document at /openapi.json, and the page that shows it."""

import gzip
import hashlib
from functools import cache
from typing import Any

from django.http import HttpResponse
from django.utils.cache import get_conditional_response, patch_vary_headers
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request

# A new release shows within this; until then a browser need not even ask.
CACHE_CONTROL = "public, max-age=300"


class DocumentView(SpectacularJSONAPIView):
    """The same for everybody: made once in a process, kept by browsers, and sent compressed.

    Compressed answers tell by their length where a secret and somebody else's words are in them
    together (BREACH). Here are neither.
    """

    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        plain, packed, tag = _document()
        zips = "gzip" in _accepted(request.headers.get("Accept-Encoding", ""))
        response = HttpResponse(
            packed if zips else plain, content_type=request.accepted_renderer.media_type
        )
        if zips:
            response["Content-Encoding"] = "gzip"
        response["ETag"] = tag
        response["Cache-Control"] = CACHE_CONTROL
        patch_vary_headers(response, ["Accept", "Accept-Encoding"])
        return get_conditional_response(request, etag=tag, response=response) or response


class DocsPage(SpectacularSwaggerSplitView):
    url_name = "openapi"
    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []
    http_method_names = ["get", "head"]  # it is a page: OPTIONS has nothing to describe


@cache
def _document() -> tuple[bytes, bytes, str]:
    """As it is, compressed, and its tag: a weak one, for both have it."""
    document = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    plain: bytes = OpenApiJsonRenderer().render(document, renderer_context={"indent": None})
    digest = hashlib.sha256(plain).hexdigest()[:32]
    return plain, gzip.compress(plain, mtime=0), f'W/"{digest}"'


def _accepted(accept_encoding: str) -> set[str]:
    """RFC 9110 section 12.5.3, without its preferences: what is named, and not with q=0."""
    named = set()
    for each in accept_encoding.lower().split(","):
        name, _, weight = each.replace(" ", "").partition(";q=")
        if weight.strip("0.") or not weight:
            named.add(name)
    return named
