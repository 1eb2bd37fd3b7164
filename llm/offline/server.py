"""The offline engine behind the part of OpenAI's HTTP interface that Guidepost uses.

Tests script its faults through /_control/: what a provider may do wrong, it does on request.
"""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from llm.offline.engine import answer

MODEL = "guidepost-offline-1"
MAX_REQUEST_BYTES = 32 * 1024 * 1024
_SCHEMAS = ("summary", "checklist", "repair")
_CHARACTERS_PER_TOKEN = 4  # what OpenAI names as the rule of thumb for English
_HANG_SECONDS = 3_600.0


@dataclass
class Call:
    """One line of the ledger. outcome is "open" until the last byte is out."""

    seq: int
    step: str
    client_request_id: str
    received_at: float
    user_sha256: str
    model: str  # that was asked for
    authorization_sha256: str  # of the header, which holds the caller's key
    prompt_tokens: int = 0
    completion_tokens: int = 0
    outcome: str = "open"


@dataclass
class Behaviour:
    """One scripted fault: what to do, for how many calls of which step and model."""

    do: str
    times: int = 1
    step: str | None = None
    model: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


class Stage:
    """What is scripted and what has happened; shared by all threads of one server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._script: list[Behaviour] = []
        self._ledger: list[Call] = []
        self._release = threading.Event()

    def script(self, behaviours: list[dict[str, Any]]) -> None:
        """Add behaviours. Raises KeyError for one that does not exist."""
        new = [_behaviour(entry) for entry in behaviours]
        with self._lock:
            self._script.extend(new)

    def open_call(self, step: str, client_request_id: str, messages: "Messages") -> Call:
        with self._lock:
            call = Call(
                len(self._ledger) + 1,
                step,
                client_request_id,
                time.time(),
                hashlib.sha256(messages.user.encode()).hexdigest(),
                messages.model,
                hashlib.sha256(messages.authorization.encode()).hexdigest(),
                _tokens(messages.system + messages.user),
            )
            self._ledger.append(call)
            return call

    def next_behaviour(self, step: str, model: str) -> Behaviour | None:
        """The first behaviour with calls left that means this call; it now has one fewer."""
        with self._lock:
            for behaviour in self._script:
                meant = behaviour.step in (None, step) and behaviour.model in (None, model)
                if behaviour.times > 0 and meant:
                    behaviour.times -= 1
                    return behaviour
        return None

    def wait_for_release(self, seconds: float) -> None:
        with self._lock:
            release = self._release
        release.wait(seconds)

    def release(self) -> None:
        with self._lock:
            held, self._release = self._release, threading.Event()
        held.set()

    def reset(self) -> None:
        with self._lock:
            self._script.clear()
            self._ledger.clear()
        self.release()

    def ledger(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(call) for call in self._ledger]


def _behaviour(entry: dict[str, Any]) -> Behaviour:
    known = ("do", "times", "step", "model")
    options = {key: value for key, value in entry.items() if key not in known}
    if entry["do"] not in _FAULTS:
        raise KeyError(entry["do"])
    times = int(entry.get("times", 1))
    return Behaviour(entry["do"], times, entry.get("step"), entry.get("model"), options)


@dataclass(frozen=True)
class Messages:
    system: str
    user: str
    schema_name: str
    model: str
    authorization: str  # the header


class BadRequest(Exception):
    """What OpenAI would answer with 400."""


def read_request(body: bytes, authorization: str = "") -> Messages:
    """The parts of a chat completion request that the engine reads. Raises BadRequest."""
    try:
        request = json.loads(body)
        messages = request["messages"]
        texts = {role: _text_of(messages, role) for role in ("system", "user")}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadRequest(f"no chat completion request: {error!r}") from None
    if not texts["user"]:
        raise BadRequest("there is no user message")
    if request.get("stream"):
        raise BadRequest("the offline engine does not stream")
    model = str(request.get("model", ""))
    schema_name = _schema_name(request)
    return Messages(texts["system"], texts["user"], schema_name, model, authorization)


def _text_of(messages: list[dict[str, Any]], role: str) -> str:
    return "\n".join(str(m.get("content") or "") for m in messages if m["role"] == role)


def _schema_name(request: dict[str, Any]) -> str:
    wanted = request.get("response_format") or {"type": "text"}
    if wanted.get("type") == "text":
        return ""
    name = str((wanted.get("json_schema") or {}).get("name", "")).lower()
    if wanted.get("type") != "json_schema" or name not in _SCHEMAS:
        raise BadRequest(f"the offline engine only knows the JSON schemas {', '.join(_SCHEMAS)}")
    return name


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = MODEL
    sys_version = ""
    server: "_Server"
    timeout = 120  # seconds a silent connection is kept

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.send_json(200, {"status": "ok", "model": MODEL})
        elif self.path == "/v1/models":
            model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "guidepost"}
            self.send_json(200, {"object": "list", "data": [model]})
        elif self.path == "/_control/ledger" and self.server.control:
            self.send_json(200, {"calls": self.server.stage.ledger()})
        else:
            self.send_error_json(404, f"nothing at {self.path}", code="not_found")

    def do_POST(self) -> None:
        body = self._read_body()
        if body is None:
            return
        if self.path.split("?")[0] == "/v1/chat/completions":
            self._complete(body)
        elif self.path.startswith("/_control/") and self.server.control:
            self._control(self.path.removeprefix("/_control/"), body)
        else:
            self.send_error_json(404, f"nothing at {self.path}", code="not_found")

    def _read_body(self) -> bytes | None:
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if not 0 <= length <= MAX_REQUEST_BYTES:
            self.close_connection = True
            self.send_error_json(413, "the request is too long or does not say how long it is")
            return None
        return self.rfile.read(length)

    def _control(self, verb: str, body: bytes) -> None:
        stage = self.server.stage
        verbs: dict[str, Callable[[], None]] = {
            "script": lambda: stage.script(json.loads(body)["behaviours"]),
            "release": stage.release,
            "reset": stage.reset,
        }
        try:
            verbs[verb]()
        except (ValueError, KeyError, TypeError) as error:
            self.send_error_json(400, f"no such instruction: {error!r}")
            return
        self.send_json(200, {"ok": True})

    def _complete(self, body: bytes) -> None:
        try:
            messages = read_request(body, self.headers.get("Authorization", ""))
        except BadRequest as error:
            self.send_error_json(400, str(error))
            return
        step = messages.schema_name or "text"
        label = self.headers.get("X-Client-Request-Id", "")
        call = self.server.stage.open_call(step, label, messages)
        behaviour = self.server.stage.next_behaviour(step, messages.model)
        try:
            if behaviour:
                call.outcome = _FAULTS[behaviour.do](self, call, messages, behaviour.options)
            else:
                call.outcome = self.send_answer(call, messages)
        except OSError:
            call.outcome = "disconnected"
            self.close_connection = True

    # Answers

    def send_answer(self, call: Call, messages: Messages) -> str:
        self.send_completion(call, {"content": answer(messages.user, messages.schema_name)})
        return "answered"

    def send_completion(
        self, call: Call, message: dict[str, Any], finish_reason: str = "stop"
    ) -> None:
        self.send_json(200, self.completion(call, message, finish_reason))

    def completion(
        self, call: Call, message: dict[str, Any], finish_reason: str = "stop"
    ) -> dict[str, Any]:
        call.completion_tokens = _tokens(message.get("content") or "")
        return {
            "id": f"chatcmpl-offline-{call.seq}",
            "object": "chat.completion",
            "created": int(call.received_at),
            "model": MODEL,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "refusal": None, **message},
                    "logprobs": None,
                    "finish_reason": finish_reason,
                }
            ],
            "usage": {
                "prompt_tokens": call.prompt_tokens,
                "completion_tokens": call.completion_tokens,
                "total_tokens": call.prompt_tokens + call.completion_tokens,
            },
        }

    def send_json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self.send_body(status, json.dumps(value, ensure_ascii=False).encode(), headers=headers)

    def send_error_json(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        kind = "invalid_request_error" if status < HTTPStatus.TOO_MANY_REQUESTS else "server_error"
        error = {"message": message, "type": kind, "param": None, "code": code}
        self.send_json(status, {"error": error}, headers)

    def send_body(
        self,
        status: int,
        body: bytes,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.send_head(status, len(body), content_type, headers)
        self.wfile.write(body)
        self.wfile.flush()

    def send_head(
        self,
        status: int,
        length: int,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(length))
        self.send_header("x-request-id", f"offline-{time.monotonic_ns()}")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: a request line is no secret, but tests print enough already."""


# What can be scripted. Each returns the outcome for the ledger.


def _status(handler: _Handler, call: Call, messages: Messages, options: dict[str, Any]) -> str:
    status = int(options.get("status", 500))
    headers = {}
    if "retry_after" in options:
        headers["Retry-After"] = str(options["retry_after"])
    message = str(options.get("message", f"scripted status {status}"))
    if options.get("gossip"):  # as some providers do: repeats what it was sent
        message += f": {messages.authorization}"
    handler.send_error_json(status, message, code=options.get("code"), headers=headers)
    return f"status {status}"


def _delay(handler: _Handler, call: Call, messages: Messages, options: dict[str, Any]) -> str:
    time.sleep(float(options.get("seconds", 1)))
    return handler.send_answer(call, messages)


def _hang(handler: _Handler, call: Call, messages: Messages, options: dict[str, Any]) -> str:
    handler.server.stage.wait_for_release(float(options.get("seconds", _HANG_SECONDS)))
    handler.close_connection = True
    return "hung"


def _hold(handler: _Handler, call: Call, messages: Messages, options: dict[str, Any]) -> str:
    call.outcome = "held"
    handler.server.stage.wait_for_release(float(options.get("seconds", _HANG_SECONDS)))
    return handler.send_answer(call, messages)


def _drip(handler: _Handler, call: Call, messages: Messages, options: dict[str, Any]) -> str:
    content = {"content": answer(messages.user, messages.schema_name)}
    body = json.dumps(handler.completion(call, content)).encode()
    handler.send_head(200, len(body))
    for at in range(len(body)):
        handler.wfile.write(body[at : at + 1])
        handler.wfile.flush()
        time.sleep(float(options.get("seconds", 0.1)))
    return "dripped"


def _html(handler: _Handler, call: Call, messages: Messages, options: dict[str, Any]) -> str:
    page = b"<!doctype html><title>Sign in</title><p>The network wants you to sign in."
    handler.send_body(200, page, "text/html")
    return "html"


def _bad_json(handler: _Handler, call: Call, messages: Messages, options: dict[str, Any]) -> str:
    content = answer(messages.user, messages.schema_name)
    handler.send_completion(call, {"content": content[: len(content) // 2]})
    return "bad_json"


def _schema_break(
    handler: _Handler, call: Call, messages: Messages, options: dict[str, Any]
) -> str:
    handler.send_completion(call, {"content": '{"items": [{"action": 7}], "title": null}'})
    return "schema_break"


def _refuse(handler: _Handler, call: Call, messages: Messages, options: dict[str, Any]) -> str:
    handler.send_completion(call, {"content": None, "refusal": "I cannot help with that."})
    return "refuse"


def _truncate(handler: _Handler, call: Call, messages: Messages, options: dict[str, Any]) -> str:
    content = answer(messages.user, messages.schema_name)
    handler.send_completion(call, {"content": content[: len(content) // 2]}, "length")
    return "truncate"


def _filter(handler: _Handler, call: Call, messages: Messages, options: dict[str, Any]) -> str:
    handler.send_completion(call, {"content": ""}, "content_filter")
    return "filter"


def _empty_choices(
    handler: _Handler, call: Call, messages: Messages, options: dict[str, Any]
) -> str:
    handler.send_json(200, {**handler.completion(call, {"content": ""}), "choices": []})
    return "empty_choices"


def _huge(handler: _Handler, call: Call, messages: Messages, options: dict[str, Any]) -> str:
    block, blocks = b" " * 65_536, int(options.get("bytes", 64 * 1024 * 1024)) // 65_536
    handler.send_head(200, len(block) * blocks)
    for _ in range(blocks):
        handler.wfile.write(block)
    return "huge"


def _redirect(handler: _Handler, call: Call, messages: Messages, options: dict[str, Any]) -> str:
    target = str(options.get("to", "/v1/chat/completions?again"))
    handler.send_body(307, b"", headers={"Location": target})
    return "redirect"


def _reply(handler: _Handler, call: Call, messages: Messages, options: dict[str, Any]) -> str:
    """Whatever a lying model may say: `content` as it stands, or as JSON if it is no text."""
    content = options.get("content", "")
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    handler.send_completion(call, {"content": text}, str(options.get("finish_reason", "stop")))
    return "reply"


_FAULTS: dict[str, Callable[[_Handler, Call, Messages, dict[str, Any]], str]] = {
    "status": _status,
    "reply": _reply,
    "delay": _delay,
    "hang": _hang,
    "hold": _hold,
    "drip": _drip,
    "html": _html,
    "bad_json": _bad_json,
    "schema_break": _schema_break,
    "refuse": _refuse,
    "truncate": _truncate,
    "filter": _filter,
    "empty_choices": _empty_choices,
    "huge": _huge,
    "redirect": _redirect,
}


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], stage: Stage, *, control: bool) -> None:
        self.stage, self.control = stage, control
        super().__init__(address, _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error of ours."""


class OfflineServer:
    """The server in this process: `with OfflineServer() as url:` gives the SDK's base_url.

    port      0 picks a free one
    control   offer /_control/, through which tests script faults
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, control: bool = True) -> None:
        self.stage = Stage()
        self._server = _Server((host, port), self.stage, control=control)
        self._thread: threading.Thread | None = None
        self.root = f"http://{host}:{self._server.server_port}"
        self.url = f"{self.root}/v1"

    def serve_forever(self) -> None:
        self._server.serve_forever(poll_interval=0.02)

    def start(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        self.stage.release()
        if self._thread:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> str:
        return self.start().url

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
