"""Is the database what the apps declared? Read from PostgreSQL's own catalogue, table by table.

`config.isolation` writes privileges and policies; this module reads them back, together with what
no declaration can say: views, unique indexes, foreign keys, functions and the roles themselves.
Each rule below is a query that must come back empty.

Source: PostgreSQL manual, chapters 53 (system catalogues) and 5.9 (row security policies).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from config.isolation import FOR_EVERYBODY, OWNER_POLICY, Access, DatabaseRole, declared

PRIVILEGES = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]


@dataclass(frozen=True, order=True)
class Finding:
    """Something in the database that is not as it must be."""

    rule: str
    where: str  # the table, index, view, function or role
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what} [{self.rule}]"


# --- Unique indexes that several tenants share -------------------------------------------------

_accepted: dict[str, str] = {}


def accept_unique(reasons: dict[str, str]) -> None:
    """Called by an app's `access.py`: "table (columns)" of an index without the tenant, and why.

    Whoever may write such a column learns whether a value is taken, by whomever.
    """
    _accepted.update(reasons)


# --- What there is ------------------------------------------------------------------------------

TABLES = """
SELECT class.relname, class.relrowsecurity, class.relforcerowsecurity, EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = class.oid AND attname = 'tenant_id' AND NOT attisdropped
)
FROM pg_class AS class
WHERE class.relkind IN ('r', 'p') AND class.relnamespace = 'public'::regnamespace
ORDER BY class.relname
"""


@dataclass(frozen=True)
class Table:
    name: str
    secured: bool
    forced: bool
    has_tenant: bool


def tables() -> list[Table]:
    return [Table(*row) for row in _rows(TABLES)]


def tenant_tables() -> list[str]:
    """Tables with a column tenant_id."""
    return [table.name for table in tables() if table.has_tenant]


def findings() -> list[Finding]:
    """Everything that is wrong, of every rule. Changes nothing; run it as the tables' owner."""
    declarations = declared()
    existing = tables()
    return sorted(
        [
            *_declared_and_existing(existing, declarations),
            *_row_security(existing, declarations),
            *_policies(existing, declarations),
            *_privileges(existing, declarations),
            *_views(declarations),
            *_unique_indexes(declarations),
            *_foreign_keys(),
            *_functions(),
            *_roles(),
        ]
    )


# --- The rules ----------------------------------------------------------------------------------


def _declared_and_existing(
    existing: list[Table], declarations: dict[str, Access]
) -> Iterator[Finding]:
    names = {table.name for table in existing}
    for name in names - declarations.keys():
        yield Finding("declared", name, "no app's access.py says who may see it")
    for name in declarations.keys() - names:
        yield Finding("declared", name, "is declared but does not exist")


def _row_security(existing: list[Table], declarations: dict[str, Access]) -> Iterator[Finding]:
    for table in existing:
        access = declarations.get(table.name)
        open_to_all = access is not None and access.rows == FOR_EVERYBODY
        if open_to_all and table.has_tenant:
            yield Finding("row security", table.name, "has a tenant_id, but is for everybody")
        if (access is not None and not open_to_all) or table.has_tenant:
            if not table.secured:
                yield Finding("row security", table.name, "row-level security is off")
            if not table.forced:
                yield Finding("row security", table.name, "row-level security is not forced")


POLICIES = """
SELECT policy.polname, policy.polcmd::text, policy.polpermissive,
    ARRAY(
        SELECT CASE WHEN role = 0 THEN 'public' ELSE pg_get_userbyid(role)::text END
        FROM unnest(policy.polroles) AS role ORDER BY 1
    ),
    coalesce(pg_get_expr(policy.polqual, policy.polrelid), 'true'),
    coalesce(pg_get_expr(policy.polwithcheck, policy.polrelid), 'true')
FROM pg_policy AS policy
WHERE policy.polrelid = %s::regclass
"""


def _policies(existing: list[Table], declarations: dict[str, Access]) -> Iterator[Finding]:
    for table in existing:
        access = declarations.get(table.name)
        if access is None:
            continue
        found = {row[0]: row[1:] for row in _rows(POLICIES, f'public."{table.name}"')}
        expected = _expected_policies(access)
        for name in expected.keys() - found.keys():
            yield Finding("policies", table.name, f"the policy {name} is missing")
        for name in found.keys() - expected.keys():
            yield Finding("policies", table.name, f"the policy {name} is not declared")
        for name in expected.keys() & found.keys():
            if found[name] != expected[name]:
                text = f"the policy {name} is {found[name]}, not {expected[name]}"
                yield Finding("policies", table.name, text)


def _expected_policies(access: Access) -> dict[str, tuple[Any, ...]]:
    if access.rows == FOR_EVERYBODY:
        return {}
    owner = _rows("SELECT tableowner FROM pg_tables WHERE tablename = %s", access.table)[0][0]
    mine = _as_postgresql_writes(access.table, access.rows)
    return {OWNER_POLICY: ("*", True, [owner], "true", "true")} | {
        role.value: ("*", True, [role.value], rows, rows)
        for role, privileges in access.grants().items()
        if privileges
        for rows in [mine if role is DatabaseRole.API else "true"]
    }


def _as_postgresql_writes(table: str, expression: str) -> str:
    """A policy's expression in the words that the catalogue gives back.

    Tried on a copy without rows: the real table would be locked.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f'CREATE TEMPORARY TABLE as_declared (LIKE public."{table}")')
        cursor.execute(f"CREATE POLICY trial ON as_declared USING ({expression})")
        cursor.execute(
            "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy"
            " WHERE polrelid = 'as_declared'::regclass"
        )
        written: str = cursor.fetchone()[0]
        cursor.execute("DROP TABLE as_declared")
    return written


GRANTED = """
SELECT coalesce(role.rolname, 'PUBLIC'), entry.privilege_type, ''
FROM pg_class AS class
CROSS JOIN LATERAL aclexplode(class.relacl) AS entry
LEFT JOIN pg_roles AS role ON role.oid = entry.grantee
WHERE class.oid = %(table)s::regclass AND entry.grantee <> class.relowner
UNION ALL
SELECT coalesce(role.rolname, 'PUBLIC'), entry.privilege_type, attribute.attname
FROM pg_attribute AS attribute
JOIN pg_class AS class ON class.oid = attribute.attrelid
CROSS JOIN LATERAL aclexplode(attribute.attacl) AS entry
LEFT JOIN pg_roles AS role ON role.oid = entry.grantee
WHERE attribute.attrelid = %(table)s::regclass AND entry.grantee <> class.relowner
"""


def _privileges(existing: list[Table], declarations: dict[str, Access]) -> Iterator[Finding]:
    for table in existing:
        access = declarations.get(table.name)
        if access is None:
            continue
        found = {tuple(row) for row in _rows(GRANTED, {"table": f'public."{table.name}"'})}
        expected = {
            (role.value, privilege, column)
            for role, privileges in access.grants().items()
            for privilege, column in parsed(privileges)
        }
        for role, privilege, column in found - expected:
            text = f"{role} has {privilege} {column}".rstrip() + ", which is not declared"
            yield Finding("privileges", table.name, text)
        for role, privilege, column in expected - found:
            text = f"{role} lacks {privilege} {column}".rstrip() + ", which is declared"
            yield Finding("privileges", table.name, text)


def parsed(privileges: str) -> set[tuple[str, str]]:
    """ "SELECT, UPDATE (a, b)" as pairs of privilege and column; "" is the whole table."""
    return {
        (name.upper(), column.strip())
        for name, columns in re.findall(r"(\w+)\s*(?:\(([^)]*)\))?(?:,|$)", privileges.strip())
        for column in columns.split(",")
    }


VIEWS = """
SELECT DISTINCT view.relname, view.relkind::text, coalesce(
    (SELECT option_value FROM pg_options_to_table(view.reloptions)
     WHERE option_name = 'security_invoker'), 'false'
)
FROM pg_class AS view
JOIN pg_rewrite AS rule ON rule.ev_class = view.oid
JOIN pg_depend AS reads ON reads.classid = 'pg_rewrite'::regclass AND reads.objid = rule.oid
    AND reads.refclassid = 'pg_class'::regclass AND reads.refobjid <> view.oid
JOIN pg_class AS base ON base.oid = reads.refobjid
WHERE view.relkind IN ('v', 'm') AND view.relnamespace = 'public'::regnamespace
    AND (base.relname = ANY(%s) OR base.relkind IN ('v', 'm'))
"""


def _views(declarations: dict[str, Access]) -> Iterator[Finding]:
    """A view reads with its owner's eyes unless told otherwise; a stored one always does."""
    tenants_own = [name for name, access in declarations.items() if access.rows != FOR_EVERYBODY]
    for name, kind, invoker in _rows(VIEWS, tenants_own):
        if kind == "m":
            yield Finding("views", name, "is a materialised view over tenants' rows")
        elif invoker not in ("true", "on", "1", "yes"):
            yield Finding("views", name, "is not security_invoker: it shows everybody's rows")


UNIQUE = """
SELECT class.relname,
    coalesce(attribute.attname, pg_get_indexdef(index.indexrelid, key.n::int, true)),
    index.indexrelid::regclass::text, index.indisprimary,
    coalesce(attribute.atttypid IN ('uuid'::regtype, 'bigint'::regtype, 'integer'::regtype), false)
FROM pg_index AS index
JOIN pg_class AS class ON class.oid = index.indrelid
CROSS JOIN LATERAL unnest(index.indkey::int2[]) WITH ORDINALITY AS key (column_number, n)
LEFT JOIN pg_attribute AS attribute
    ON attribute.attrelid = class.oid AND attribute.attnum = key.column_number
    AND key.column_number <> 0
WHERE index.indisunique AND class.relnamespace = 'public'::regnamespace
    AND class.relname = ANY(%s) AND key.n <= index.indnkeyatts
ORDER BY class.relname, index.indexrelid, key.n
"""


@dataclass(frozen=True)
class UniqueIndex:
    table: str
    columns: tuple[str, ...]
    is_surrogate: bool  # a primary key of one generated column

    def __str__(self) -> str:
        return f"{self.table} ({', '.join(self.columns)})"


def unique_indexes(names: list[str]) -> list[UniqueIndex]:
    found: dict[tuple[str, str], list[tuple[str, bool, bool]]] = {}
    for table, column, index, primary, generated in _rows(UNIQUE, names):
        found.setdefault((table, index), []).append((column, primary, generated))
    return [
        UniqueIndex(
            table,
            tuple(column for column, _, _ in columns),
            len(columns) == 1 and columns[0][1] and columns[0][2],
        )
        for (table, _), columns in found.items()
    ]


def _unique_indexes(declarations: dict[str, Access]) -> Iterator[Finding]:
    """A duplicate is refused whoever owns the first: a value that is taken can be noticed.

    A primary key of one generated column is accepted: that some row has a number or a random id
    says nothing of whose it is.
    """
    names = [name for name, access in declarations.items() if access.rows != FOR_EVERYBODY]
    indexes = unique_indexes(sorted({*names, *tenant_tables()}))
    shared = {
        str(index)
        for index in indexes
        if "tenant_id" not in index.columns and not index.is_surrogate
    }
    for index in shared - _accepted.keys():
        yield Finding("unique indexes", index, "has no tenant_id, and nobody says why")
    for index in _accepted.keys() - shared:
        yield Finding("unique indexes", index, "is accepted in an access.py, but is no such index")


FOREIGN_KEYS = """
SELECT reference.conname, child.relname, parent.relname,
    ARRAY(
        SELECT attname::text FROM unnest(reference.conkey) WITH ORDINALITY AS key (number, n)
        JOIN pg_attribute ON attrelid = child.oid AND attnum = key.number ORDER BY n
    ),
    ARRAY(
        SELECT attname::text FROM unnest(reference.confkey) WITH ORDINALITY AS key (number, n)
        JOIN pg_attribute ON attrelid = parent.oid AND attnum = key.number ORDER BY n
    )
FROM pg_constraint AS reference
JOIN pg_class AS child ON child.oid = reference.conrelid
JOIN pg_class AS parent ON parent.oid = reference.confrelid
WHERE reference.contype = 'f' AND child.relname = ANY(%(tables)s)
    AND parent.relname = ANY(%(tables)s)
ORDER BY reference.conname
"""


@dataclass(frozen=True)
class ForeignKey:
    name: str
    child: str
    parent: str
    columns: list[str]  # of the child
    parent_columns: list[str]


def foreign_keys() -> list[ForeignKey]:
    """Those between two tables that have a tenant_id."""
    return [ForeignKey(*row) for row in _rows(FOREIGN_KEYS, {"tables": tenant_tables()})]


def _foreign_keys() -> Iterator[Finding]:
    """Foreign keys are checked past row security: they must hold the tenants together."""
    for key in foreign_keys():
        pairs = list(zip(key.columns, key.parent_columns, strict=True))
        if ("tenant_id", "tenant_id") not in pairs:
            text = f"references {key.parent} without the tenant: another tenant's row will do"
            yield Finding("foreign keys", f"{key.child}.{key.name}", text)


FUNCTIONS = """
SELECT pg_proc.oid::regprocedure::text FROM pg_proc
WHERE prosecdef AND pronamespace <> 'pg_catalog'::regnamespace
    AND pronamespace <> 'information_schema'::regnamespace
"""


def _functions() -> Iterator[Finding]:
    for (name,) in _rows(FUNCTIONS):
        yield Finding("functions", name, "is SECURITY DEFINER: it runs past the roles")


# The roles that processes act in, and whoever may sign in and take them on. The owner of the
# tables and superusers may too: they are not what the walls are for.
ROLES = """
WITH runtime AS (
    SELECT * FROM pg_roles WHERE rolname = ANY(%(roles)s)
    UNION
    SELECT login.* FROM pg_roles AS login
    JOIN pg_auth_members AS held ON held.member = login.oid
    JOIN pg_roles AS role ON role.oid = held.roleid AND role.rolname = ANY(%(roles)s)
    WHERE login.rolname LIKE '%%\\_login'
)
SELECT rolname,
    array_remove(ARRAY[
        CASE WHEN rolsuper THEN 'is a superuser' END,
        CASE WHEN rolbypassrls THEN 'may bypass row security' END,
        CASE WHEN rolcreaterole THEN 'may create roles' END,
        CASE WHEN rolcreatedb THEN 'may create databases' END,
        CASE WHEN rolreplication THEN 'may replicate' END,
        CASE WHEN rolcanlogin AND rolname = ANY(%(roles)s) THEN 'may sign in' END,
        (SELECT 'owns ' || string_agg(relname, ', ') FROM pg_class WHERE relowner = runtime.oid),
        (SELECT 'owns ' || string_agg(proname, ', ') FROM pg_proc WHERE proowner = runtime.oid)
    ], NULL)
FROM runtime
"""


def _roles() -> Iterator[Finding]:
    roles = [role.value for role in DatabaseRole]
    found: dict[str, list[str]] = dict(_rows(ROLES, {"roles": roles}))
    for name in roles:
        if name not in found:
            yield Finding("roles", name, "does not exist")
    for name, wrong in found.items():
        for what in wrong:
            yield Finding("roles", name, what)


def _rows(query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    if parameters is not None and not isinstance(parameters, dict):
        parameters = [parameters]
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()
