"""How often a request asks PostgreSQL and Redis, as those two count it themselves."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import redis

from deploy.local.stack import Stack
from tests.bench.contenders import Contender

ASKED = 20
STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]*): ")
# What only frames others: no work of its own, mostly sent together with what it frames.
FRAME = re.compile(r"LOG:  (?:statement|execute [^:]*): *(?:BEGIN|COMMIT|ROLLBACK)", re.IGNORECASE)


@dataclass(frozen=True)
class Counted:
    """A request's share, of so many asked one after the other."""

    statements: float
    begin_and_commit: float
    redis_round_trips: float


def counted(contender: Contender, endpoint: str, stack: Stack) -> Counted:
    """Of requests whose connections, caches and tokens are warm."""
    contender.ask(endpoint)
    server = redis.Redis.from_url(stack.redis_url)
    with _logged(stack):
        time.sleep(0.2)  # wake-ups are sent by a thread
        reads, length = _reads(server), stack.log("postgresql").stat().st_size
        for _ in range(ASKED):
            contender.ask(endpoint)
        time.sleep(0.2)
        reads = _reads(server) - reads - 1  # this look itself
        with stack.log("postgresql").open(errors="replace") as log:
            log.seek(length)
            lines = log.read().splitlines()
    statements = sum(bool(STATEMENT.search(line)) for line in lines)
    frames = sum(bool(FRAME.search(line)) for line in lines)
    return Counted((statements - frames) / ASKED, frames / ASKED, reads / ASKED)


def _reads(server: "redis.Redis") -> int:
    return int(server.info("stats")["total_reads_processed"])


@contextmanager
def _logged(stack: Stack) -> Iterator[None]:
    """Every statement of every database goes to the log meanwhile."""
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET log_statement = 'all'")
        connection.execute("SELECT pg_reload_conf()")
        time.sleep(0.3)
        try:
            yield
        finally:
            connection.execute("ALTER SYSTEM RESET log_statement")
            connection.execute("SELECT pg_reload_conf()")
