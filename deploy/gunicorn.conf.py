"""The web server: processes for the cores, and in each an event loop with threads beside it."""

import asyncio
import gc
import json
import os
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path

from gunicorn.asgi import protocol as asgi

workers = int(os.environ.get("WEB_PROCESSES", "2"))
worker_class = "asgi"
# Loaded once and forked: a process that dies is back at once. New code takes a new start, not
# SIGHUP.
preload_app = True
asgi_loop = "uvloop"
asgi_lifespan = "on"
timeout = 30
graceful_timeout = 5  # idle connections are waited for too
keepalive = 30
accesslog = None  # the application logs each request, with its id
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
limit_request_line = 4094
limit_request_fields = 60
# X-Forwarded-Proto is the application's to judge: see TRUSTED_PROXIES. By default gunicorn believes
# whoever comes from this machine.
forwarded_allow_ips = ""
asgi._CACHED_SERVER_HEADER = b"Server: guidepost\r\n"  # what we are, not of which make


def when_ready(server: object) -> None:
    """Before the first fork: a collector that looked through what is shared would copy it."""
    gc.collect()
    gc.freeze()


def refuse(
    self: asgi.ASGIProtocol,
    status: int,
    message: str,
    extra_headers: Iterable[tuple[str, str]] = (),
) -> None:
    """Requests that never reach the application: malformed, or with headers beyond the limits."""
    code = "bad_request" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
    body = json.dumps(
        {
            "type": f"/docs/errors#{code}",
            "title": "The request is not acceptable" if status < 500 else "We made a mistake",
            "status": status,
            "detail": "Check its first line and its headers.",
            "code": code,
            "retryable": status >= HTTPStatus.INTERNAL_SERVER_ERROR,
            "request_id": "",
        }
    )
    head = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Connection: close",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options: nosniff",
        *(f"{name}: {value}" for name, value in extra_headers),
    ]
    self._safe_write("\r\n".join([*head, "", body]).encode("latin-1"))


asgi.ASGIProtocol._send_error_response = refuse


made = asgi.ASGIProtocol.connection_made


def connection_made(self: asgi.ASGIProtocol, transport: asyncio.Transport) -> None:
    """A connection has `keepalive` seconds for its first request too, not for the next alone."""
    made(self, transport)
    self._arm_keepalive_timer()


asgi.ASGIProtocol.connection_made = connection_made
