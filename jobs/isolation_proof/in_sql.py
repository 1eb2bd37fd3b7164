"""What PostgreSQL itself lets a tenant's request do, whatever SQL it sends: the second wall alone.

For every table with rows of tenants, from the catalogue, in the role of the API with tenant A set:
only A's rows are seen, B's are neither changed nor deleted, none can be written in B's name, and
none of A's can lean on one of B's.
"""

import json
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db import Error, connection, transaction

from config.catalogue import ForeignKey, foreign_keys, unique_indexes
from config.isolation import FOR_EVERYBODY, DatabaseRole, acting_as, declared
from jobs.isolation_proof.report import Report
from jobs.isolation_proof.world import Side, World, owned_tables

REFUSED = "42501"  # insufficient_privilege: no privilege, or a policy's WITH CHECK
TAKEN = "23505"  # unique_violation
NO_SUCH_ROW = "23503"  # foreign_key_violation


@contextmanager
def _tried(role: DatabaseRole | None, tenant: Side | None) -> Iterator[list[str]]:
    """A transaction that leaves nothing. Its list has the SQLSTATE of what was refused, if any."""
    refusal: list[str] = []
    try:
        with transaction.atomic():
            if role is None:
                yield refusal
            else:
                with acting_as(role, tenant.tenant.id if tenant else None):
                    yield refusal
            transaction.set_rollback(True)
    except Error as error:
        refusal.append(getattr(error.__cause__, "sqlstate", "") or "?")


@dataclass
class TableProof:
    world: World
    report: Report
    table: str
    condition: str  # of a tenant's own rows

    def run(self) -> None:
        mine, theirs = self._rows(self.world.a), self._rows(self.world.b)
        self._check(bool(mine and theirs), "the proof has no row of this table for both tenants")
        self._select(len(mine))
        self._change("UPDATE", "{table} SET {column} = {column} WHERE {theirs}")
        self._change("DELETE", "FROM {table} WHERE {theirs}")
        self._insert(theirs)

    def _select(self, mine: int) -> None:
        """By whatever column the API may read, all or by B's ids."""
        column = self._column_with("SELECT")
        if not column:
            seen, refusal = self._value("SELECT count(*) FROM {table}", self.world.a)
            self._check(refusal == [REFUSED], f"the API may read {seen} rows without a privilege")
            return
        seen, _ = self._value(f"SELECT count({column}) FROM {{table}}", self.world.a)
        self._check(seen == mine, f"SELECT shows {seen} rows, of which {mine} are the tenant's own")
        by_id = f"SELECT count({column}) FROM {{table}} WHERE {{theirs}}"
        found, _ = self._value(by_id, self.world.a)
        self._check(not found, f"SELECT by another tenant's ids shows {found} rows")
        nobodys, _ = self._value(f"SELECT count({column}) FROM {{table}}", None)
        self._check(not nobodys, f"SELECT without a tenant shows {nobodys} rows")

    def _change(self, verb: str, rest: str) -> None:
        column = self._column_with("UPDATE") or self.key
        text = rest.format(table=self.table, column=f'"{column}"', theirs=self._theirs)
        with _tried(DatabaseRole.API, self.world.a) as refusal, connection.cursor() as cursor:
            cursor.execute(f"{verb} {text}")
            changed = cursor.rowcount
            self._check(changed == 0, f"{verb} reaches {changed} rows of another tenant")
        if refusal:
            self._check(refusal == [REFUSED], f"{verb} ends in {refusal}")

    def _insert(self, theirs: list[dict[str, Any]]) -> None:
        """A row like each of B's, in B's name. What comes first has to be the refusal: an answer
        of a constraint would say something about B's rows."""
        answers = [self._try_insert(row, DatabaseRole.API) for row in theirs]
        for code in answers:
            # A trigger of a job's life may speak before the policy does (23514): no such row.
            self._check(code in (REFUSED, "23514"), f"INSERT in another's name: {code or 'done'}")
        if theirs:
            self._check(REFUSED in answers, "no INSERT in another's name came as far as the policy")

    def leans_on(self, key: ForeignKey) -> None:
        """Even the owner cannot give A a row that refers to one of B's."""
        parents = _rows_of(self.world.b, key.parent, owned_tables()[key.parent])
        codes = set()
        for row in self._rows(self.world.a):
            if any(row[column] is None for column in key.columns):
                continue
            pairs = list(zip(key.columns, key.parent_columns, strict=True))
            codes.add(self._try_leaning(row, pairs, parents))
        where = f"{key.name}: a row that refers to another tenant's"
        self._check(codes <= {NO_SUCH_ROW, "23514"}, f"{where} ends in {codes or 'nothing'}")
        if codes:
            self._check(NO_SUCH_ROW in codes, f"{where} was never tried")

    def _try_leaning(
        self, row: dict[str, Any], pairs: list[tuple[str, str]], parents: list[dict[str, Any]]
    ) -> str:
        """On a parent that has no such row yet: a duplicate would be the first to be refused."""
        code = ""
        for parent in parents:
            leaning = row | {mine: parent[other] for mine, other in pairs if mine != "tenant_id"}
            is_its_own = any(mine == self.key for mine, _ in pairs)
            code = self._try_insert(leaning, None, instead_of=None if is_its_own else row)
            if code != TAKEN:
                break
        return code

    # --- Pieces ---------------------------------------------------------------------------------

    def _try_insert(
        self,
        row: dict[str, Any],
        role: DatabaseRole | None,
        instead_of: dict[str, Any] | None = None,
    ) -> str:
        """The SQLSTATE that refuses it, "" if nothing does.

        instead_of  the row it is a copy of, where both cannot be: its key is not one of its own
        """
        written = {name: value for name, value in row.items() if name in self._writable(role)}
        for column, is_uuid in self._fresh.items():
            if column in written:
                written[column] = str(uuid.uuid4()) if is_uuid else secrets.token_hex(16)
        names = ", ".join(f'"{name}"' for name in written)
        with _tried(role, self.world.a) as refusal, connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            if instead_of and self.key in written and self.key not in self._fresh:
                cursor.execute(
                    f'DELETE FROM {self.table} WHERE "{self.key}"::text = %s',
                    [str(instead_of[self.key])],
                )
            cursor.execute(
                f"INSERT INTO {self.table} ({names})"
                f" SELECT {names} FROM jsonb_populate_record(NULL::{self.table}, %s)",
                [json.dumps(written)],
            )
        return refusal[0] if refusal else ""

    def _writable(self, role: DatabaseRole | None) -> set[str]:
        """Without the row's own number, which the database gives. Where nothing may be inserted
        all columns are tried."""
        names = {name for name, identity, _ in self._columns if not identity}
        if role is None:
            return names
        held = {name for name, _, held in self._columns if "INSERT" in held} & names
        return held or names

    def _column_with(self, privilege: str) -> str:
        return next((name for name, _, held in self._columns if privilege in held), "")

    @cached_property
    def _columns(self) -> list[tuple[str, bool, list[str]]]:
        """Name, whether the database counts it, and what the API may do with it."""
        privileges = ["SELECT", "INSERT", "UPDATE"]
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT attname, attidentity <> '', ARRAY("
                "   SELECT kind FROM unnest(%s::text[]) AS kind"
                "   WHERE has_column_privilege(%s, attrelid, attnum, kind))"
                " FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
                " AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
                [privileges, DatabaseRole.API.value, self.table],
            )
            return cursor.fetchall()

    @cached_property
    def _fresh(self) -> dict[str, bool]:
        """Columns that are unique alone, and whether they are UUIDs: a copy needs a new value."""
        alone = [index.columns[0] for index in unique_indexes([self.table]) if _is_alone(index)]
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT attname, atttypid = 'uuid'::regtype FROM pg_attribute"
                " WHERE attrelid = %s::regclass AND attname = ANY(%s) AND attidentity = ''"
                " AND atttypid = ANY(ARRAY['uuid', 'text', 'varchar']::regtype[])",
                [self.table, alone],
            )
            return dict(cursor.fetchall())

    @cached_property
    def key(self) -> str:
        with connection.cursor() as cursor:
            return connection.introspection.get_primary_key_column(cursor, self.table) or "ctid"

    @cached_property
    def _theirs(self) -> str:
        """Names B's rows by their ids, read with the owner's eyes."""
        ids = [str(row[self.key]) for row in self._rows(self.world.b)]
        listed = ", ".join(f"'{each}'" for each in ids) or "NULL"
        return f'"{self.key}"::text IN ({listed})'

    def _rows(self, side: Side) -> list[dict[str, Any]]:
        return _rows_of(side, self.table, self.condition)

    def _value(self, query: str, side: Side | None) -> tuple[Any, list[str]]:
        value = None
        text = query.format(table=self.table, theirs=self._theirs)
        with _tried(DatabaseRole.API, side) as refusal, connection.cursor() as cursor:
            cursor.execute(text)
            value = cursor.fetchone()[0]
        return value, refusal

    def _check(self, holds: bool, what: str) -> None:
        self.report.check(holds, f"table {self.table}", "", what)


def _is_alone(index: Any) -> bool:
    return len(index.columns) == 1 and index.columns[0] != "tenant_id"


def _rows_of(side: Side, table: str, condition: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT to_jsonb(each) FROM {table} AS each WHERE {condition}",
            {"tenant": side.tenant.id},
        )
        return [json.loads(row) if isinstance(row, str) else row for (row,) in cursor.fetchall()]


def run(world: World, report: Report) -> None:
    owned = owned_tables()
    report.nothing_of(
        (
            name
            for name, access in declared().items()
            if access.rows != FOR_EVERYBODY and name not in owned
        ),
        "tables",
        "nobody says which rows are whose: see BELONGS in world.py:",
    )
    proofs = {
        table: TableProof(world, report, table, condition) for table, condition in owned.items()
    }
    for proof in proofs.values():
        proof.run()
    for reference in foreign_keys():
        proofs[reference.child].leans_on(reference)
