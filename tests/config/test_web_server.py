"""gunicorn as it is deployed, asked byte by byte: what no test client can send."""

import os
import socket
import subprocess
import sys
import time

import pytest
from django.db import connection
from django.test import RequestFactory

from config.wsgi import Request
from deploy.local.processes import free_port
from deploy.local.stack import new_secrets
from tests.config.test_checks import ROOT
from tests.live.whole_stack import _with_path

KEEP_ALIVE = 2  # seconds


@pytest.fixture(scope="module")
def web(django_db_setup):
    """The port of a web server behind one proxy, known as https://guidepost.example."""
    port, made = free_port(), new_secrets()
    environment = {
        **{key: made[key] for key in ("SECRET_KEY", "API_KEY_PEPPER", "ENCRYPTION_KEYS")},
        "PATH": os.environ["PATH"],
        "DATABASE_URL": _with_path(
            os.environ["DATABASE_URL"], f"/{connection.settings_dict['NAME']}"
        ),
        "REDIS_URL": os.environ["REDIS_URL"],
        "PUBLIC_URL": "https://guidepost.example",
        "ALLOWED_HOSTS": "guidepost.example",
        "TRUSTED_PROXIES": "1",
        "WEB_PROCESSES": "1",
    }
    command = ["-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "-b", f"127.0.0.1:{port}"]
    command += ["--keep-alive", str(KEEP_ALIVE)]
    process = subprocess.Popen([sys.executable, *command, "config.asgi"], cwd=ROOT, env=environment)
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
    yield port
    process.terminate()
    process.wait(20)


def ask(port, *lines):
    """(status, headers, body) of an answer to exactly these lines."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))
        answer = b""
        while received := connection.recv(65536):
            answer += received
    head, _, body = answer.decode("latin-1").partition("\r\n\r\n")
    first, *rest = head.split("\r\n")
    headers = {}
    for line in rest:
        name, _, value = line.partition(": ")
        assert name.lower() not in headers, f"{name} stands twice"
        headers[name.lower()] = value
    return int(first.split()[1]), headers, body


OURS = ("Host: guidepost.example", "X-Forwarded-Proto: https")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/nowhere", 404),
        ("/docs/errors", 200),
        ("/static/guidepost/page.css", 200),
        ("/static/nowhere.css", 404),
        ("/", 302),
    ],
)
def test_every_answer_carries_the_headers_and_names_no_version(web, path, status):
    got, headers, _ = ask(web, f"GET {path} HTTP/1.1", *OURS)

    assert got == status
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert headers["server"] == "guidepost"
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


# Codecs of Python's: of no text, of none that anything can be read in, and one of names of hosts.
@pytest.mark.parametrize("charset", ["hex", "undefined", "punycode"])
@pytest.mark.parametrize("path", ["/healthz?x=%C3%A4", "/accounts/login/?next=/x"])
def test_a_query_is_read_as_utf_8_whatever_the_content_is_said_to_be(web, charset, path):
    said = f"Content-Type: text/plain; charset={charset}"

    status, _, body = ask(web, f"GET {path} HTTP/1.1", *OURS, said)

    assert status == 200, body


@pytest.mark.parametrize("charset", ["hex", "idna", "unicode_escape"])
def test_a_form_is_read_as_utf_8_whatever_its_sender_says_that_it_is(charset):
    part = '--x\r\nContent-Disposition: form-data; name="login"\r\n\r\n\\ud800 ü\r\n--x--\r\n'
    said = f"multipart/form-data; boundary=x; charset={charset}"

    sent = RequestFactory().generic("POST", "/", part.encode(), content_type=said)

    assert Request(sent.environ).POST["login"] == "\\ud800 ü"


def test_cookies_are_of_this_host_and_of_no_script(web):
    _, headers, _ = ask(web, "GET /accounts/login/ HTTP/1.1", *OURS)

    name, _, attributes = headers["set-cookie"].partition("=")
    assert name == "__Host-csrf"
    said = {attribute.strip() for attribute in attributes.split(";")}
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= said
    assert "Domain" not in attributes


def test_without_tls_pages_are_redirected_and_probes_answered(web):
    status, headers, _ = ask(web, "GET /docs HTTP/1.1", "Host: guidepost.example")

    assert (status, headers["location"]) == (301, "https://guidepost.example/docs")
    assert ask(web, "GET /healthz HTTP/1.1", "Host: guidepost.example")[0] == 200


@pytest.mark.parametrize(
    "lines",
    [
        ["GET /healthz HTTP/1.1", "Host: evil.example"],
        ["GET /healthz HTTP/1.1", "Host: guidepost.example:8000"],
        ["GET /healthz HTTP/1.1", "Host: guidepost.example", "Host: evil.example"],
        ["GET http://evil.example/healthz HTTP/1.1", "Host: guidepost.example"],
        ["GET /healthz HTTP/1.1", "Host: guidepost.example\x01"],
        ["GET /healthz HTTP/1.1"],
        ["GET /healthz HTTP/1.1", "Host: guidepost.example", "Broken"],
        ["GET /" + "a" * 5000 + " HTTP/1.1", "Host: guidepost.example"],
        ["GET /healthz HTTP/1.1", "Host: guidepost.example", *[f"X-{n}: 1" for n in range(99)]],
    ],
    ids=[
        "another host",
        "another port",
        "two hosts",
        "a whole address",
        "a control character",
        "no host",
        "no colon",
        "a long path",
        "many headers",
    ],
)
def test_what_is_addressed_to_others_or_malformed_is_a_400_problem(web, lines):
    status, headers, body = ask(web, *lines, "X-Forwarded-Proto: https")

    assert 400 <= status < 500
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert '"code": "bad_request"' in body
    assert "evil.example" not in body


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HTTP/1.1\r\nHost: guidepost.exam"])
def test_whoever_does_not_ask_in_time_is_hung_up_on(web, begun):
    with socket.create_connection(("127.0.0.1", web), timeout=10 * KEEP_ALIVE) as connection:
        connection.sendall(begun)

        assert connection.recv(65536) == b""


def test_whoever_has_asked_may_ask_again_for_a_while(web):
    question = "\r\n".join(["GET /healthz HTTP/1.1", *OURS, "", ""]).encode()
    with socket.create_connection(("127.0.0.1", web), timeout=10 * KEEP_ALIVE) as connection:
        for _ in range(2):
            connection.sendall(question)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            time.sleep(KEEP_ALIVE / 4)

        assert connection.recv(65536) == b""
