"""Changing the key-encryption key: what is sealed directly under one is sealed again.

An app declares such a column in its `access.py`. The key's id stands in each value, so the
database itself is the record of how far a rotation has come: it may stop anywhere and go on later.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection, transaction
from django.utils.module_loading import autodiscover_modules
from psycopg import sql

from config import crypto
from config.failpoints import failpoint
from config.isolation import past_row_security

BATCH = 100


@dataclass(frozen=True)
class SealedColumn:
    """A column whose values are sealed by `config.crypto`: bytea, or a text in a JSON object.

    identity  the columns that name a row
    context   of a row's value, with a {} for each of them
    member    of the object in a jsonb column: there the value stands as base64, or it is not there
    """

    table: str
    column: str
    identity: tuple[str, ...]
    context: str
    member: str = ""

    def __str__(self) -> str:
        return ".".join(filter(None, (self.table, self.column, self.member)))


class StillInUse(Exception):
    """The key may not be taken away: values are sealed with it, or it is the current one."""


_declared: list[SealedColumn] = []


def declare(column: SealedColumn) -> None:
    """Called by an app's `access.py`."""
    _declared.append(column)


def declared() -> list[SealedColumn]:
    autodiscover_modules("access")
    return list(_declared)


def rewrap(batch: int = BATCH) -> Iterator[tuple[SealedColumn, int]]:
    """Seals everything anew that is not sealed with the current key; each batch is committed.

    Yields a column and how many of its values a batch has changed. Any number may run at once.
    Raises `crypto.CannotUnseal` where the ring lacks a key; what was done until then stays.
    """
    for column in declared():
        while changed := _rewrap_batch(column, batch):
            failpoint("after_rewrap")
            yield column, changed


def references(key_id: str) -> dict[str, int]:
    """How many values of each column are sealed with this key."""
    return {str(column): _count(column, crypto.header_of(key_id)) for column in declared()}


def refuse_if_in_use(key_id: str) -> None:
    """Raises StillInUse."""
    if key_id == crypto.ring().current:
        raise StillInUse(f"{key_id} is the current key: put another one first.")
    used = {place: count for place, count in references(key_id).items() if count}
    if used:
        places = ", ".join(f"{count} in {place}" for place, count in used.items())
        raise StillInUse(f"{key_id} still seals {places}. Run rotate_encryption_key first.")


WITH_ANOTHER_KEY = """
SELECT {identity}, {blob} FROM {table}
WHERE substring({blob} FROM 1 FOR {length}) <> {header} LIMIT {batch}
FOR NO KEY UPDATE SKIP LOCKED
"""
RESEAL = "UPDATE {table} SET {column} = {sealed} WHERE ({identity}) = ({values})"
COUNT = "SELECT count(*) FROM {table} WHERE substring({blob} FROM 1 FOR {length}) = {header}"
OF_MEMBER = "decode({column} ->> {member}, 'base64')"
WITH_MEMBER = "jsonb_set({column}, ARRAY[{member}], to_jsonb({text}::text))"


def _rewrap_batch(column: SealedColumn, batch: int) -> int:
    ring = crypto.ring()
    with transaction.atomic(), past_row_security(column.table), connection.cursor() as cursor:
        query = WITH_ANOTHER_KEY
        cursor.execute(
            _sql(query, column, crypto.header_of(ring.current), batch=sql.Literal(batch))
        )
        rows = cursor.fetchall()
        for *identity, blob in rows:
            context = column.context.format(*identity)
            sealed = ring.seal(ring.unseal(blob, context), context)
            values = sql.SQL(", ").join(map(sql.Literal, identity))
            cursor.execute(_sql(RESEAL, column, sealed=_stored(column, sealed), values=values))
        failpoint("before_rewrap_commit")
    return len(rows)


def _count(column: SealedColumn, header: bytes) -> int:
    with transaction.atomic(), past_row_security(column.table), connection.cursor() as cursor:
        cursor.execute(_sql(COUNT, column, header))
        return int(cursor.fetchone()[0])


def _stored(column: SealedColumn, sealed: bytes) -> sql.Composable:
    """The whole new value of the column."""
    if not column.member:
        return sql.Literal(sealed)
    text = base64.b64encode(sealed).decode()
    return sql.SQL(WITH_MEMBER).format(
        column=sql.Identifier(column.column),
        member=sql.Literal(column.member),
        text=sql.Literal(text),
    )


def _blob(column: SealedColumn) -> sql.Composable:
    """The sealed value in a row, as bytes."""
    name = sql.Identifier(column.column)
    if not column.member:
        return name
    return sql.SQL(OF_MEMBER).format(column=name, member=sql.Literal(column.member))


def _sql(
    query: str, column: SealedColumn, header: bytes = b"", **parts: sql.Composable
) -> sql.Composed:
    return sql.SQL(query).format(
        table=sql.Identifier(column.table),
        column=sql.Identifier(column.column),
        blob=_blob(column),
        identity=sql.SQL(", ").join(map(sql.Identifier, column.identity)),
        header=sql.Literal(header),
        length=sql.Literal(len(header)),
        **parts,
    )
