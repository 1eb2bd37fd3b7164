"""What stands between browsers and our pages: whom a request is addressed to, who sent a form, and
a page for what goes wrong."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port

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


class PageErrorsMiddleware:
    """What a page's view raises and we have words for becomes a page that says it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return page_for(request, error)
