"""The roles of config/isolation.py, as PostgreSQL keeps them."""

import uuid
from contextlib import nullcontext

import psycopg
import pytest
from django.db import ProgrammingError, connection, transaction

from config.isolation import (
    DatabaseRole,
    acting_as,
    apply_access,
    create_login,
    meaning,
    rows_in_role,
)
from jobs.models import Job
from tenants.querysets import TenantRequired
from tests.callers import member_of
from tests.factories import JobFactory, TenantFactory

pytestmark = pytest.mark.django_db


def rows(query, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


def test_a_query_that_names_no_tenant_is_not_run(tenant):
    JobFactory(tenant=tenant)

    for ask in (
        lambda: list(Job.objects.all()),
        lambda: Job.objects.filter(status="PENDING").count(),
        lambda: Job.objects.exclude(pk=0).exists(),
        Job.objects.get,
        lambda: Job.objects.update(title="x"),
        lambda: Job.objects.filter(pk=1).delete(),
        lambda: Job.objects.values("id").first(),
    ):
        with pytest.raises(TenantRequired):
            ask()

    assert Job.objects.for_tenant(tenant.id).values_list("title", flat=True).get() == ""


def test_a_tenants_request_sees_its_own_rows_whatever_its_sql_says(tenant):
    mine, theirs = JobFactory(tenant=tenant), JobFactory()

    with acting_as(DatabaseRole.API, tenant.id):
        seen = rows("SELECT id FROM jobs_job")
        by_id = rows("SELECT uid FROM jobs_document WHERE id = %s", theirs.document_id)

    assert (seen, by_id) == ([(mine.id,)], [])


def test_without_a_tenant_a_request_sees_nothing(tenant):
    JobFactory(tenant=tenant)

    with acting_as(DatabaseRole.API):
        assert rows("SELECT id FROM jobs_job") == []


def test_a_row_cannot_be_given_to_another_tenant(tenant):
    job, other = JobFactory(tenant=tenant), TenantFactory()
    written = (
        (
            "INSERT INTO jobs_document (tenant_id, uid, digest) VALUES (%s, gen_random_uuid(), %s)",
            "",
        ),
        ("UPDATE jobs_tenantqueue SET running = 0, tenant_id = %s WHERE tenant_id = %s", tenant.id),
    )

    for statement, value in written:
        with pytest.raises(ProgrammingError), acting_as(DatabaseRole.API, tenant.id):
            rows(statement, other.id, value)

    with pytest.raises(ProgrammingError), acting_as(DatabaseRole.API, tenant.id):
        rows("UPDATE jobs_job SET tenant_id = %s WHERE id = %s", other.id, job.id)


@pytest.mark.parametrize("column", ["password", "staff_role", "is_superuser", "last_login"])
def test_a_tenants_request_cannot_read_what_opens_an_account(tenant, column):
    member_of(tenant)

    with acting_as(DatabaseRole.API, tenant.id):
        assert rows("SELECT count(email) FROM accounts_user") == [(1,)]
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            rows(f"SELECT {column} FROM accounts_user")


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("jobs_document", "sealed_text"),
        ("jobs_upload", "sealed_original"),
        ("jobs_job", "sealed_summary"),
        ("jobs_job", "sealed_checklist"),
        ("jobs_job", "sealed_result"),
        ("jobs_jobattempt", "sealed_error"),
        ("tenants_providerkey", "sealed_key"),
    ],
)
def test_staff_cannot_read_what_a_tenant_wrote_or_a_model_said(tenant, table, column):
    JobFactory(tenant=tenant)

    with acting_as(DatabaseRole.STAFF):
        assert rows(f"SELECT count(tenant_id) FROM {table}")
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            rows(f"SELECT {column} FROM {table}")


@pytest.mark.parametrize("table", ["jobs_job", "jobs_jobattempt", "jobs_llmcall", "jobs_document"])
def test_staff_on_their_own_change_nothing_of_a_job(tenant, table):
    JobFactory(tenant=tenant)

    with acting_as(DatabaseRole.STAFF):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            rows(f"UPDATE {table} SET tenant_id = tenant_id RETURNING 1")
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            rows(f"DELETE FROM {table} RETURNING 1")


def test_the_outer_role_is_back_after_an_inner_one(tenant):
    def current():
        return rows("SELECT current_setting('role'), current_setting('guidepost.tenant', true)")[0]

    with acting_as(DatabaseRole.API, tenant.id):
        with acting_as(DatabaseRole.DOOR):
            assert current() == ("guidepost_door", "")
        assert current() == ("guidepost_api", str(tenant.id))
        with pytest.raises(ZeroDivisionError), acting_as(DatabaseRole.STAFF):
            raise ZeroDivisionError
        assert current() == ("guidepost_api", str(tenant.id))
    assert current()[0] == "none"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("inside", [False, True])
def test_a_question_in_one_round_trip_is_asked_as_the_role_and_leaves_none_behind(tenant, inside):
    JobFactory(tenant=tenant)
    outer = acting_as(DatabaseRole.API, tenant.id) if inside else nullcontext()

    with outer:
        before = rows("SELECT current_setting('role')")
        with meaning(DatabaseRole.DOOR):
            answer = rows_in_role(
                "SELECT current_setting('role') AS role, id FROM tenants_tenant"
                " WHERE id = %(wanted)s",
                {"wanted": tenant.id},
            )
            nothing = rows_in_role("SELECT 1 WHERE %(x)s", {"x": False})
        assert rows("SELECT current_setting('role')") == before

    with pytest.raises(ProgrammingError), meaning(DatabaseRole.DOOR):  # it sees no content
        rows_in_role("SELECT id FROM jobs_job", {})
    assert answer == [{"role": "guidepost_door", "id": tenant.id}]
    assert nothing == []
    assert rows("SELECT current_setting('role')") == [("none",)]


@pytest.mark.django_db(transaction=True)
def test_what_is_declared_can_be_applied_again(tenant):
    apply_access()

    with acting_as(DatabaseRole.API, tenant.id):
        assert rows("SELECT count(*) FROM jobs_job") == [(0,)]


@pytest.mark.django_db(transaction=True)
def test_a_web_process_may_touch_nothing_outside_a_role(tenant):
    JobFactory(tenant=tenant)
    name = f"test_web_{uuid.uuid4().hex[:8]}"
    create_login(name, "secret", [DatabaseRole.API], inherit=False)
    there = connection.get_connection_params() | {"user": name, "password": "secret"}
    wanted = {k: there[k] for k in ("host", "port", "dbname", "user", "password")}

    try:
        with psycopg.connect(**wanted, autocommit=True) as web:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                web.execute("SELECT * FROM jobs_job")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                web.execute("SET ROLE guidepost_staff")
            with web.transaction():
                web.execute("SET LOCAL ROLE guidepost_api")
                web.execute("SELECT set_config('guidepost.tenant', %s, true)", [str(tenant.id)])
                assert web.execute("SELECT count(*) FROM jobs_job").fetchone() == (1,)
    finally:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"DROP ROLE {name}")
