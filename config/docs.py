"""The OpenAPI document at /openapi.json, and the page that shows it."""

import hashlib
from functools import cache
from typing import Any

from django.http import HttpResponse
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.decorators import method_decorator
from django.views.decorators.gzip import gzip_page
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request

# A new release shows within this; until then a browser need not even ask.
CACHE_CONTROL = "public, max-age=300"


@method_decorator(gzip_page, name="dispatch")
class DocumentView(SpectacularJSONAPIView):
    """The same for everybody: made once in a process, kept by browsers, and sent compressed.

    Compressed answers tell by their length where a secret and somebody else's words are in them
    together (BREACH). Here are neither.
    """

    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        document, tag = _document()
        response = HttpResponse(document, content_type=request.accepted_renderer.media_type)
        response["ETag"] = tag
        response["Cache-Control"] = CACHE_CONTROL
        patch_vary_headers(response, ["Accept"])
        return get_conditional_response(request, etag=tag, response=response) or response


class DocsPage(SpectacularSwaggerSplitView):
    url_name = "openapi"
    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []
    http_method_names = ["get", "head"]  # it is a page: OPTIONS has nothing to describe


@cache
def _document() -> tuple[bytes, str]:
    """And its tag: a weak one, for it is the same compressed."""
    document = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    rendered: bytes = OpenApiJsonRenderer().render(document, renderer_context={"indent": None})
    return rendered, f'W/"{hashlib.sha256(rendered).hexdigest()[:32]}"'
