"""Requests that are answered on the event loop, without a thread and without what pages need.

A lane leads where a view leads, for plain requests alone. Of a request with anything unusual about
it a lane knows nothing: it goes to the view, and nothing has been done for it before that. What
a lane answers, the view would have answered to the byte (tests/live/test_lanes.py).
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import urlsplit

from django.conf import settings
from rest_framework.renderers import JSONRenderer

from config import logs, problems
from config.headers import ALWAYS, DATA_POLICY, strict_transport
from config.middleware import id_of_request, log_request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

logger = logging.getLogger("django.request")  # what nobody foresaw, where Django says it too

# Headers that change what a request means, in ways that are the view's to know.
UNUSUAL = {
    b"content-encoding",
    b"expect",
    b"idempotency-key",
    b"range",
    b"transfer-encoding",
    b"upgrade",
}
ACCEPTED = frozenset({b"*/*", b"application/json", b"application/json, text/plain, */*"})
# A longer body takes long enough to read that others on the loop would notice.
MOST_BYTES = 65_536
SEND_SECONDS = 10  # for a client to read what there is for it: then it has left

Write = Callable[[bytes], Awaitable[None]]
Stream = Callable[[Write], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A plain request. Names of headers in lower case; each stands once."""

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    remote: str  # the address of whoever opened the connection
    receive: Receive

    async def body(self) -> bytes:
        """All there is of it, which may be less than was announced."""
        parts = []
        while True:
            message = await self.receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Answer:
    """data  of the JSON; None for no body
    last  a member of it that is JSON already
    stream  instead of data: writes the body for as long as it goes on
    """

    status: int
    data: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    last: tuple[str, str] | None = None
    content_type: str = "application/json"
    stream: Stream | None = None


class ClientDoesNotRead(Exception):
    """What was written for it has stood for SEND_SECONDS."""


class Lane(Protocol):
    @property
    def methods(self) -> str:
        """Of the view, as its answers list them in `Allow`."""

    @property
    def accepted(self) -> frozenset[bytes]:
        """Values of the header Accept that want what the lane answers."""

    def leads_to(self, asked: Asked) -> re.Match[str] | None:
        """Whether it is for the method and the path."""

    async def answer(self, asked: Asked, place: re.Match[str]) -> Answer | None:
        """None, before anything was done, for what only the view can answer."""


async def answered(lanes: list[Lane], scope: Scope, receive: Receive, send: Send) -> bool:
    """Whether one of the lanes has answered."""
    asked = _plain(scope, receive)
    if asked is None:
        return False
    for lane in lanes:
        if place := lane.leads_to(asked):
            wants = asked.headers.get(b"accept", b"*/*") in lane.accepted
            return wants and await _answered(lane, asked, place, send)
    return False


async def _answered(lane: Lane, asked: Asked, place: re.Match[str], send: Send) -> bool:
    request_id = id_of_request(asked.headers.get(b"x-request-id", b"").decode("latin-1"))
    token = logs.request_id.set(request_id)
    started = time.monotonic()
    try:
        answer = await lane.answer(asked, place)
        if answer is None:
            return False
        answer.headers.update({"Allow": lane.methods, "X-Request-ID": request_id})
        try:
            if answer.stream is None:
                await _send(send, answer)
            else:
                await _send_as_it_comes(send, answer, answer.stream)
        finally:  # the server cancels the answer to a client that has left
            log_request(asked.method, asked.path, answer.status, started)
        return True
    finally:
        logs.request_id.reset(token)


def _plain(scope: Scope, receive: Receive) -> Asked | None:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if len(headers) < len(scope["headers"]) or not UNUSUAL.isdisjoint(headers):
        return None
    if headers.get(b"host") != _public_host():
        return None
    if settings.HTTPS and not (
        settings.TRUSTED_PROXIES and headers.get(b"x-forwarded-proto") == b"https"
    ):
        return None
    return Asked(
        scope["method"],
        scope["path"],
        scope["query_string"],
        headers,
        scope["client"][0] if scope["client"] else "",
        receive,
    )


@cache
def _public_host() -> bytes:
    return urlsplit(settings.PUBLIC_URL).netloc.encode()


def of_error(error: Exception) -> Answer:
    """What the framework's views say of it."""
    said = problems.exception_handler(error, {})
    if said is None:
        logger.error("Internal Server Error", exc_info=error)
        code = "server_error"
        said = problems.problem(HTTPStatus.INTERNAL_SERVER_ERROR, code, *problems.OTHER[code])
    return Answer(
        said.status_code, said.data, dict(said.headers), content_type=problems.CONTENT_TYPE
    )


_renderer = JSONRenderer()


async def _send(send: Send, answer: Answer) -> None:
    body = _rendered(answer)
    answer.headers["Content-Length"] = str(len(body))
    if body:
        answer.headers["Content-Type"] = answer.content_type
    await send(_start(answer))
    await send({"type": "http.response.body", "body": body})


async def _send_as_it_comes(send: Send, answer: Answer, stream: Stream) -> None:
    answer.headers["Content-Type"] = answer.content_type
    started = False

    async def write(part: bytes) -> None:
        nonlocal started
        try:
            async with asyncio.timeout(SEND_SECONDS):
                if not started:
                    started = True
                    await send(_start(answer))
                await send({"type": "http.response.body", "body": part, "more_body": True})
        except TimeoutError:
            raise ClientDoesNotRead from None

    try:
        await stream(write)
    except ClientDoesNotRead:
        logger.info("client_does_not_read")
        return  # nor would it read the end: the server hangs up
    except Exception:
        if not started:
            raise
        logger.exception("stream_broken")
    await send({"type": "http.response.body", "body": b""})


def _start(answer: Answer) -> dict[str, Any]:
    said = [
        (name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers.items()
    ]
    return {"type": "http.response.start", "status": answer.status, "headers": said + _always()}


def _rendered(answer: Answer) -> bytes:
    if answer.data is None:
        return b""
    body: bytes = _renderer.render(answer.data)
    if answer.last is None:
        return body
    name, text = answer.last
    # As the renderer does it.
    text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return b'%s,"%s":%s}' % (body[:-1], name.encode(), text.encode())


@cache
def _always() -> list[tuple[bytes, bytes]]:
    secure = {"Strict-Transport-Security": strict_transport()} if settings.HTTPS else {}
    policies = {"Content-Security-Policy": DATA_POLICY, "Cache-Control": "no-store"}
    headers = {**ALWAYS, **secure, **policies}
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
