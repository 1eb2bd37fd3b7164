"""Idempotency-Key: a POST that is repeated with its key gets the first one's answer.

The key's record is written first, in the request's own transaction, so the answer is kept exactly
when what it tells of was done. A second request with the key waits for the first to end: if that
failed, it runs as the first; if not, it gets the kept answer.

Source: draft-ietf-httpapi-idempotency-key-header; the header's value is taken as it is.
"""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection
from psycopg.errors import LockNotAvailable
from rest_framework.request import Request
from rest_framework.response import Response

from config.errors import DomainError
from config.parsers import UploadedFile
from tenants import vault
from tenants.authentication import principal

Handler = Callable[..., Response]

HEADER = "Idempotency-Key"
KEPT_HEADERS = ("Location", "Retry-After", "Cache-Control")
BATCH = 1_000  # records that one sweep deletes at a time
_ACCEPTABLE = re.compile(r"[\x20-\x7e]{1,255}")

# The set_config on the way in limits the wait for another request with the key, the one on the
# way out gives the rest of the transaction its usual patience. An expired record is none.
BEGIN = """
WITH patience AS MATERIALIZED (
    SELECT current_setting('lock_timeout') AS usual, set_config('lock_timeout', '1s', true)
)
INSERT INTO tenants_idempotencyrecord AS record
    (tenant_id, route, key, request_hash, status, headers, body, expires_at)
SELECT %(tenant)s, %(route)s, %(key)s, %(hash)s, 0, '{}', '', clock_timestamp() + interval '24 h'
FROM patience
ON CONFLICT (tenant_id, route, key) DO UPDATE SET
    request_hash = excluded.request_hash, expires_at = excluded.expires_at
WHERE record.expires_at <= clock_timestamp()
RETURNING set_config('lock_timeout', (SELECT usual FROM patience), true)
"""
KEPT = """
SELECT request_hash, status, headers, body FROM tenants_idempotencyrecord
WHERE tenant_id = %(tenant)s AND route = %(route)s AND key = %(key)s
"""
KEEP = """
UPDATE tenants_idempotencyrecord
SET status = %(status)s, headers = %(headers)s, body = %(body)s, about = %(about)s
WHERE tenant_id = %(tenant)s AND route = %(route)s AND key = %(key)s
"""
DROP = """
DELETE FROM tenants_idempotencyrecord
WHERE tenant_id = %(tenant)s AND route = %(route)s AND key = %(key)s
"""
# Asked twice: a record that is taken over while we wait for it has not expired any more.
SWEEP = """
DELETE FROM tenants_idempotencyrecord
WHERE expires_at <= statement_timestamp() AND (tenant_id, route, key) IN (
    SELECT tenant_id, route, key FROM tenants_idempotencyrecord
    WHERE expires_at <= statement_timestamp() ORDER BY expires_at LIMIT %(batch)s
)
"""

FORGET = """
DELETE FROM tenants_idempotencyrecord WHERE tenant_id = %(tenant)s AND about = ANY(%(jobs)s)
"""


class InvalidIdempotencyKey(DomainError):
    code = "invalid_idempotency_key"
    title = "The Idempotency-Key is not acceptable"
    status = 400
    detail = "Send 1 to 255 printable ASCII characters, for example a new UUID for each request."


class IdempotencyKeyInUse(DomainError):
    code = "idempotency_key_in_use"
    title = "A request with this Idempotency-Key is under way"
    status = 409
    detail = "Send the same request again in a moment: it will get the first one's answer."


class IdempotencyKeyReused(DomainError):
    code = "idempotency_key_reused"
    title = "The Idempotency-Key belongs to another request"
    status = 422
    detail = "Within 24 hours a key stands for one request. Use a new key for a new request."


def once(handler: Handler) -> Handler:
    """The handler, run at most once for each key of a tenant. It runs inside a transaction that
    an exception rolls back; only an answer of 2xx is kept."""

    def run(request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers[HEADER]
        if not _ACCEPTABLE.fullmatch(key):
            raise InvalidIdempotencyKey
        tenant_id = principal(request).tenant_id
        place = {"tenant": tenant_id, "route": _route(request), "key": key}
        request_hash = _hash_of(request)
        if not _begin(place, request_hash):
            return _replay(tenant_id, place, request_hash)
        response = handler(request, *args, **kwargs)
        _keep(tenant_id, place, response)
        return response

    return run


def is_first(tenant_id: UUID, route: str, key: str) -> bool:
    """Whether nothing was done under the key yet, as far as this transaction knows: with it the key
    is taken, or is free again. For forms, whose answer is a page and is not kept.

    Raises IdempotencyKeyInUse while another transaction has the key.
    """
    return _begin({"tenant": tenant_id, "route": route, "key": key}, b"")


def sweep() -> int:
    """Deletes what has expired, some of it at a time; the number deleted."""
    deleted = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(SWEEP, {"batch": BATCH})
            deleted += cursor.rowcount
            if cursor.rowcount < BATCH:
                return deleted


def forget_jobs(tenant_id: UUID, event_ids: list[UUID]) -> None:
    """Deletes answers about jobs that are deleted: they hold what the jobs' rows held."""
    _execute(FORGET, {"tenant": tenant_id, "jobs": event_ids})


def _begin(place: dict[str, Any], request_hash: bytes) -> bool:
    """False if an earlier request has left its answer."""
    try:
        return bool(_execute(BEGIN, {**place, "hash": request_hash}))
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise IdempotencyKeyInUse(headers={"Retry-After": "1"}) from None
        raise


def _replay(tenant_id: UUID, place: dict[str, Any], request_hash: bytes) -> Response:
    [(kept_hash, status, headers, body)] = _execute(KEPT, place)
    if bytes(kept_hash) != request_hash:
        raise IdempotencyKeyReused
    answer = json.loads(vault.unseal(tenant_id, bytes(body), _context(place)))
    headers = json.loads(headers) if isinstance(headers, str) else headers
    return Response(answer, status=status, headers={**headers, "Idempotent-Replayed": "true"})


def _keep(tenant_id: UUID, place: dict[str, Any], response: Response) -> None:
    if not 200 <= response.status_code < 300:
        _execute(DROP, place)
        return
    body = json.dumps(response.data, ensure_ascii=False, default=str).encode()
    kept = {
        "status": response.status_code,
        "headers": json.dumps(
            {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
        ),
        "body": vault.seal(tenant_id, body, _context(place)),
        "about": (response.data or {}).get("event_id"),
    }
    _execute(KEEP, {**place, **kept})


def _execute(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def _route(request: Request) -> str:
    match = request.resolver_match
    return match.route if match else request.path


def _context(place: dict[str, Any]) -> str:
    return f"tenants_idempotencyrecord.body {place['route']} {place['key']}"


def _hash_of(request: Request) -> bytes:
    """Of who says what, however its JSON is written: an answer is only for whom it was given to."""
    body = json.dumps(request.data, sort_keys=True, separators=(",", ":"), default=_of_file)
    said = [principal(request).subject, request.method, request.get_full_path(), body]
    return hashlib.sha256("\x00".join(map(str, said)).encode()).digest()


def _of_file(value: Any) -> list[str]:
    """A file of a form, in the place of which JSON has none."""
    if not isinstance(value, UploadedFile):
        raise TypeError(f"{type(value).__name__} in a request's data")
    return [value.name, value.media_type, value.digest]
