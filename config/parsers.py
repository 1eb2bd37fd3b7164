"""JSON as strangers send it: bounded, UTF-8, one meaning only (RFC 8259, I-JSON RFC 7493)."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.http import QueryDict
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from config.errors import DomainError

MAX_DEPTH = 32
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class BodyTooLarge(DomainError):
    code = "body_too_large"
    title = "The request body is too large"
    status = 413


class StrictJSONParser(BaseParser):
    """Refuses what other parsers guess at: other encodings, repeated names, NaN, deep nesting,
    and code points that PostgreSQL cannot store."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """The parsed body. Raises ParseError (400) or BodyTooLarge (413)."""
        return loads(read_body(stream))


class BoundedFormParser(BaseParser):
    """`application/x-www-form-urlencoded`, up to the same limit."""

    media_type = "application/x-www-form-urlencoded"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> QueryDict:
        """The fields. Raises ParseError (400) or BodyTooLarge (413)."""
        try:
            return QueryDict(read_body(stream), encoding="utf-8")
        except TooManyFieldsSent:
            raise ParseError("The form has too many fields.") from None


def read_body(stream: IO[bytes]) -> bytes:
    """The whole body, up to the limit. Raises BodyTooLarge without reading further."""
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    try:
        body = stream.read(limit + 1)
    except RequestDataTooBig:
        body = None
    if body is None or len(body) > limit:
        raise BodyTooLarge(
            f"Send at most {limit:,} bytes in one request. A guideline may have 1 character to"
            f" {settings.GUIDELINE_MAX_BYTES:,} bytes (1 MB) of text.",
            limit_bytes=limit,
        )
    return body


def loads(body: bytes) -> Any:
    """JSON bytes to Python values. Raises ParseError saying what is wrong and where."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError(f"The body is not UTF-8: bad byte at offset {error.start}.") from None
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ParseError(
            f"The body is not JSON: {error.msg} at line {error.lineno} column {error.colno}."
        ) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:  # an integer beyond sys.get_int_max_str_digits()
        raise ParseError("The body holds a number with too many digits.") from None
    _check(value)
    return value


def _check(value: Any) -> None:
    """Walks without recursion: depth, and the two things PostgreSQL cannot store as text."""
    waiting = [(value, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise _too_deep()
        if isinstance(node, str) and _UNSTORABLE.search(node):
            raise ParseError("The body holds a NUL character or half of a surrogate pair.")
        if isinstance(node, dict):
            waiting += [(child, depth + 1) for pair in node.items() for child in pair]
        elif isinstance(node, list):
            waiting += [(child, depth + 1) for child in node]


def _too_deep() -> ParseError:
    return ParseError(f"The body nests deeper than {MAX_DEPTH} levels.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated = counts.most_common(1)[0][0]
        raise ParseError(f"The name {repeated[:50]!r} stands twice in one object.")
    return names


def _no_constant(name: str) -> NoReturn:
    raise ParseError(f"{name} is not JSON.")
