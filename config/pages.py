"""What stands between browsers and our pages: whom a request is addressed to, who sent a form, and
a page for what goes wrong."""

from collections.abc import Callable
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.urls import Resolver404, resolve

from config.isolation import DatabaseRole, acting_as
from config.parsers import BodyTooLarge, MultipartParser
from config.problems import csrf_failure, page_for

SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
OURSELVES = {"", "same-origin", "none"}  # values of Sec-Fetch-Site; old browsers send none


class HostMiddleware:
    """Refuses requests that are addressed to somebody else, before anything is done for them.

    Django looks at the Host header when it needs it, and not at its port; links in our mails carry
    PUBLIC_URL in any case. USE_X_FORWARDED_HOST stays off: a proxy passes Host on.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name, port = split_domain_port(request.get_host())
        public = urlsplit(settings.PUBLIC_URL)
        if settings.HTTPS and name == public.hostname and port not in ("", str(public.port or 443)):
            raise DisallowedHost(f"The port {port} of {name} is not ours.")
        # "GET http://elsewhere/ HTTP/1.1" names a host too, which outranks the header (RFC 9112).
        if not request.META.get("PATH_INFO", "/").startswith("/"):
            raise DisallowedHost("The request line holds a whole address.")
        return self.get_response(request)


class FetchSiteMiddleware:
    """Refuses forms of which the browser itself says that another site sent them.

    Beside Django's check of token and origin: it needs no cookie, and so guards signing in too.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        site = request.headers.get("Sec-Fetch-Site", "")
        exempt = getattr(view, "csrf_exempt", False)  # the API: it takes no cookies
        if request.method in SAFE_METHODS or exempt or site in OURSELVES:
            return None
        return csrf_failure(request, f"Sec-Fetch-Site is {site}.")


class FormSizeMiddleware:
    """Refuses forms that are larger than any of their page before they are read: the check of their
    token would read them whole, whoever sends them.

    A view that takes files says by `most_bytes` how much it takes, of people who are signed in. It
    is read here, where no transaction waits for somebody's slow line.
    """

    USUAL = MultipartParser.FIELD_BYTES

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        size = int(request.META.get("CONTENT_LENGTH") or 0)
        if size <= self.USUAL:
            return self.get_response(request)
        most = self._most(request)
        if size > most:
            said = f"The form has {size:,} bytes; it may have {most:,}. Send less."
            refused = page_for(request, BodyTooLarge(said))
        elif not _is_signed_in(request):
            said = "Whoever is not signed in sends no files. Sign in first."
            refused = page_for(request, BodyTooLarge(said))
        else:
            refused = None
            request.POST  # noqa: B018  (reads it)
        return refused or self.get_response(request)

    def _most(self, request: HttpRequest) -> int:
        try:
            view: Any = resolve(request.path_info).func
        except Resolver404:
            return self.USUAL
        most: int = getattr(getattr(view, "view_class", None), "most_bytes", self.USUAL)
        return most


def _is_signed_in(request: HttpRequest) -> bool:
    """By the session alone: the page looks whose it is."""
    engine = import_module(settings.SESSION_ENGINE)
    with acting_as(DatabaseRole.DOOR):
        session = engine.SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
        return SESSION_KEY in session


class PageErrorsMiddleware:
    """What a page's view raises and we have words for becomes a page that says it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return page_for(request, error)
