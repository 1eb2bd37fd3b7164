"""JSON as strangers send it: bounded, UTF-8, one meaning only (RFC 8259, I-JSON RFC 7493). And
forms, as strictly."""

import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, NoReturn, Self

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.core.files.uploadedfile import UploadedFile as DjangoUploadedFile
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http import QueryDict
from django.http.multipartparser import MultiPartParser as DjangoMultiPartParser
from django.http.multipartparser import MultiPartParserError
from django.utils.http import parse_header_parameters
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from config.errors import DomainError

MAX_DEPTH = 32
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class BodyTooLarge(DomainError):
    code = "body_too_large"
    title = "The request body is too large"
    status = 413


class UnsupportedEncoding(DomainError):
    code = "unsupported_encoding"
    title = "The body is not plain UTF-8"
    status = 415
    detail = "Send the body in UTF-8 and uncompressed: no Content-Encoding, no other charset."


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
        """The parsed body. Raises ParseError (400), BodyTooLarge (413) or UnsupportedEncoding."""
        refuse_other_encodings(media_type, parser_context)
        return loads(read_body(stream, declared_length(parser_context)))


class BoundedFormParser(BaseParser):
    """`application/x-www-form-urlencoded`, up to the same limit."""

    media_type = "application/x-www-form-urlencoded"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> QueryDict:
        """The fields. Raises ParseError (400), BodyTooLarge (413) or UnsupportedEncoding."""
        refuse_other_encodings(media_type, parser_context)
        body = read_body(stream, declared_length(parser_context))
        try:
            return QueryDict(body, encoding="utf-8")
        except TooManyFieldsSent:
            raise ParseError("The form has too many fields.") from None


@dataclass(frozen=True)
class UploadedFile:
    """A file of a form. What it is called and said to be is its sender's word."""

    name: str
    media_type: str
    content: bytes

    @classmethod
    def of(cls, file: DjangoUploadedFile) -> Self:
        file.seek(0)  # whoever has read it before
        return cls(file.name or "", file.content_type or "", file.read())

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class InMemoryHandler(MemoryFileUploadHandler):
    """Django's would write larger files to the disk, in clear."""

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        self.activated = True


class MultipartParser(BaseParser):
    """`multipart/form-data` (RFC 7578), each name once, in memory and bounded.

    The files may have DOCUMENT_MAX_BYTES, everything else FIELD_BYTES.
    """

    media_type = "multipart/form-data"
    FIELD_BYTES = 65_536

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, str | UploadedFile]:
        """The fields, texts and files. Raises ParseError (400), BodyTooLarge (413) or
        UnsupportedEncoding."""
        refuse_other_encodings(media_type, parser_context)
        limit = settings.DOCUMENT_MAX_BYTES + self.FIELD_BYTES
        what = f"A document may have {settings.DOCUMENT_MAX_BYTES:,} bytes."
        body = read_body(stream, declared_length(parser_context), limit=limit, what=what)
        return dict(_once_each(*_form(body, media_type or "")))

    @classmethod
    def reads(cls, media_type: str | None) -> bool:
        """Whether it is a form's, in whatever case (RFC 9110, 8.3.1) and with any parameters."""
        kind, _ = parse_header_parameters(media_type or "")
        return kind == cls.media_type


def _form(body: bytes, media_type: str) -> tuple[QueryDict, Any]:
    _, parameters = parse_header_parameters(media_type)
    boundary = parameters.get("boundary", "").encode("latin-1", "replace")
    if not boundary or body.rfind(b"--" + boundary + b"--") < 0:
        raise ParseError("The form is cut off: its closing boundary is missing.")
    # Django's parser knows the type in lower case alone.
    kind = f"{MultipartParser.media_type};{media_type.partition(';')[2]}"
    meta = {"CONTENT_TYPE": kind, "CONTENT_LENGTH": str(len(body))}
    try:
        parser = DjangoMultiPartParser(meta, io.BytesIO(body), [InMemoryHandler()], "utf-8")
        return parser.parse()
    except MultiPartParserError as error:
        raise ParseError(f"The form could not be read: {error}") from None
    except (TooManyFieldsSent, TooManyFilesSent):
        raise ParseError("The form has too many fields.") from None
    except RequestDataTooBig:
        raise ParseError("A field of the form is too large. Send the document as a file.") from None


def _once_each(fields: QueryDict, files: Any) -> Iterator[tuple[str, str | UploadedFile]]:
    seen: set[str] = set()
    for name, values in [*fields.lists(), *files.lists()]:
        if len(values) > 1 or name in seen:
            raise ParseError(f"The field {name[:50]!r} stands more than once.")
        seen.add(name)
        value = values[0]
        if not isinstance(value, str):
            value = UploadedFile.of(value)
        _check([name, value])
        yield name, value


def refuse_other_encodings(media_type: str | None, context: Mapping[str, Any] | None) -> None:
    """Raises UnsupportedEncoding where the headers announce anything but plain UTF-8."""
    _, parameters = parse_header_parameters(media_type or "")
    headers = context["request"].headers if context else {}
    plain = headers.get("Content-Encoding", "identity").strip().lower() in ("", "identity")
    charset = parameters.get("charset", "utf-8").lower().replace("_", "-")
    if not plain or charset not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedEncoding


def declared_length(context: Mapping[str, Any] | None) -> int | None:
    """The header Content-Length; None where a parser is called without a request."""
    return int(context["request"].META.get("CONTENT_LENGTH") or 0) if context else None


def read_body(
    stream: IO[bytes], length: int | None = None, *, limit: int | None = None, what: str = ""
) -> bytes:
    """The whole body, up to the limit; `what` says what may be how large.

    Raises BodyTooLarge, by its announced length before a byte is read, or ParseError for a body
    that ends before its announced `length`: half a document may well be JSON.
    """
    limit = limit or settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    what = what or (
        f"A guideline may have 1 character to {settings.GUIDELINE_MAX_BYTES:,} bytes (1 MB) of"
        " text."
    )
    try:
        body = stream.read(limit + 1) if length is None or length <= limit else None
    except RequestDataTooBig:
        body = None
    if body is None or len(body) > limit:
        raise BodyTooLarge(
            f"Send at most {limit:,} bytes in one request. {what}",
            limit_bytes=limit,
        )
    if length is not None and len(body) < length:
        raise ParseError(f"The body ends after {len(body):,} of {length:,} bytes.")
    return body


def loads(body: bytes, what: str = "The body") -> Any:
    """JSON bytes to Python values. Raises ParseError saying what is wrong and where.

    what   it is that holds the JSON, for that sentence
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError(f"{what} is not UTF-8: bad byte at offset {error.start}.") from None
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ParseError(
            f"{what} is not JSON: {error.msg} at line {error.lineno} column {error.colno}."
        ) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:  # an integer beyond sys.get_int_max_str_digits()
        raise ParseError(f"{what} holds a number with too many digits.") from None
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
