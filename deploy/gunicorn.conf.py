"""The web server: processes for the cores, threads for those who wait."""

import json
import os
import socket
from http import HTTPStatus
from pathlib import Path

from gunicorn import util
from gunicorn.http import wsgi

workers = int(os.environ.get("WEB_PROCESSES", "2"))
worker_class = "gthread"
threads = int(os.environ.get("WEB_THREADS", "8"))
timeout = 30
graceful_timeout = 10
keepalive = 30
accesslog = None  # the application logs each request, with its id
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
limit_request_line = 4094
limit_request_fields = 60
# X-Forwarded-Proto is the application's to judge: see TRUSTED_PROXIES. By default gunicorn believes
# whoever comes from this machine.
forwarded_allow_ips = ""
wsgi.SERVER = "guidepost"  # what we are, not of which make


def refuse(client: socket.socket, status: int, reason: str, message: str) -> None:
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
        f"HTTP/1.1 {status} {reason}",
        "Connection: close",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options: nosniff",
    ]
    util.write_nonblock(client, "\r\n".join([*head, "", body]).encode("latin-1"))


util.write_error = refuse
