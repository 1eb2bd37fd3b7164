"""A request id in, the same out and in every log line; and the database role of pages."""

import logging
import re
import time
import uuid
from collections.abc import Callable
from functools import cache
from http import HTTPStatus

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from rest_framework.renderers import TemplateHTMLRenderer

from config import logs, problems
from config.isolation import DatabaseRole, acting_as

logger = logging.getLogger(__name__)

# The pages that are not behind a token act in one database role for the whole request.
ROLE_OF_PAGES = {
    "/admin/": DatabaseRole.STAFF,
    "/accounts/": DatabaseRole.DOOR,
    "/console/": DatabaseRole.DOOR,  # until it is known whose: tenants/console/page.py
    "/oauth/authorize": DatabaseRole.DOOR,
}
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def id_of_request(given: str) -> str:
    """The caller's where it is well-formed, else a new one."""
    return given if _ACCEPTABLE_ID.fullmatch(given) else uuid.uuid4().hex


def log_request(method: str, path: str, status: int, started: float) -> None:
    """started  by time.monotonic()"""
    ms = round((time.monotonic() - started) * 1000, 1)
    said = {"method": method, "path": path, "status": status, "ms": ms}
    logger.info("request", extra=said)


class RequestIdMiddleware:
    """Takes a well-formed `X-Request-ID` from the caller, else makes one.

    Stands first, so that its log line has the status the caller really got.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = id_of_request(request.headers.get("X-Request-ID", ""))
        token = logs.request_id.set(request_id)
        started = time.monotonic()
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = request_id
            log_request(request.method or "", request.path, response.status_code, started)
            return response
        finally:
            logs.request_id.reset(token)


class ContentLengthMiddleware:
    """Refuses a body of unknown length: Django would take it for an empty one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "Transfer-Encoding" in request.headers:
            return problems.length_required()
        return self.get_response(request)


class APIMiddleware:
    """Takes requests of the API straight to their view: they have no session, no cookie and no
    message, and no form that another site could send."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            match = resolve(request.path_info)
        except Resolver404:
            return self.get_response(request)
        if not _is_api(match.func):
            return self.get_response(request)
        request.resolver_match = match
        response: HttpResponse = match.func(request, *match.args, **match.kwargs)
        return response.render() if hasattr(response, "render") else response


@cache
def _is_api(view: Callable[..., HttpResponse]) -> bool:
    """The pages about the API are views of the framework too, but for browsers."""
    kind = getattr(view, "cls", None)
    return kind is not None and TemplateHTMLRenderer not in kind.renderer_classes


class DatabaseRoleMiddleware:
    """Pages act in one transaction, in the role of their part of the site (ROLE_OF_PAGES).

    Stands before the sessions, which need the database too. API views choose their role and
    tenant themselves, from the token.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        roles = (role for path, role in ROLE_OF_PAGES.items() if request.path.startswith(path))
        role = next(roles, None)
        if role is None:
            return self.get_response(request)
        with acting_as(role):
            response = self.get_response(request)
            if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                transaction.set_rollback(True)
            return response
