"""The database is what the apps declared; each rule finds what breaks it."""

import pytest
from django.db import connection, transaction

from config.catalogue import findings, parsed

pytestmark = pytest.mark.django_db


def found():
    return {(finding.rule, finding.where) for finding in findings()}


def test_the_database_is_as_declared():
    assert findings() == []


def test_privileges_are_read_as_grant_reads_them():
    assert parsed("SELECT, INSERT (a, b), UPDATE") == {
        ("SELECT", ""),
        ("INSERT", "a"),
        ("INSERT", "b"),
        ("UPDATE", ""),
    }
    assert parsed("") == set()


NOTES = "CREATE TABLE notes (id bigint PRIMARY KEY, tenant_id uuid)"
BROKEN = {
    # what is done -> (rule, where it is found)
    NOTES: {
        ("declared", "notes"),
        ("row security", "notes"),
    },
    "DROP TABLE django_admin_log": {("declared", "django_admin_log")},
    "ALTER TABLE jobs_job DISABLE ROW LEVEL SECURITY": {("row security", "jobs_job")},
    "ALTER TABLE jobs_job NO FORCE ROW LEVEL SECURITY": {("row security", "jobs_job")},
    "ALTER TABLE jobs_circuit ADD tenant_id uuid": {
        ("row security", "jobs_circuit"),
        ("unique indexes", "jobs_circuit (name)"),
    },
    "DROP POLICY guidepost_api ON jobs_llmcall": {("policies", "jobs_llmcall")},
    "CREATE POLICY more ON jobs_llmcall USING (true)": {("policies", "jobs_llmcall")},
    "ALTER POLICY guidepost_api ON jobs_llmcall USING (true)": {("policies", "jobs_llmcall")},
    "ALTER POLICY guidepost_api ON jobs_llmcall TO PUBLIC": {("policies", "jobs_llmcall")},
    "ALTER POLICY guidepost_api ON jobs_llmcall WITH CHECK (true)": {("policies", "jobs_llmcall")},
    "GRANT DELETE ON jobs_job TO guidepost_api": {("privileges", "jobs_job")},
    "GRANT UPDATE (sealed_result) ON jobs_job TO guidepost_api": {("privileges", "jobs_job")},
    "GRANT SELECT ON django_session TO PUBLIC": {("privileges", "django_session")},
    "REVOKE SELECT ON jobs_job FROM guidepost_api": {("privileges", "jobs_job")},
    "CREATE VIEW all_jobs AS SELECT * FROM jobs_job": {("views", "all_jobs")},
    "CREATE MATERIALIZED VIEW stored AS SELECT * FROM jobs_job": {("views", "stored")},
    "CREATE UNIQUE INDEX ON jobs_job (title)": {("unique indexes", "jobs_job (title)")},
    "CREATE UNIQUE INDEX ON jobs_job (lower(title))": {
        ("unique indexes", "jobs_job (lower(title::text))")
    },
    "CREATE UNIQUE INDEX ON jobs_job (title) INCLUDE (tenant_id)": {
        ("unique indexes", "jobs_job (title)")
    },
    "ALTER TABLE jobs_job DROP CONSTRAINT jobs_job_event_id_key": {
        ("unique indexes", "jobs_job (event_id)")
    },
    "ALTER TABLE jobs_llmcall ADD CONSTRAINT loose FOREIGN KEY (job_id) REFERENCES jobs_job (id)": {
        ("foreign keys", "jobs_llmcall.loose")
    },
    "CREATE FUNCTION mighty() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'": {
        ("functions", "mighty()")
    },
    "ALTER ROLE guidepost_api BYPASSRLS": {("roles", "guidepost_api")},
    "ALTER ROLE guidepost_worker SUPERUSER": {("roles", "guidepost_worker")},
    "ALTER ROLE guidepost_door LOGIN": {("roles", "guidepost_door")},
    "CREATE ROLE odd_login SUPERUSER LOGIN; GRANT guidepost_api TO odd_login": {
        ("roles", "odd_login")
    },
    "ALTER FUNCTION guidepost_tenant() OWNER TO guidepost_staff": {("roles", "guidepost_staff")},
}


@pytest.mark.parametrize("statement", BROKEN)
def test_it_is_found(statement):
    """Exactly what was broken, and nothing else."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(statement)

        assert found() == BROKEN[statement]
        transaction.set_rollback(True)


def test_a_view_with_the_callers_eyes_is_fine():
    with connection.cursor() as cursor:
        cursor.execute("CREATE VIEW mine WITH (security_invoker = true) AS SELECT * FROM jobs_job")

    assert found() == set()
