"""The floor: raw ASGI, a signed token that is verified, one SQL statement per request."""

import json
import os
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import jwt

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]

KEY = os.environ["PEER_PUBLIC_KEY"]
TABLE = """
CREATE TABLE IF NOT EXISTS job (
    event_id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    status text NOT NULL DEFAULT 'PENDING',
    title text NOT NULL,
    guideline_text text NOT NULL,
    result jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS job_by_tenant ON job (tenant_id, event_id DESC);
"""
INSERT = """
INSERT INTO job (event_id, tenant_id, title, guideline_text) VALUES ($1, $2, $3, $4)
RETURNING status, created_at
"""
ONE = "SELECT status, title, result, created_at FROM job WHERE tenant_id = $1 AND event_id = $2"
PAGE = """
SELECT event_id, status, title, created_at FROM job
WHERE tenant_id = $1 ORDER BY event_id DESC LIMIT 20
"""
JSON = (b"content-type", b"application/json")

pool: asyncpg.Pool


async def app(scope: Message, receive: Receive, send: Send) -> None:
    global pool
    if scope["type"] == "lifespan":
        await receive()
        pool = await asyncpg.create_pool(os.environ["PEER_DATABASE_URL"], min_size=4, max_size=16)
        await pool.execute(TABLE)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    tenant = tenant_of(dict(scope["headers"]).get(b"authorization", b""))
    if tenant is None:
        await answer(send, 401, {"detail": "Who are you?"})
    elif scope["method"] == "POST":
        await submit(tenant, json.loads(await body_of(receive)), send)
    elif scope["path"] == "/jobs":
        rows = await pool.fetch(PAGE, tenant)
        await answer(send, 200, {"data": [dict(row) for row in rows]})
    else:
        row = await pool.fetchrow(ONE, tenant, uuid.UUID(urlsplit(scope["path"]).path[6:]))
        await answer(send, 200, dict(row)) if row else await answer(send, 404, {})


def tenant_of(authorization: bytes) -> uuid.UUID | None:
    try:
        claims = jwt.decode(authorization.removeprefix(b"Bearer "), KEY, algorithms=["EdDSA"])
    except jwt.InvalidTokenError:
        return None
    return uuid.UUID(claims["tenant"])


async def submit(tenant: uuid.UUID, body: Message, send: Send) -> None:
    event_id = uuid.uuid4()
    row = await pool.fetchrow(
        INSERT, event_id, tenant, body.get("title", ""), body["guideline_text"]
    )
    await answer(send, 202, {"event_id": event_id, **dict(row)})


async def body_of(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer(send: Send, status: int, value: Message) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [JSON]})
    await send({"type": "http.response.body", "body": json.dumps(value, default=str).encode()})
