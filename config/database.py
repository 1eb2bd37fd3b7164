"""SQL that Django has no words for."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import CharField, DateField, DateTimeField, Func
from psycopg.errors import QueryCanceled


class TooSlow(Exception):
    """The database took longer than it may."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """A savepoint in which each statement may take so long. Raises TooSlow for one that does not
    end; what was done inside is undone."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            patience = f"{seconds * 1000:.0f}ms"
            cursor.execute(
                "SELECT current_setting('statement_timeout'),"
                " set_config('statement_timeout', %s, true)",
                [patience],
            )
            before = cursor.fetchone()[0]
            yield
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise TooSlow from error
        raise


def as_dicts(cursor: CursorWrapper) -> list[dict[str, Any]]:
    """The rows that a cursor has, each by the names of its columns."""
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def zulu(at: datetime) -> str:
    """A time as our answers say it: RFC 3339, UTC, as precise as the database has it."""
    return at.isoformat().replace("+00:00", "Z")


class ClockTimestamp(Func):
    """The time now, not when the transaction began."""

    function = "clock_timestamp"
    output_field = DateTimeField()


class KeyIdOf(Func):
    """The id of the key that a value is sealed with (see `config.crypto.KeyRing`)."""

    template = (
        "encode(substring(%(expressions)s FROM 3 FOR get_byte(%(expressions)s, 1)), 'escape')"
    )
    output_field = CharField(max_length=32)


class Today(Func):
    """The day in UTC, by the database's clock: budgets begin and end with it."""

    function = "guidepost_today"
    output_field = DateField()
