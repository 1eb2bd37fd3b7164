"""An audit log to tamper with, and ways to do that as a superuser."""

import time
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from tenants.audit import record
from tenants.sealing import sealer

TRUNCATES = {
    "tenants_auditentry": "audit_entries_are_kept",
    "tenants_auditseal": "audit_seals_are_kept",
}


def sql(statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else cursor.rowcount


@pytest.fixture
def walls(transactional_db):
    """All triggers in place, as in a real database. For tests that commit."""
    for table, trigger in TRUNCATES.items():
        sql(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")
    yield
    for table, trigger in TRUNCATES.items():
        sql(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")


@pytest.fixture
def tamper(walls):
    """Runs a statement past the triggers, as a superuser can, and puts them back."""

    def run(*statements):
        for table in TRUNCATES:
            sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in statements:
            sql(statement)
        for table in TRUNCATES:
            sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
            for (trigger,) in sql(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal",
                table,
            ):
                sql(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")

    return run


UNSEALED = """
SELECT count(*) FROM tenants_auditentry AS entry
WHERE NOT EXISTS (SELECT FROM tenants_auditseal WHERE entry_id = entry.id)
"""


def seal_all():
    """Other tests' transactions on the same server may hold it up for a moment."""
    deadline = time.monotonic() + 10
    while sql(UNSEALED) != [(0,)]:
        assert time.monotonic() < deadline, "not sealed"
        if not sealer.work():
            time.sleep(0.01)


def act(tenant, number=1, **fields):
    record(
        "job.submitted",
        tenant_id=tenant.id if tenant else None,
        of=("job", f"job-{number}"),
        after={"number": number},
        **fields,
    )


def verify(*arguments):
    """(exit status, lines) of audit_verify."""
    out = StringIO()
    try:
        call_command("audit_verify", *arguments, stdout=out)
    except CommandError as error:
        return error.returncode, [*out.getvalue().splitlines(), str(error)]
    return 0, out.getvalue().splitlines()


@pytest.fixture
def chain_of_five(walls, tenant):
    """Ids of five sealed entries of the tenant."""
    # Making the tenant is an entry of its own, the chain's first.
    for number in range(2, 6):
        act(tenant, number)
    seal_all()
    ids = "SELECT entry_id FROM tenants_auditseal WHERE tenant_id = %s ORDER BY seq"
    return [row[0] for row in sql(ids, tenant.id)]
