"""Headers of every answer: pages, the API, static files, redirects and errors alike."""

from typing import TYPE_CHECKING

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.http import HttpResponseBase

if TYPE_CHECKING:
    from django.http import HttpRequest

# What is no page loads nothing and stands in no frame, however a browser comes to show it.
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "accelerometer=(), autoplay=(), camera=(), display-capture=(),"
    " geolocation=(), gyroscope=(), microphone=(), midi=(), payment=(), usb=(),"
    " publickey-credentials-create=(self), publickey-credentials-get=(self)",
}
# Everything else is for one reader at one time.
CACHEABLE = ("/static/", "/openapi.json", "/.well-known/", "/schemas/")


class HeadersMiddleware(CSPMiddleware):
    """Stands first, so that no answer of the application leaves without them."""

    def process_response(
        self, request: "HttpRequest", response: HttpResponseBase
    ) -> HttpResponseBase:
        if response.get("Content-Type", "").startswith("text/html"):
            response = super().process_response(request, response)
        else:
            response["Content-Security-Policy"] = DATA_POLICY
        for name, value in ALWAYS.items():
            response[name] = value
        if settings.HTTPS and request.is_secure():
            response["Strict-Transport-Security"] = strict_transport()
        if response.status_code >= 400 or not request.path.startswith(CACHEABLE):
            response["Cache-Control"] = "no-store"
        return response


def strict_transport() -> str:
    subdomains = "; includeSubDomains" if settings.SECURE_HSTS_INCLUDE_SUBDOMAINS else ""
    return f"max-age={settings.SECURE_HSTS_SECONDS}{subdomains}"
