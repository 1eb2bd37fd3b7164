"""How the proof's requests get in, and how each wall is taken away to see the other hold alone."""

import http.client
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from django.conf import settings
from django.test import Client

from config import isolation
from tenants.querysets import TenantQuerySet

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    query: dict[str, str]
    body: dict[str, Any]
    is_form: bool = False

    @property
    def target(self) -> str:
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    @property
    def content(self) -> bytes:
        if self.method not in UNSAFE:
            return b""
        if self.is_form:
            return urlencode(self.body, doseq=True).encode()
        return json.dumps(self.body).encode()

    @property
    def content_type(self) -> str:
        return "application/x-www-form-urlencoded" if self.is_form else "application/json"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def whole(self) -> str:
        """All that the caller can read."""
        return "\n".join([*self.headers.values(), self.text])


class Door(Protocol):
    def send(self, request: Request) -> Answer: ...


class InProcess:
    """Through Django's test client: the whole application, in this process and its connection."""

    def __init__(self) -> None:
        self.client = Client(raise_request_exception=False)
        self.host = urlsplit(settings.PUBLIC_URL).netloc

    def send(self, request: Request) -> Answer:
        # Without the cookies of the answer before.
        self.client.cookies.clear()
        response = self.client.generic(
            request.method,
            request.target,
            request.content,
            request.content_type,
            secure=settings.HTTPS,
            headers={"Host": self.host, **request.headers},
        )
        text = response.content.decode(errors="replace") if not response.streaming else ""
        return Answer(response.status_code, dict(response.headers), text)


class OverTheNetwork:
    """One kept connection to a running server; redirects are not followed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        of_scheme = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        self.connection = of_scheme[parts.scheme](parts.netloc, timeout=30)

    def send(self, request: Request) -> Answer:
        headers = {"Content-Type": request.content_type, **request.headers}
        for attempt in (1, 2):
            try:
                self.connection.request(request.method, request.target, request.content, headers)
                response = self.connection.getresponse()
                text = self._body(response).decode(errors="replace")
            except (ConnectionError, http.client.RemoteDisconnected):
                # A kept connection may end between two requests, never more often.
                self.connection.close()
                if attempt == 2:
                    raise
            else:
                return Answer(response.status, dict(response.getheaders()), text)
        raise AssertionError("unreachable")

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        """All of it; of events, which go on as long as their job does, the first."""
        if response.headers.get_content_type() != "text/event-stream":
            return response.read()
        body = b""
        while line := response.readline():
            body += line
            if b"data: " in body and line == b"\n":
                break
        self.connection.close()
        return body


@contextmanager
def without_row_security() -> Iterator[None]:
    """In this process requests keep the owner's eyes: the queries' own filters stand alone.

    The tenant is still said, for defaults and triggers that ask for it.
    """
    name = isolation._name
    isolation._name = lambda role: "none"
    try:
        yield
    finally:
        isolation._name = name


@contextmanager
def without_filters() -> Iterator[None]:
    """In this process `for_tenant` filters nothing: PostgreSQL stands alone."""
    for_tenant = TenantQuerySet.for_tenant

    def everybody(self: TenantQuerySet, tenant_id: UUID) -> TenantQuerySet:
        return self.across_tenants()

    TenantQuerySet.for_tenant = everybody  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        TenantQuerySet.for_tenant = for_tenant  # type: ignore[method-assign]


@contextmanager
def quiet() -> Iterator[None]:
    """Thousands of refusals are not worth a log line each."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(disabled)
