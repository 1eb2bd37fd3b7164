"""PostgreSQL and Redis for requests on the event loop, and the way from there to a thread."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import (
    DataError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
)
from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.commands.core import Script
from redis.exceptions import NoScriptError

from config.isolation import ROLE_AND_TENANT, DatabaseRole
from config.postgresql.base import is_quiet
from config.redis import connected_on_loop
from config.together import Together

T = TypeVar("T")

CONNECTIONS = 8  # more than the statements that one processor keeps PostgreSQL busy with
THREADS = 4
PATIENCE = 20  # seconds; a statement may take 15
REDIS_TIMEOUT = 0.25  # seconds; the loop may be busy with others for some of it

_pool: AsyncConnectionPool
_redis: Redis
_threads: ThreadPoolExecutor


async def open() -> None:
    """Waits for no connection: a server that is away keeps nobody from starting."""
    global _pool, _redis, _threads
    _redis = connected_on_loop(REDIS_TIMEOUT)
    _threads = ThreadPoolExecutor(THREADS, thread_name_prefix="beside-the-loop")
    as_django = connection.get_connection_params()
    del as_django["cursor_factory"]  # which is for threads
    as_pool = settings.DATABASES["default"]["OPTIONS"]["pool"] | {"max_size": CONNECTIONS}
    _pool = AsyncConnectionPool(kwargs=as_django | {"autocommit": True}, open=False, **as_pool)
    await _pool.open()


async def close() -> None:
    for task in _tasks:
        task.cancel()
    await _pool.close()
    await _redis.aclose()
    _threads.shutdown()


@asynccontextmanager
async def _connected() -> AsyncIterator["AsyncConnection[Any]"]:
    pooled = await _pool.getconn()
    while not is_quiet(pooled):  # its server has left: see config/postgresql/base.py
        await pooled.close()
        await _pool.putconn(pooled)  # which makes another in its place
        pooled = await _pool.getconn()
    try:
        yield pooled
    finally:
        await _pool.putconn(pooled)


Rows = list[dict[str, Any]]


async def rows_in_role(
    role: DatabaseRole, tenant_id: UUID, question: str, parameters: dict[str, Any]
) -> Rows:
    """What one statement gives in the role, by column: `config.isolation.rows_in_role` without a
    thread. Raises what Django raises.

    The same question with other parameters may go with it, for the same tenant: in one
    transaction, and so with one commit.
    """
    return await _questions.ask((role, tenant_id, question), parameters)


async def _ask_all(
    who_and_what: tuple[DatabaseRole, UUID, str], many: list[dict[str, Any]]
) -> list[Rows]:
    role, tenant_id, question = who_and_what
    who = ROLE_AND_TENANT.format(role=role.value, tenant=tenant_id)
    try:
        # A server that is frozen does not even say that a statement took too long.
        async with asyncio.timeout(PATIENCE):
            with connection.wrap_database_errors:
                return await _sent_together(who, question, many)
    except TimeoutError as error:
        raise OperationalError("PostgreSQL does not answer.") from error


async def _sent_together(who: str, question: str, many: list[dict[str, Any]]) -> list[Rows]:
    """What is sent together is one transaction."""
    async with _connected() as pooled:
        cursor = AsyncClientCursor(pooled, row_factory=dict_row)
        asked = [cursor.mogrify(question, parameters) for parameters in many]
        await cursor.execute(";\n".join([who, *asked]).encode())
        rows = []
        while cursor.nextset():
            rows.append(await cursor.fetchall())
        return rows


# Where the connection is lost, all may have been done: to ask again could do it twice.
_questions = Together(_ask_all, alone=(DataError, IntegrityError, ProgrammingError))


async def run_script(script: Script, keys: list[str], arguments: list[int]) -> Any:
    """What the script gives. Raises RedisError."""
    return await _calls.ask(script, (keys, arguments))


async def _call_all(script: Script, calls: list[tuple[list[str], list[int]]]) -> list[Any]:
    try:
        return await _evaluate(script, calls)
    except NoScriptError:  # it was restarted, or is another one
        await _redis.script_load(script.script)
        return await _evaluate(script, calls)


async def _evaluate(script: Script, calls: list[tuple[list[str], list[int]]]) -> list[Any]:
    pipeline = _redis.pipeline(transaction=False)
    for keys, arguments in calls:
        pipeline.evalsha(script.sha, len(keys), *keys, *map(str, arguments))
    return list(await pipeline.execute())


_calls = Together(_call_all)


async def in_thread(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """What `work` returns, from a thread in which it may wait, as for the database."""
    call = partial(copy_context().run, _and_let_go, partial(work, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_threads, call)


def _and_let_go(work: Callable[[], T]) -> T:
    try:
        return work()
    finally:
        connections.close_all()  # back to the pool


@asynccontextmanager
async def subscribed(channel: str) -> AsyncIterator[PubSub]:
    """What is said on the channel, on a connection of its own, where nothing may come for long."""
    client: Redis = Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=REDIS_TIMEOUT, socket_keepalive=True
    )
    async with client, client.pubsub() as messages:
        await messages.subscribe(channel)
        yield messages


_tasks: set[asyncio.Task[None]] = set()


def go_on(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Work beside all requests, cancelled when the process ends."""
    task = asyncio.create_task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task
