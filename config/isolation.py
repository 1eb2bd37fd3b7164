"""The second wall between tenants: what PostgreSQL itself lets each part of the product see.

The first wall is in the queries (`tenants.querysets`). This one holds where somebody forgets it:
every table is closed to everybody, opened by a line in some app's `access.py`, and the rows of a
tenant are behind row-level security, FORCED, for whoever is not the database's superuser.

Web processes sign in as a role that may touch nothing. What they do they do inside `acting_as`,
which takes on one of the roles below, and a tenant, for one transaction: `SET LOCAL`, so a pooled
connection (ours, or PgBouncer's in transaction mode) carries nothing over to the next request.
Workers sign in as a role that holds `guidepost_worker` for good.

Source: PostgreSQL manual, sections 5.9 (row security policies) and 21.3 (role membership).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.core.management import CommandError
from django.db import connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.module_loading import autodiscover_modules
from psycopg import sql

from config.database import as_dicts


class DatabaseRole(StrEnum):
    API = "guidepost_api"  # a tenant's requests: the rows of that tenant
    DOOR = "guidepost_door"  # before it is known who asks: people and credentials, no content
    WORKER = "guidepost_worker"  # the chain and the pump: the jobs of all tenants, no credentials
    STAFF = "guidepost_staff"  # the Django admin: all tenants, and what its actions change


@contextmanager
def acting_as(role: DatabaseRole, tenant_id: UUID | None = None) -> Iterator[None]:
    """One transaction in which PostgreSQL shows what `role` may see, for API only of the tenant.

    Inside another transaction it is a savepoint, after which the outer role is back.
    """
    nested = connection.in_atomic_block
    with transaction.atomic(), meaning(None):
        before = _current() if nested else None
        _become(_name(role), str(tenant_id or ""))
        yield
        if before is not None and not connection.needs_rollback:
            _become(*before)


_meant: ContextVar[tuple[DatabaseRole, UUID | None] | None] = ContextVar("meant", default=None)


@contextmanager
def meaning(role: DatabaseRole | None, tenant_id: UUID | None = None) -> Iterator[None]:
    """For whom `in_role` and `rows_in_role` act inside, until they do."""
    token = _meant.set((role, tenant_id) if role else None)
    try:
        yield
    finally:
        _meant.reset(token)


@contextmanager
def in_role() -> Iterator[None]:
    """`acting_as` whoever is meant; nothing where nobody is, as in workers, or somebody acts."""
    meant = _meant.get()
    if meant is None:
        yield
        return
    with acting_as(*meant):
        yield


def _name(role: DatabaseRole) -> str:
    return role.value


def _current() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('role'),"
            " coalesce(current_setting('guidepost.tenant', true), '')"
        )
        role, tenant = cursor.fetchone()
        return role, tenant


def _become(role: str, tenant: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('role', %s, true), set_config('guidepost.tenant', %s, true)",
            [role, tenant],
        )


FORCED = """
SELECT relname FROM pg_class
WHERE oid = %s::regclass AND relforcerowsecurity
    AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)
"""


@contextmanager
def past_row_security(*tables: str, on: BaseDatabaseWrapper = connection) -> Iterator[None]:
    """The tables' owner sees all their rows, until the block ends. For migrations and operators.

    Inside a transaction only, and a short one: for whoever is no superuser the tables are locked
    until its end. Nobody but their owner may do it.
    """
    with on.cursor() as cursor:
        forced = []
        for table in tables:
            cursor.execute(FORCED, [table])
            forced += [name for (name,) in cursor.fetchall()]
        # A table with checks outstanding cannot be altered.
        if forced:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in forced:
            cursor.execute(f'ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY')
        yield
        if forced:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in forced:
            cursor.execute(f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY')


def rows_in_role(question: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """What one statement gives in the role that is meant, by column: `in_role` in one round trip,
    its commit included."""
    meant = _meant.get()
    if meant is None or connection.in_atomic_block:
        with in_role():
            return _rows(question, parameters)
    # What is sent together is one transaction.
    who = ROLE_AND_TENANT.format(role=_name(meant[0]), tenant=meant[1] or "")
    return _rows(f"{who};\n{question}", parameters, skip=1)


ROLE_AND_TENANT = (
    "SELECT set_config('role', '{role}', true), set_config('guidepost.tenant', '{tenant}', true)"
)


def _rows(statements: str, parameters: dict[str, Any], skip: int = 0) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(statements, parameters)
        for _ in range(skip):
            cursor.nextset()
        return as_dicts(cursor)


# --- Who may do what with which table ------------------------------------------------------

OF_THE_TENANT = "tenant_id = guidepost_tenant()"
FOR_EVERYBODY = ""
ALL = "SELECT, INSERT, UPDATE, DELETE"
# Row security is forced on the owner too; migrations and operators' commands need every row.
OWNER_POLICY = "owner"


@dataclass(frozen=True)
class Access:
    """What each role may do with a table, as in GRANT; an empty string is nothing.

    rows  which rows the role API sees and may write, in SQL. FOR_EVERYBODY means that the table
          belongs to no tenant and has no row security.
    """

    table: str
    rows: str = OF_THE_TENANT
    api: str = ""
    door: str = ""
    worker: str = ""
    staff: str = "SELECT"

    def grants(self) -> dict[DatabaseRole, str]:
        return {
            DatabaseRole.API: self.api,
            DatabaseRole.DOOR: self.door,
            DatabaseRole.WORKER: self.worker,
            DatabaseRole.STAFF: self.staff,
        }


_declared: dict[str, Access] = {}


def declare(*tables: Access) -> None:
    """Called by an app's `access.py`. Raises ValueError for a table that is declared already."""
    for access in tables:
        if access.table in _declared:
            raise ValueError(f"{access.table} is declared twice.")
        _declared[access.table] = access


def declared() -> dict[str, Access]:
    """Every declaration of every app, by table."""
    autodiscover_modules("access")
    return dict(_declared)


ROLES = """
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY %(roles)s LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %%I NOLOGIN NOSUPERUSER NOBYPASSRLS', wanted);
                -- Whoever made it may give it to others, but acts in it only as a member.
                EXECUTE format('GRANT %%I TO CURRENT_USER', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database of this server was migrated in the same moment
            END;
        END IF;
    END LOOP;
END $$;

-- The tenant of this transaction, or NULL: after a SET LOCAL the setting is '', not gone.
CREATE OR REPLACE FUNCTION guidepost_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('guidepost.tenant', true), '')::uuid $$;
"""


def apply_access(database: BaseDatabaseWrapper = connection) -> None:
    """Makes the database's privileges and policies those that are declared; safe to repeat.

    Run by `migrate`, as the owner of the tables, who needs CREATEROLE the first time.
    """
    with transaction.atomic(using=database.alias), database.cursor() as cursor:
        # Two runs at once would refuse each other's changes of the catalogue.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('guidepost access'))")
        roles = ", ".join(f"'{role}'" for role in DatabaseRole)
        cursor.execute(ROLES % {"roles": f"ARRAY[{roles}]"})
        cursor.execute("SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'public'")
        owners = dict(cursor.fetchall())
        for access in declared().values():
            if access.table in owners:
                cursor.execute("\n".join(_statements(access, owners[access.table])))


def _statements(access: Access, owner: str) -> Iterator[str]:
    table = f'"{access.table}"'
    everybody = ", ".join(DatabaseRole)
    yield f"DROP POLICY IF EXISTS {OWNER_POLICY} ON {table};"
    yield f"REVOKE ALL ON {table} FROM PUBLIC, {everybody};"
    for role, privileges in access.grants().items():
        if privileges:
            yield f"GRANT {privileges} ON {table} TO {role};"
        yield f"DROP POLICY IF EXISTS {role} ON {table};"
    if access.rows == FOR_EVERYBODY:
        yield f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;"
        return
    yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
    yield f'CREATE POLICY {OWNER_POLICY} ON {table} TO "{owner}" USING (true) WITH CHECK (true);'
    for role, privileges in access.grants().items():
        if privileges:
            rows = access.rows if role is DatabaseRole.API else "true"
            yield f"CREATE POLICY {role} ON {table} TO {role} USING ({rows}) WITH CHECK ({rows});"


MISSING = """
SELECT string_agg(wanted, ', ' ORDER BY wanted) FROM unnest(%s::text[]) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted)
    AND NOT EXISTS (
        SELECT FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolcreaterole)
    )
"""


def before_migrate(using: str, **kwargs: Any) -> None:
    """Django's signal pre_migrate: what could not end well does not begin.

    Raises CommandError where roles are missing and this user may not make them.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(MISSING, [[role.value for role in DatabaseRole]])
        missing = cursor.fetchone()[0]
    if missing:
        raise CommandError(
            f"PostgreSQL has no {missing}, and this user may not create roles. Nothing was changed."
            " Let a database administrator run deploy/roles.sql once, or give this user CREATEROLE;"
            " see docs/operations.md."
        )


def after_migrate(using: str, **kwargs: Any) -> None:
    """Django's signal post_migrate."""
    apply_access(connections[using])


# --- Whom processes sign in as -----------------------------------------------------------------

LOGIN = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {name}) THEN
        CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS {inherit};
    END IF;
END $$;
ALTER ROLE {role} PASSWORD {password};
GRANT {holds} TO {role};
ALTER ROLE {role} SET statement_timeout = '15s';
ALTER ROLE {role} SET lock_timeout = '2s';
ALTER ROLE {role} SET idle_in_transaction_session_timeout = '30s';
"""


def create_login(name: str, password: str, holds: list[DatabaseRole], *, inherit: bool) -> None:
    """Makes a role to sign in as, or gives it a new password.

    inherit  True: it has the rights of the roles it holds at once (workers). False: only inside
             `acting_as`, and none outside (web).
    """
    statement = sql.SQL(LOGIN).format(
        name=sql.Literal(name),
        role=sql.Identifier(name),
        password=sql.Literal(password),
        holds=sql.SQL(", ").join(map(sql.Identifier, holds)),
        inherit=sql.SQL("INHERIT" if inherit else "NOINHERIT"),
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
