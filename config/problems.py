"""Every API error leaves as application/problem+json (RFC 9457)."""

import logging
import re
import sys
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.urls import Resolver404
from redis.exceptions import RedisError
from rest_framework import exceptions
from rest_framework.response import Response

from config import logs
from config.errors import DomainError, LengthRequired
from config.parsers import BodyTooLarge

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
RETRYABLE = {408, 429, 500, 502, 503, 504}  # and whatever says when to come back
HTML_PATHS = ("/admin", "/docs", "/static/", "/accounts/", "/console", "/oauth/authorize")


class InsufficientScope(exceptions.PermissionDenied):
    """The token is good, but was not issued for this."""

    default_code = "insufficient_scope"


# What DRF and Django raise, in the words of our contract: class -> (code, title, what to do).
KNOWN: dict[type[Exception], tuple[str, str, str]] = {
    exceptions.ParseError: ("malformed_body", "The body could not be read", ""),
    exceptions.AuthenticationFailed: ("invalid_token", "The access token is not valid", ""),
    exceptions.NotAuthenticated: (
        "token_missing",
        "An access token is needed",
        "Send `Authorization: Bearer <token>`; POST /oauth/token issues one for an API key.",
    ),
    InsufficientScope: ("insufficient_scope", "The token lacks a scope", ""),
    exceptions.PermissionDenied: ("forbidden", "This is not allowed", ""),
    exceptions.NotFound: (
        "not_found",
        "There is nothing here",
        "Check the id. What belongs to another tenant is absent as well.",
    ),
    exceptions.MethodNotAllowed: (
        "method_not_allowed",
        "The method does not exist here",
        "The header Allow lists the methods of this path.",
    ),
    exceptions.NotAcceptable: (
        "not_acceptable",
        "No such representation",
        "Accept application/json.",
    ),
    exceptions.UnsupportedMediaType: (
        "unsupported_media_type",
        "The body's media type is not supported",
        "Send `Content-Type: application/json`; POST /oauth/token takes a form as well, and"
        " POST /jobs `multipart/form-data`.",
    ),
}


# The same for what has no exception class of its own: code -> (title, what to do).
OTHER: dict[str, tuple[str, str]] = {
    "invalid_fields": (
        "Some fields are not acceptable",
        "See `errors`: each names its field by a JSON pointer.",
    ),
    "unavailable": (
        "The service cannot answer just now",
        "Nothing was changed, or the answer was lost. Ask again in a few seconds.",
    ),
    "csrf_refused": (
        "The form did not come from our page",
        "Open the page again and send the form from there. Cookies must be allowed.",
    ),
    "bad_request": ("The request is not acceptable", "Check its host and headers."),
    "server_error": (
        "We made a mistake",
        "It is logged under the request id. Send the same request again; tell support the id if"
        " it happens twice.",
    ),
}


def problem(
    status: int,
    code: str,
    title: str,
    detail: str = "",
    headers: dict[str, str] | None = None,
    **extra: object,
) -> Response:
    """A DRF response that is a problem document.

    `type` leads to the page about the code, `request_id` to our log lines; `retryable` says
    whether the same request may succeed later. `extra` become members (RFC 9457 section 3.2).
    """
    if "Retry-After" in (headers or {}):
        extra.setdefault("retryable", True)
    return Response(
        problem_body(status, code, title, detail, **extra),
        status=status,
        headers=headers,
        content_type=CONTENT_TYPE,
    )


def problem_body(
    status: int, code: str, title: str, detail: str = "", **extra: object
) -> dict[str, Any]:
    return {
        "type": f"/docs/errors#{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": status in RETRYABLE,
        "request_id": logs.request_id.get(),
        **extra,
    }


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's hook. None hands what we do not know on to Django: logged, then `server_error`."""
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if isinstance(error, DomainError):
        return problem(
            error.status, error.code, error.title, error.detail, error.headers, **error.extra
        )
    if isinstance(error, exceptions.ValidationError):
        return problem(
            422,
            "invalid_fields",
            *OTHER["invalid_fields"],
            errors=list(field_errors(error.detail)),
        )
    if isinstance(error, OperationalError | InterfaceError):
        logger.error("database_unavailable", exc_info=error)
        return problem(
            503,
            "unavailable",
            *OTHER["unavailable"],
            headers={"Retry-After": "5"},
        )
    if isinstance(error, exceptions.APIException):
        return _from_api_exception(error)
    return None


def _from_api_exception(error: exceptions.APIException) -> Response:
    known = next((KNOWN[kind] for kind in type(error).__mro__ if kind in KNOWN), None)
    code, title, detail = known or (
        str(error.default_code),
        HTTPStatus(error.status_code).phrase,
        "",
    )
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    return problem(error.status_code, code, title, detail or str(error.detail), headers)


def field_errors(detail: Any, pointer: str = "") -> Any:
    """Flattens DRF's nested details to `{pointer, code, detail}` (RFC 6901 pointers)."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            step = str(name).replace("~", "~0").replace("/", "~1")
            yield from field_errors(
                inner, pointer if name == "non_field_errors" else f"{pointer}/{step}"
            )
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            nested = isinstance(inner, dict | list)
            yield from field_errors(inner, f"{pointer}/{index}" if nested else pointer)
    else:
        yield {"pointer": pointer, "code": detail.code, "detail": str(detail)}


# --- What never reaches a DRF view ----------------------------------------------------------


def page_for(request: HttpRequest, error: Exception) -> HttpResponse | None:
    """The page about a refusal, or about a store that is away; None for what we do not know."""
    if not _wants_html(request):
        return None
    if isinstance(error, DomainError):
        response = _page(error.status, error.code, error.title, error.detail)
        for name, value in error.headers.items():
            response[name] = value
        return response
    if isinstance(error, OperationalError | InterfaceError | RedisError):
        logger.error("store_unavailable", exc_info=error)
        response = _page(503, "unavailable", *OTHER["unavailable"])
        response["Retry-After"] = "5"
        return response
    return None


def _wants_html(request: HttpRequest) -> bool:
    return request.path.startswith(HTML_PATHS)


def _answer(request: HttpRequest, status: int, code: str, title: str, detail: str) -> HttpResponse:
    if _wants_html(request):
        return _page(status, code, title, detail)
    return _plain(status, code, title, detail)


def _plain(status: int, code: str, title: str, detail: str) -> HttpResponse:
    body = problem_body(status, code, title, detail)
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE)


def _page(status: int, code: str, title: str, detail: str) -> HttpResponse:
    """Made without the request: neither a session nor the database is needed to say it."""
    body = problem_body(status, code, title, detail)
    return HttpResponse(render_to_string("problem.html", body), status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        detail = f"What is typed into a form may have {most:,} bytes. Send a long text as a file."
        kind = BodyTooLarge
        return _answer(request, kind.status, kind.code, kind.title, detail)
    # Never a page: whoever is refused for its Host header is no browser of a person of ours.
    return _plain(400, "bad_request", *OTHER["bad_request"])


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    code, title, detail = KNOWN[exceptions.PermissionDenied]
    return _answer(request, 403, code, title, str(exception) or detail)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    logger.warning("csrf_refused", extra={"reason": reason})
    return _answer(request, 403, "csrf_refused", *OTHER["csrf_refused"])


NO_PATH = "No path looks like this, or its id is no UUID. /docs lists the paths there are."
_near: list[tuple[re.Pattern[str], str]] = []


def hint(pattern: str, text: str) -> None:
    """What is said of paths that do not exist and look like this."""
    _near.append((re.compile(pattern), text))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    code, title, detail = KNOWN[exceptions.NotFound]
    if isinstance(exception, Resolver404):
        near = (text for pattern, text in _near if pattern.fullmatch(request.path))
        detail = next(near, NO_PATH)
    return _answer(request, 404, code, title, detail)


def length_required() -> HttpResponse:
    return _plain(411, LengthRequired.code, LengthRequired.title, LengthRequired.detail)


def server_error(request: HttpRequest) -> HttpResponse:
    error = sys.exc_info()[1]
    known = page_for(request, error) if isinstance(error, Exception) else None
    return known or _answer(request, 500, "server_error", *OTHER["server_error"])
