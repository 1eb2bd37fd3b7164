import asyncio
import contextlib
import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest
from llmock.testing import LLMockServer

from llm import errors, limits
from llm.client import retry_after
from llm.limits import Tokens
from tests.llm.conftest import _ask


def script(offline, do, **options):
    offline.stage.script([{"do": do, **options}])


def test_a_reply_brings_its_value_the_servers_model_and_the_tokens(ask, offline):
    reply = ask("Staff must wash hands.", label="job-7.1")

    assert [s.text for s in reply.value.statements] == ["Staff must wash hands."]
    assert reply.model == "guidepost-offline-1"
    assert reply.prompt_tokens > 500
    assert reply.completion_tokens == offline.stage.ledger()[0]["completion_tokens"]
    assert reply.request_id.startswith("offline-")
    assert offline.stage.ledger()[0]["client_request_id"] == "job-7.1"


@pytest.mark.parametrize(
    ("fault", "code", "retryable"),
    [
        ({"do": "status", "status": 429}, "llm_throttled", True),
        ({"do": "status", "status": 429, "code": "insufficient_quota"}, "llm_quota", False),
        ({"do": "status", "status": 402}, "llm_quota", False),
        ({"do": "status", "status": 401}, "llm_auth", False),
        ({"do": "status", "status": 403}, "llm_auth", False),
        ({"do": "status", "status": 404}, "llm_auth", False),
        ({"do": "status", "status": 400}, "llm_bad_request", False),
        ({"do": "status", "status": 422}, "llm_bad_request", False),
        ({"do": "status", "status": 400, "code": "content_filter"}, "llm_filtered", False),
        ({"do": "status", "status": 408}, "llm_timeout", True),
        ({"do": "status", "status": 409}, "llm_unavailable", True),
        ({"do": "status", "status": 500}, "llm_unavailable", True),
        ({"do": "status", "status": 503}, "llm_unavailable", True),
        ({"do": "status", "status": 529}, "llm_unavailable", True),
        ({"do": "redirect"}, "llm_unavailable", True),
        ({"do": "html"}, "llm_invalid_output", True),
        ({"do": "bad_json"}, "llm_invalid_output", True),
        ({"do": "schema_break"}, "llm_invalid_output", True),
        ({"do": "empty_choices"}, "llm_invalid_output", True),
        ({"do": "huge"}, "llm_invalid_output", True),
        ({"do": "refuse"}, "llm_refused", False),
        ({"do": "truncate"}, "llm_truncated", False),
        ({"do": "filter"}, "llm_filtered", False),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_every_fault_has_its_code_and_costs_one_call(ask, offline, fault, code, retryable):
    offline.stage.script([fault])

    with pytest.raises(errors.LLMError) as caught:
        ask()

    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert isinstance(caught.value, errors.TransientLLMError) == (
        retryable and code != "llm_invalid_output"
    )
    assert len(offline.stage.ledger()) == 1


@pytest.mark.parametrize(
    ("fault", "used"),
    [
        ({"do": "status", "status": 429}, "nothing"),
        ({"do": "status", "status": 500}, "nothing"),
        ({"do": "status", "status": 504}, "nobody knows"),  # somebody behind it may have answered
        ({"do": "refuse"}, "what the provider counted"),
        ({"do": "truncate"}, "what the provider counted"),
        ({"do": "filter"}, "what the provider counted"),
        ({"do": "schema_break"}, "what the provider counted"),
        ({"do": "empty_choices"}, "what the provider counted"),
        ({"do": "html"}, "nobody knows"),
        ({"do": "hang"}, "nobody knows"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_an_error_says_what_the_call_has_cost(ask, offline, fault, used):
    offline.stage.script([fault])

    with pytest.raises(errors.LLMError) as caught:
        ask(timeout=1.0)

    told = caught.value.used
    assert used == (
        "nobody knows" if told is None else "what the provider counted" if told.total else "nothing"
    )


def test_a_call_that_never_left_has_cost_nothing(ask):
    with pytest.raises(errors.TimedOut) as late:
        ask(deadline=-1.0)
    with pytest.raises(errors.Unavailable) as refused:
        asyncio.run(_ask("http://127.0.0.1:1/v1", "Staff must wash hands."))

    assert (late.value.used, refused.value.used) == (Tokens(0, 0), Tokens(0, 0))


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"Content-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}and more",
    ],
    ids=lambda said: repr(said[:40]),
)
def test_a_call_that_was_sent_and_not_answered_by_http_may_have_cost_something(said):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def read_and_go():
            caller, _ = server.accept()
            caller.recv(65_536)
            caller.sendall(said)
            caller.close()

        threading.Thread(target=read_and_go, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        with pytest.raises(errors.LLMError) as caught:
            asyncio.run(_ask(url, "Text.", api_key="sk-a-key-of-the-tests-1234567890"))

    assert isinstance(caught.value, errors.Unavailable | errors.InvalidOutput)
    assert caught.value.used is None
    assert "sk-a-key" not in f"{caught.value} {caught.value.detail}"


def test_a_provider_that_nobody_can_connect_to_in_time_has_cost_nothing(monkeypatch):
    monkeypatch.setattr("llm.client._CONNECT_SECONDS", 0.2)
    with socket.socket() as full:  # its line of waiting callers is
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with contextlib.ExitStack() as waiting:
            for _ in range(4):
                caller = waiting.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex(address)

            with pytest.raises(errors.TimedOut) as caught:
                asyncio.run(_ask(f"http://127.0.0.1:{address[1]}/v1", "Text."))

    assert caught.value.used == Tokens(0, 0)


def test_every_call_asks_for_no_longer_a_reply_than_its_bound(ask, monkeypatch):
    asked = []
    send = httpx2.AsyncClient.send

    async def look(self, request, **options):
        asked.append(json.loads(request.content))
        return await send(self, request, **options)

    monkeypatch.setattr(httpx2.AsyncClient, "send", look)

    ask("Staff must wash hands.")
    ask("Staff must wash hands. " * 1_000)

    said = [len(body["messages"][1]["content"].encode()) for body in asked]
    assert [body["max_completion_tokens"] for body in asked] == [
        limits.BASE_OUTPUT + limits.OUTPUT_PER_BYTE * said[0],
        limits.MAX_OUTPUT,
    ]


def test_a_huge_body_is_not_read_to_its_end(ask, offline):
    script(offline, "huge")

    with pytest.raises(errors.InvalidOutput, match="longer than 1000 bytes"):
        ask(max_reply_bytes=1_000)


def test_the_wait_a_provider_asks_for_is_passed_on_in_seconds(ask, offline):
    script(offline, "status", status=429, retry_after="7")

    with pytest.raises(errors.Throttled) as caught:
        ask()

    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_the_forms_of_retry_after(headers, expected):
    assert retry_after(httpx2.Headers(headers)) == expected


def test_retry_after_may_be_a_date():
    moment = datetime.now(UTC) + timedelta(seconds=60)

    wait = retry_after(httpx2.Headers({"retry-after": format_datetime(moment, usegmt=True)}))

    assert 55 < wait <= 60


@pytest.mark.parametrize("fault", [{"do": "hang"}, {"do": "drip"}, {"do": "delay", "seconds": 9}])
def test_the_timeout_is_for_the_whole_call(ask, offline, fault):
    offline.stage.script([fault])
    started = time.monotonic()

    with pytest.raises(errors.TimedOut):
        ask(timeout=0.5)

    assert time.monotonic() - started < 1.5


def test_a_call_does_not_outlive_the_deadline_of_its_job(ask, offline):
    script(offline, "hang")
    started = time.monotonic()

    with pytest.raises(errors.TimedOut):
        ask(timeout=30, deadline=0.4)

    assert time.monotonic() - started < 1.5


def test_no_call_starts_after_the_deadline(ask, offline):
    with pytest.raises(errors.TimedOut):
        ask(deadline=-1)

    assert offline.stage.ledger() == []


def test_a_redirect_is_not_followed_and_the_text_goes_nowhere(ask, offline):
    script(offline, "redirect")

    with pytest.raises(errors.Unavailable):
        ask()

    assert [call["outcome"] for call in offline.stage.ledger()] == ["redirect"]


def test_a_provider_that_is_not_there_is_unavailable():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"

        with pytest.raises(errors.Unavailable):
            asyncio.run(_ask(url, "Text."))


class _Odd(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    body, headers_out, promised = b"", {}, None

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(self.promised or len(self.body)))
        for name, value in self.headers_out.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.body)
        self.close_connection = True

    def log_message(self, *args):
        pass


def ask_odd(body, *, headers=None, promised=None):
    handler = type("H", (_Odd,), {"body": body, "headers_out": headers or {}, "promised": promised})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        asyncio.run(_ask(f"http://127.0.0.1:{server.server_port}/v1", "Text."))
    finally:
        server.shutdown()
        server.server_close()


def completion(content, **choice):
    message = {"role": "assistant", "content": content}
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop", **choice}]})


VALID = '{"title": "T", "scope": "", "audience": "", "statements": []}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[1]",
        b"\xff\xfe",
        b'{"choices": null}',
        b'{"choices": [{}]}',
        b'{"error": {"message": "200 but no"}}',
        b"[" * 100_000,
        completion("[" * 100_000).encode(),
        completion(None).encode(),
        completion(VALID, finish_reason="tool_calls").encode(),
        completion(VALID.replace('"T"', '"\\u0000"')).encode(),
        completion(VALID.replace('"T"', '"\\ud800"')).encode(),
        completion(VALID.replace('"T"', '"T", "extra": 1')).encode(),
        completion(VALID.replace('"T"', json.dumps("x" * 5_000))).encode(),
    ],
    ids=str,
)
def test_a_200_that_is_no_valid_answer_is_invalid_output(body):
    with pytest.raises(errors.InvalidOutput):
        ask_odd(body)


def test_a_packed_body_is_refused_before_it_can_grow():
    with pytest.raises(errors.InvalidOutput, match="content-encoding"):
        ask_odd(b"\x1f\x8b", headers={"Content-Encoding": "gzip"})


def test_a_connection_cut_in_the_middle_of_the_body_is_unavailable():
    with pytest.raises(errors.Unavailable):
        ask_odd(b'{"choices"', promised=5_000)


def test_the_detail_is_kept_short_and_each_code_has_a_sentence_for_the_tenant(ask, offline):
    script(offline, "status", status=500, message="x" * 50_000)

    with pytest.raises(errors.LLMError) as caught:
        ask()

    assert len(caught.value.detail) == errors.MAX_DETAIL
    assert "xxx" not in caught.value.safe_detail


def test_an_independent_mock_server_sees_one_attempt_and_our_client_its_errors():
    with LLMockServer() as server:
        server.state.scenarios.add(_fail(429, retry_after=3.0))
        server.state.scenarios.add(_reply(VALID))
        url = server.base_url("openai")

        with pytest.raises(errors.Throttled) as caught:
            asyncio.run(_ask(url, "Text."))
        reply = asyncio.run(_ask(url, "Text."))

    assert caught.value.retry_after == 3.0
    assert reply.value.title == "T"
    assert reply.prompt_tokens > 0


def _fail(status, **options):
    from llmock.scenarios import Fail

    return Fail(status, **options)


def _reply(text):
    from llmock.scenarios import Reply

    return Reply(text=text)


@pytest.mark.parametrize("text", ["it is {key}", "{key}{key}", "{key}", "x" * 1960 + "{key}"])
def test_a_key_stands_in_no_error_whatever_the_provider_repeats(offline, ask, text):
    key = "sk-a-key-of-the-tests-1234567890"
    offline.stage.script([{"do": "status", "status": 400, "message": text.format(key=key)}])

    with pytest.raises(errors.BadRequest) as caught:
        ask(api_key=key)

    assert "[the key]" in caught.value.detail
    assert "sk-a-key" not in f"{caught.value} {caught.value.detail}"
    assert caught.value.__cause__ is None
