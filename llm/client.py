"""One call to a language model: prompt and data in, a validated reply and token counts out.

The only module that imports openai. The SDK retries what it should not, has no total deadline,
follows redirects and returns whatever a 200 carries; here its retries are off, and every way in
which a call can fail becomes one of `llm.errors`.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from typing import Any, TypeVar, cast

import aiohttp
import httpx2
import openai
from pydantic import BaseModel, ValidationError

from llm import bounds, errors, leaks
from llm.completer import Reply
from llm.limits import Tokens, max_output
from llm.prompts import Prompt
from llm.schemas import response_format

T = TypeVar("T", bound=BaseModel)

_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_BY_STATUS: dict[int, type[errors.LLMError]] = {
    HTTPStatus.UNAUTHORIZED: errors.AuthRefused,
    HTTPStatus.PAYMENT_REQUIRED: errors.QuotaExhausted,
    HTTPStatus.FORBIDDEN: errors.ModelRefused,
    HTTPStatus.NOT_FOUND: errors.ModelRefused,
    HTTPStatus.REQUEST_TIMEOUT: errors.TimedOut,
    HTTPStatus.CONFLICT: errors.Unavailable,
    HTTPStatus.TOO_MANY_REQUESTS: errors.Throttled,
}
NOTHING = Tokens(0, 0)
_CONNECT_SECONDS = 5.0
_CONNECTIONS = 1_000  # at most: more than the jobs of one process ask at once
KEY = "[the key]"  # in place of one
_WORTH_HIDING = 6  # characters of a key
_MAX_WAIT = 86_400.0  # seconds; a Retry-After beyond a day is a mistake


class ReplyTooLarge(Exception):
    """The body is longer than we are willing to read, or packed so that we cannot know."""


class Client:
    """One provider, one model. Belongs to the event loop it is first used in.

    timeout           seconds for a whole call, from the first byte sent to the last received
    max_reply_bytes   a longer body ends the call
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str | None,
        model: str,
        timeout: float,
        max_reply_bytes: int,
    ) -> None:
        self.model = model
        self.timeout = timeout
        self._key = api_key
        self._http = openai.DefaultAioHttpClient(
            follow_redirects=False,
            trust_env=False,
            timeout=httpx2.Timeout(
                timeout,
                connect=min(timeout, _CONNECT_SECONDS),  # of one address
                pool=min(timeout, 2 * _CONNECT_SECONDS),  # of finding and trying all addresses
            ),
            limits=httpx2.Limits(max_connections=_CONNECTIONS),
            event_hooks={"response": [_cap(max_reply_bytes)]},
        )
        self._openai = openai.AsyncOpenAI(
            api_key=api_key, base_url=base_url, max_retries=0, http_client=self._http
        )

    async def aclose(self) -> None:
        await self._openai.close()

    async def complete(
        self,
        *,
        prompt: Prompt,
        data: dict[str, Any],
        schema: type[T],
        deadline: float,
        request_label: str = "",
    ) -> Reply[T]:
        """Ask once. Retrying is the caller's decision.

        data            becomes the user message as JSON; nothing of it reaches the system message
        deadline        time.monotonic() seconds; no call starts after it or outlives it
        request_label   sent as X-Client-Request-Id, to match our calls with the provider's log

        Raises an LLMError; the key stands in none, whatever the provider repeats of what it was
        sent.
        """
        try:
            return await self._complete(prompt, data, schema, deadline, request_label)
        except errors.LLMError as error:
            raise type(error)(
                _without(self._key, error.detail), retry_after=error.retry_after, used=error.used
            ) from None

    async def _complete(
        self,
        prompt: Prompt,
        data: dict[str, Any],
        schema: type[T],
        deadline: float,
        request_label: str,
    ) -> Reply[T]:
        started = time.monotonic()
        seconds = min(self.timeout, deadline - started)
        if seconds <= 0:
            raise errors.TimedOut("the deadline passed before the call", used=NOTHING)
        try:
            async with asyncio.timeout(seconds):
                body, request_id = await self._post(prompt, data, schema, request_label)
        except TimeoutError as error:
            raise errors.TimedOut(f"no complete answer within {seconds:.1f} s") from error
        except ReplyTooLarge as error:
            raise errors.InvalidOutput(str(error)) from error
        except openai.APIStatusError as error:
            raise _from_status(error) from error
        except openai.APIConnectionError as error:
            raise _from_connection(error) from error
        except (openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise errors.Unavailable(repr(error)) from error
        except aiohttp.ClientError as error:  # what is no HTTP; its repr has our headers
            raise errors.Unavailable(f"{type(error).__name__}: {error}") from error
        reply = _read_reply(body, schema, request_id, time.monotonic() - started)
        if leaks.repeats(prompt.text, reply.value.model_dump(), data):
            used = Tokens(reply.prompt_tokens, reply.completion_tokens)
            raise errors.PolicyLeak(f"the reply repeats {prompt.label}", used=used)
        return reply

    async def _post(
        self, prompt: Prompt, data: dict[str, Any], schema: type[T], request_label: str
    ) -> tuple[bytes, str]:
        # The SDK's `post`, and the raw response. Its `create` looks through each value of a body
        # that is as it should be; its parsing turns a page of HTML into a str, and accepts
        # truncated and empty answers.
        response = await self._openai.post(
            "/chat/completions",
            cast_to=httpx2.Response,
            content=_body(self.model, prompt, schema, bounds.user_message(data)),
            options={"headers": _headers(request_label), "security": {"bearer_auth": True}},
        )
        return response.content, response.headers.get("x-request-id", "")


def _body(model: str, prompt: Prompt, schema: type[BaseModel], said: str) -> bytes:
    """The JSON of a request. What every call has alike is most of it, and is written once."""
    most = max_output(len(said.encode("utf-8", "surrogatepass")))
    message = _json({"role": "user", "content": said})
    return b'%s%s],"max_completion_tokens":%d}' % (_head(model, prompt, schema), message, most)


@cache
def _head(model: str, prompt: Prompt, schema: type[BaseModel]) -> bytes:
    alike = _json({"model": model, "response_format": response_format(schema)})
    message = _json({"role": "system", "content": prompt.text})
    return b'%s,"messages":[%s,' % (alike.removesuffix(b"}"), message)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _headers(request_label: str) -> dict[str, str]:
    # A compressed body could grow past any cap after we have counted it.
    headers = {"Accept-Encoding": "identity"}
    if request_label:
        headers["X-Client-Request-Id"] = request_label
    return headers


# What came back with 200


def _read_reply(body: bytes, schema: type[T], request_id: str, seconds: float) -> Reply[T]:
    completion = _parse_json(body)
    usage = completion.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    used = Tokens(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))
    try:
        value = _value(completion, schema)
    except errors.LLMError as error:
        error.used = used if used.total else None  # a useless reply is charged like any other
        raise
    return Reply(
        value=value,
        model=str(completion.get("model") or ""),
        prompt_tokens=used.prompt,
        completion_tokens=used.completion,
        seconds=seconds,
        request_id=request_id,
    )


def _value(completion: dict[str, Any], schema: type[T]) -> T:
    content = _content(completion)
    try:
        return schema.model_validate_json(content)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        raise errors.InvalidOutput(f"{problems[:5]}\n{content}") from None


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        completion = json.loads(body)
    except (ValueError, RecursionError):
        completion = None
    if not isinstance(completion, dict):
        raise errors.InvalidOutput(_readable(body))
    return completion


def _content(completion: dict[str, Any]) -> str:
    """The text of the answer, once nothing says that it is none or only a part of one."""
    try:
        choice = completion["choices"][0]
        message = choice["message"]
        refusal, content = message.get("refusal"), message.get("content")
        finish = choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise errors.InvalidOutput(json.dumps(completion)[: errors.MAX_DETAIL]) from None
    if refusal:
        raise errors.Refused(str(refusal))
    if finish == "length":
        raise errors.Truncated(str(content))
    if finish == "content_filter":
        raise errors.Filtered(str(content))
    if not isinstance(content, str) or finish != "stop":
        raise errors.InvalidOutput(f"finish_reason {finish!r}: {content!r}")
    return content


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _without(key: str, text: str) -> str:
    """The text without the key, also where its end was cut off in the middle of one."""
    text = text.replace(key, KEY)
    for length in range(len(key) - 1, _WORTH_HIDING - 1, -1):
        if text.endswith(key[:length]):
            return text[:-length] + KEY
    return text


def _readable(body: bytes) -> str:
    return body[: errors.MAX_DETAIL].decode("utf-8", errors="replace")


# What came back otherwise


def _from_status(error: openai.APIStatusError) -> errors.LLMError:
    """One of our errors for a status of 300 or more."""
    kind = _kind_of(error.status_code, error.code or error.type or "")
    detail = f"{error.status_code} {_error_text(error)}"
    wait = retry_after(error.response.headers) if kind.retryable else None
    # Behind a gateway that lost patience, somebody may still have answered.
    unpaid = error.status_code != HTTPStatus.GATEWAY_TIMEOUT
    return kind(detail, retry_after=wait, used=NOTHING if unpaid else None)


def _kind_of(status: int, code: str) -> type[errors.LLMError]:
    if code in _QUOTA_CODES:
        return errors.QuotaExhausted
    if code == "content_filter":
        return errors.Filtered
    # A redirect is a gateway that is not itself today; the text must not follow it elsewhere.
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status < HTTPStatus.BAD_REQUEST:
        return errors.Unavailable
    return _BY_STATUS.get(status, errors.BadRequest)


def _error_text(error: openai.APIStatusError) -> str:
    return _readable(error.response.content) if error.response.is_closed else error.message


# The SDK's adapter says ConnectTimeout of most that can happen to a connection; aiohttp, which it
# gives as the cause, tells whether anything was sent.
_UNSENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


def _from_connection(error: openai.APIConnectionError) -> errors.LLMError:
    adapted = error.__cause__
    if isinstance(adapted, ReplyTooLarge):
        return errors.InvalidOutput(str(adapted))
    cause = (adapted and adapted.__cause__) or adapted
    used = NOTHING if isinstance(cause, _UNSENT) else None
    late = isinstance(cause, aiohttp.ServerTimeoutError)
    return (errors.TimedOut if late else errors.Unavailable)(repr(cause or error), used=used)


def retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds to wait, from `Retry-After` (seconds or an HTTP date) or `retry-after-ms`."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _within_a_day(milliseconds / 1000)
    given = headers.get("retry-after")
    seconds = _number(given)
    if seconds is not None:
        return _within_a_day(seconds)
    try:
        moment = parsedate_to_datetime(given or "")
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return _within_a_day((moment - datetime.now(UTC)).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def _within_a_day(seconds: float) -> float:
    return min(max(seconds, 0.0), _MAX_WAIT)


# The cap on the body


def _cap(limit: int) -> Callable[[httpx2.Response], Awaitable[None]]:
    """A hook that counts the bytes of each body as they arrive and stops at the limit."""

    async def cap(response: httpx2.Response) -> None:
        packed = response.headers.get("content-encoding", "identity")
        if packed != "identity":
            raise ReplyTooLarge(f"content-encoding {packed} was not asked for")
        stream = cast(httpx2.AsyncByteStream, response.stream)
        response.stream = _CappedStream(stream, limit)

    return cap


class _CappedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, limit: int) -> None:
        self._inner, self._limit = inner, limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        async for chunk in self._inner:
            received += len(chunk)
            if received > self._limit:
                raise ReplyTooLarge(f"the reply is longer than {self._limit} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
