"""The proof of isolation holds, and fails for whatever is taken away: it names route or table."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from jobs.isolation_proof import in_sql, routes, world
from jobs.isolation_proof.doors import quiet
from jobs.isolation_proof.proof import prove
from jobs.isolation_proof.report import Report
from jobs.isolation_proof.routes import Route
from jobs.models import Job, TenantQueue
from tenants import standing
from tenants.querysets import TenantQuerySet

pytestmark = [pytest.mark.django_db, pytest.mark.proof, pytest.mark.timeout(300)]

DETAIL = "GET /jobs/<uuid:event_id>"
FILE = "GET /jobs/<uuid:event_id>/checklist.csv"


def execute(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


def let_everybody_see(table):
    execute(f"DROP POLICY guidepost_api ON {table}")
    execute(f"CREATE POLICY guidepost_api ON {table} TO guidepost_api USING (true)")


def forget_the_filter(monkeypatch):
    """Of jobs: data keys that are mixed up open nothing, and so hide the leak behind an error."""
    for_tenant = TenantQuerySet.for_tenant

    def forgetful(self, tenant_id):
        return self.across_tenants() if self.model is Job else for_tenant(self, tenant_id)

    monkeypatch.setattr(TenantQuerySet, "for_tenant", forgetful)


def forget_the_tenant_in(function):
    """Doors that are asked most ask a function of PostgreSQL's, which filters by itself."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_functiondef(%s::regproc)", [function])
        before = cursor.fetchone()[0]
        after = before.replace("job.tenant_id = tenant AND ", "")
        assert after != before
        cursor.execute(after)


def parts(report, where):
    return {leak.part for leak in report.leaks if leak.where == where}


def test_tenants_are_isolated():
    report = prove()

    assert report.leaks == []
    assert report.routes == len(routes.endpoints())
    assert report.checks > 5000


def test_without_filters_the_first_wall_is_named_route_by_route(monkeypatch):
    forget_the_filter(monkeypatch)
    forget_the_tenant_in("jobs_show")
    forget_the_tenant_in("jobs_page")

    report = prove(only="jobs")

    assert parts(report, DETAIL) == {"first wall alone"}
    assert parts(report, "GET /jobs") == {"first wall alone"}
    assert parts(report, FILE) == {"first wall alone"}
    assert parts(report, "POST /jobs/<uuid:event_id>/cancel") == {"first wall alone"}
    assert parts(report, "POST /jobs/<uuid:event_id>/retry") == {"first wall alone"}
    assert parts(report, "POST /jobs/<uuid:event_id>/shares") == {"first wall alone"}
    assert parts(report, "POST /jobs") == {"first wall alone"}  # by `supersedes`


def test_one_forgotten_filter_names_its_own_route_only():
    forget_the_tenant_in("jobs_page")

    report = prove(only="jobs")

    assert {leak.where for leak in report.leaks} == {"GET /jobs", "HEAD /jobs", "/jobs"} & {
        leak.where for leak in report.leaks
    }
    assert parts(report, "GET /jobs") == {"first wall alone"}
    assert {leak.who for leak in report.leaks} >= {"owner", "viewer", "key with jobs:read"}


def test_without_one_policy_the_second_wall_is_named_by_route_and_by_table():
    let_everybody_see("jobs_job")

    report = prove(only="jobs")

    assert parts(report, FILE) == {"second wall alone"}
    assert parts(report, "table jobs_job") == {"SQL"}
    assert parts(report, "jobs_job") == {"catalogue"}


def test_without_both_walls_the_product_itself_leaks():
    forget_the_tenant_in("jobs_show")
    let_everybody_see("jobs_job")

    report = prove(only="jobs/")

    assert "both walls" in parts(report, DETAIL)


ENDED = {
    # who is let in -> what is not asked any more, in which of the two questions
    "revoked key": ("OF_KEY", "AND key.revoked_at IS NULL"),
    "suspended tenant": ("OF_KEY", "AND tenant.is_active"),
    "ended session": ("OF_PERSON", "session.reason"),
}


@pytest.mark.parametrize("who", ENDED)
def test_whoever_is_let_in_after_the_end_is_named(who, monkeypatch):
    question, condition = ENDED[who]
    asked = getattr(standing, question)
    without = "'' AS reason" if condition == "session.reason" else ""
    assert condition in asked
    monkeypatch.setattr(standing, question, asked.replace(condition, without))

    report = prove(only="limits")

    assert {(leak.where, leak.who) for leak in report.leaks} >= {("GET /limits", who)}
    assert {leak.who for leak in report.leaks} == {who}


def test_the_command_fails_and_says_what_leaks():
    let_everybody_see("jobs_document")
    said = StringIO()

    with pytest.raises(CommandError) as failure:
        call_command("prove_isolation", only="healthz", stdout=said)

    assert failure.value.returncode == 1
    assert "table jobs_document: SELECT shows" in said.getvalue()
    assert said.getvalue().splitlines()[-1].startswith("isolation: routes=1 checks=")
    assert not said.getvalue().endswith("leaks=0\n")


# --- What nobody has thought of -------------------------------------------------------------------


def test_a_new_route_fails_until_it_has_a_row(settings, monkeypatch):
    settings.ROOT_URLCONF = "tests.security.urls_with_a_hole"

    unknown = prove(only="anybodys")
    monkeypatch.setitem(routes.ROUTES, "anybodys/<uuid:event_id>", Route(path={"event_id": "job"}))
    known = prove(only="anybodys")

    assert [(leak.where, leak.what) for leak in unknown.leaks] == [
        ("/anybodys/<uuid:event_id>", "a route without a row in ROUTES")
    ]
    assert parts(known, "GET /anybodys/<uuid:event_id>") == {"first wall alone"}


def test_a_row_without_a_route_fails(monkeypatch):
    monkeypatch.setitem(routes.ROUTES, "gone", Route(public="It was."))

    assert [str(leak) for leak in prove(only="healthz").leaks] == [
        "LEAK [inventory] /gone: a row of ROUTES without a route"
    ]


def test_a_model_of_tenants_without_a_maker_fails(monkeypatch):
    monkeypatch.delitem(world._makers, TenantQueue)

    assert [str(leak) for leak in prove(only="healthz").leaks] == [
        "LEAK [inventory] world.py: no maker for jobs.TenantQueue"
    ]


# --- Each check of the second half -------------------------------------------------------------

HOLES = {
    "a table without row security": (
        "ALTER TABLE jobs_llmcall DISABLE ROW LEVEL SECURITY",
        {"jobs_llmcall"},
        "SELECT shows",
    ),
    "a policy for everybody": (
        "CREATE POLICY hole ON jobs_document USING (true)",
        {"jobs_document"},
        "by another tenant's ids",
    ),
    "a policy for whoever has no tenant": (
        "CREATE POLICY hole ON jobs_document FOR SELECT USING (guidepost_tenant() IS NULL)",
        {"jobs_document"},
        "without a tenant",
    ),
    "rows that may be given away": (
        "CREATE POLICY hole ON jobs_document FOR INSERT WITH CHECK (true)",
        {"jobs_document"},
        "INSERT in another's name",
    ),
    "rows that may be deleted": (
        "GRANT DELETE ON jobs_llmcall TO guidepost_api;"
        " CREATE POLICY hole ON jobs_llmcall FOR ALL USING (true)",
        {"jobs_llmcall"},
        "DELETE reaches",
    ),
    "a reference by id alone": (
        "ALTER TABLE jobs_llmcall DROP CONSTRAINT jobs_llmcall_job_is_of_the_same_tenant,"
        " ADD CONSTRAINT by_id_alone FOREIGN KEY (job_id) REFERENCES jobs_job (id)",
        {"jobs_llmcall"},
        "refers to another tenant's",
    ),
}


@pytest.mark.parametrize("hole", HOLES)
def test_plain_sql_finds(hole):
    statement, tables, words = HOLES[hole]
    report = Report(part="SQL")

    with world.world_for_a_while() as two, quiet():
        execute("SET CONSTRAINTS ALL IMMEDIATE")  # a table with checks outstanding is not altered
        execute(statement)
        in_sql.run(two, report)

    assert {leak.where.removeprefix("table ") for leak in report.leaks} == tables
    assert any(words in leak.what for leak in report.leaks)


def test_a_console_that_lets_anybody_in_is_found(monkeypatch):
    """Somebody forgets to ask whether they are a member: every tenant is theirs."""
    anybody = "person.id = %(user)s OR membership.role = 'owner'"
    question = standing.OF_MEMBER.replace("person.id = %(user)s", f"({anybody})")
    monkeypatch.setattr(standing, "OF_MEMBER", question)

    report = prove(only="console/<slug:slug>/keys/")

    assert "GET /console/<slug:slug>/keys/" in {leak.where for leak in report.leaks}
