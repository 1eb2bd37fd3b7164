"""Reads that may be some seconds old, made on a streaming replica where there is one.

`DATABASE_REPLICA_URL` names it. Nothing is read there but by `read`, and who calls that has chosen
to: docs/adr/0029 says which reads, and why no others. A replica that is away, or too far behind,
costs nobody an error: the primary is asked instead.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connection, connections
from psycopg.errors import QueryCanceled

from config.isolation import DatabaseRole, acting_as

logger = logging.getLogger(__name__)

NAME = "replica"  # in DATABASES
BEHIND = timedelta(seconds=5)  # it may be, and no more
LOOK_AGAIN = 1.0  # seconds that a look at it is good for,
LEFT_ALONE = 10.0  # and that nobody asks it after it has failed
# Seconds in which people who changed something read from the primary: more than BEHIND and
# LOOK_AGAIN together, so that what they read from the replica afterwards has what they changed.
OWN_CHANGES = 10.0

OK, IS_BEHIND, IS_AWAY = "ok", "behind", "unavailable"
_standing, _good_until = IS_AWAY, 0.0

Answer = TypeVar("Answer")


def read(ask: Callable[[], Answer], role: DatabaseRole, tenant_id: UUID | None = None) -> Answer:
    """What `ask` gives, on the replica in the role; or on the primary, as we are.

    It writes nothing, and may be called twice.
    """
    if standing() != OK:
        return ask()
    try:
        with _instead_of_the_primary(), acting_as(role, tenant_id):
            return ask()
    except (DatabaseError, InterfaceError) as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise  # it took too long, as it would again
        _leave_alone(IS_AWAY, str(error))
    return ask()


def is_configured() -> bool:
    return NAME in connections


def standing() -> str:
    """OK, IS_BEHIND or IS_AWAY, looked at once a second at most; "" where there is no replica."""
    global _good_until
    if not is_configured():
        return ""
    if time.monotonic() >= _good_until:
        _good_until = time.monotonic() + LOOK_AGAIN  # other threads go by the last look meanwhile
        _look()
    return _standing


@contextmanager
def _instead_of_the_primary() -> Iterator[None]:
    """This thread's connection is the replica's, for the ORM and for SQL of our own alike: nothing
    inside can read elsewhere, or write at all."""
    primary = connections[DEFAULT_DB_ALIAS]
    connections[DEFAULT_DB_ALIAS] = connections[NAME]
    try:
        yield
    finally:
        connections[DEFAULT_DB_ALIAS] = primary


# By the primary's clock alone, which stamps its commits. Where nothing is committed the replica has
# no young commit, but has them all.
OF_THE_PRIMARY = "SELECT clock_timestamp(), pg_current_wal_lsn()"
OF_THE_REPLICA = """
SELECT pg_is_in_recovery(), pg_last_xact_replay_timestamp(), coalesce(
    pg_last_wal_replay_lsn() >= %s::pg_lsn OR pg_last_xact_replay_timestamp() >= %s, false
)
"""


def _look() -> None:
    global _standing
    with connection.cursor() as cursor:
        cursor.execute(OF_THE_PRIMARY)
        now, place = cursor.fetchone()
    try:
        with connections[NAME].cursor() as cursor:
            cursor.execute(OF_THE_REPLICA, [place, now - BEHIND])
            follows, last_commit, is_close = cursor.fetchone()
    except (DatabaseError, InterfaceError) as error:
        _leave_alone(IS_AWAY, str(error))
        return
    if not follows:  # it was promoted, or never was one
        _leave_alone(IS_BEHIND, "It is no standby.")
    elif not is_close:
        _leave_alone(IS_BEHIND, f"Its last commit is of {last_commit}.")
    else:
        _standing = OK


def _leave_alone(standing: str, reason: str) -> None:
    global _standing, _good_until
    _standing, _good_until = standing, time.monotonic() + LEFT_ALONE
    logger.warning("replica_left_alone", extra={"standing": standing, "reason": reason})
