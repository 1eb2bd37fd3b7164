"""Requests as a hostile or broken client puts them on the wire, byte by byte."""

import gzip
import json
import socket
import time
from urllib.parse import urlsplit

import pytest

JOB = json.dumps({"guideline_text": "Staff MUST wash their hands."}).encode()


@pytest.fixture
def send(live):
    """Sends bytes; (status, headers and body as text) of the first answer."""

    def ask(head, body=b"", *, token=True):
        address = urlsplit(live.url)
        lines = [*head, "Connection: close"]
        if token:
            lines.append(f"Authorization: Bearer {live.token()}")
        raw = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        with socket.create_connection((address.hostname, address.port), timeout=20) as wire:
            wire.sendall(raw)
            answer = b""
            while chunk := wire.recv(65536):
                answer += chunk
        head, _, text = answer.decode().partition("\r\n\r\n")
        return int(head.split()[1]), head + "\n" + text

    return ask


def post(*headers):
    return ["POST /jobs HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *headers]


def test_an_ordinary_request_passes(send):
    status, _ = send(post(f"Content-Length: {len(JOB)}"), JOB)

    assert status == 202


def test_an_answer_says_how_long_it_is(send):
    for head, body in [
        (post(f"Content-Length: {len(JOB)}"), JOB),
        (["GET /jobs HTTP/1.1", "Host: 127.0.0.1"], b""),
        (["GET /jobs/none HTTP/1.1", "Host: 127.0.0.1"], b""),
    ]:
        _, text = send(head, body)

        assert "content-length: " in text.lower()
        assert "transfer-encoding" not in text.lower()


def test_a_body_of_unknown_length_is_refused_not_taken_for_empty(send):
    chunked = f"{len(JOB):x}\r\n".encode() + JOB + b"\r\n0\r\n\r\n"

    status, text = send(post("Transfer-Encoding: chunked"), chunked)

    assert status == 411
    assert "length_required" in text


def test_two_lengths_or_a_length_and_chunks_are_refused(send):
    both = f"{len(JOB):x}\r\n".encode() + JOB + b"\r\n0\r\n\r\n"

    assert send(post(f"Content-Length: {len(JOB)}", "Content-Length: 3"), JOB)[0] == 400
    assert send(post(f"Content-Length: {len(JOB)}", "Transfer-Encoding: chunked"), both)[0] in (
        400,
        411,
    )


def test_a_body_shorter_than_its_length_makes_no_job(send, live):
    before = live.rows("SELECT count(*) FROM jobs_job")

    address = urlsplit(live.url)
    head = post(f"Content-Length: {len(JOB) + 10}", f"Authorization: Bearer {live.token()}")

    with socket.create_connection((address.hostname, address.port), timeout=20) as wire:
        wire.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + JOB)
        wire.shutdown(socket.SHUT_WR)
        answer = wire.recv(65536)

    assert b" 202 " not in answer
    assert live.rows("SELECT count(*) FROM jobs_job") == before


def test_a_length_beyond_the_limit_is_refused_before_the_body_comes(send):
    started = time.monotonic()

    status, text = send(post("Content-Length: 999999999"), b"{")

    assert status == 413
    assert "body_too_large" in text
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["Content-Encoding: gzip"], gzip.compress(JOB)),
        (["Content-Encoding: br"], JOB),
        (["Content-Encoding: gzip, gzip"], JOB),
    ],
)
def test_a_packed_body_is_refused(send, headers, body):
    status, text = send(post(f"Content-Length: {len(body)}", *headers), body)

    assert status == 415
    assert "unsupported_encoding" in text


@pytest.mark.parametrize("charset", ["utf-7", "utf-16", "latin-1", '"utf-7"'])
def test_another_charset_is_refused(send, charset):
    head = post(f"Content-Length: {len(JOB)}")
    head[2] = f"Content-Type: application/json; charset={charset}"

    assert send(head, JOB)[0] == 415


def test_the_token_is_not_taken_from_the_query(send, live):
    head = [f"GET /jobs?access_token={live.token()} HTTP/1.1", "Host: 127.0.0.1"]

    assert send(head, token=False)[0] == 401


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1@evil.example", "", "a b"])
def test_another_host_is_refused(send, host):
    status, _ = send(["GET /jobs HTTP/1.1", f"Host: {host}"])

    assert status == 400


def test_a_forwarded_host_changes_nothing(send):
    forwarded = ["X-Forwarded-Host: forwarded.example", "Forwarded: host=forwarded.example"]

    status, text = send(["GET /jobs HTTP/1.1", "Host: 127.0.0.1", *forwarded])

    assert status == 200
    assert "forwarded.example" not in text
