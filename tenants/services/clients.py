"""The programs through which people call the API, and where a code may be sent to them.

Source: RFC 8252 (OAuth for native apps), sections 7.3 and 8.4; RFC 9700 section 4.1.
"""

import re
import secrets
from collections.abc import Iterable
from urllib.parse import urlsplit

from tenants.models import OAuthClient

# What everybody has without registering: a command line on the person's own machine.
CLI = OAuthClient(
    client_id="guidepost-cli",
    name="Guidepost CLI",
    redirect_uris=["http://127.0.0.1/callback", "http://[::1]/callback"],
)
CLIENT_PREFIX = "gpa_"
_LOOPBACK = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]))(/[A-Za-z0-9._~/-]*)")
_HTTPS = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?/[A-Za-z0-9._~/-]*")


class InvalidRedirectURI(ValueError):
    """Neither https nor the person's own machine, or with a query or fragment."""


def find_client(client_id: str) -> OAuthClient | None:
    if client_id == CLI.client_id:
        return CLI
    return OAuthClient.objects.filter(client_id=client_id, is_active=True).first()


def register_client(*, name: str, redirect_uris: Iterable[str]) -> OAuthClient:
    """Raises InvalidRedirectURI."""
    uris = list(redirect_uris)
    for uri in uris:
        if not _LOOPBACK.fullmatch(uri) and not _HTTPS.fullmatch(uri):
            raise InvalidRedirectURI(uri)
    return OAuthClient.objects.create(
        client_id=CLIENT_PREFIX + secrets.token_hex(12), name=name, redirect_uris=uris
    )


def may_redirect_to(client: OAuthClient, uri: str) -> bool:
    """Character by character one that is registered; on the person's own machine at any port."""
    return any(_fits(registered, uri) for registered in client.redirect_uris)


def _fits(registered: str, uri: str) -> bool:
    loopback = _LOOPBACK.fullmatch(registered)
    if not loopback:
        return registered == uri
    origin, path = map(re.escape, loopback.groups())
    return re.fullmatch(f"{origin}(:[0-9]{{1,5}})?{path}", uri) is not None


def form_target(uri: str) -> str:
    """The source that a page's `form-action` has to name, whose form leads to the address."""
    parts = urlsplit(uri)
    # CSP knows no IPv6 addresses.
    return "http:" if parts.netloc.startswith("[") else f"{parts.scheme}://{parts.netloc}"
