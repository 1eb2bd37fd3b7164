"""Reads that may lag, and a real hot standby: what is asked of it, and what when it is not well."""

import json
import logging
import os
import runpy
import shutil
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.db import OperationalError, connection, connections
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config import replica
from config.isolation import DatabaseRole, acting_as, create_login
from config.postgresql.base import DatabaseWrapper
from jobs import error_groups, ledger
from jobs.models import ErrorGroup
from llm.bounds import Tokens
from tenants import standing
from tenants.audit import record
from tenants.models import AuditEntry
from tenants.services import keys
from tests.config.standby import Standby
from tests.factories import ApiKeyFactory, JobFactory
from tests.jobs.acts import claimed, failed
from tests.jobs.test_budget import reply

pytestmark = pytest.mark.django_db(transaction=True)
JOBS, AUDIT = reverse("admin:jobs"), reverse("admin:audit")
WHY = {"reason": "It was mended"}
WEB = {"name": "test_replica_web", "password": "secret"}
VANISHED = ("tcp_user_timeout", "keepalives_idle", "keepalives_interval")


@pytest.fixture(scope="module")
def standby(django_db_setup, django_db_blocker):
    if "TEST_DATABASE_TEMPLATE" not in os.environ:
        pytest.skip("The server is not the tests' own to copy.")
    with django_db_blocker.unblock():
        name = connection.settings_dict["NAME"]
        create_login(**WEB, holds=[DatabaseRole.API, DatabaseRole.STAFF], inherit=False)
    home = Path(tempfile.mkdtemp(prefix="guidepost-replica-"))  # pytest's own are for us alone
    home.chmod(0o711)
    first = urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))
    server = Standby(home, first)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(home)
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(f"DROP ROLE {WEB['name']}")


@pytest.fixture
def use(monkeypatch, transactional_db):
    """Makes the server at a port the replica, looked at each time; left alone for a minute."""

    def use(port, **login):
        there = {**connection.settings_dict, "PORT": port, **login}
        there["OPTIONS"] = {**there["OPTIONS"], "pool": {**there["OPTIONS"]["pool"], "timeout": 2}}
        monkeypatch.setitem(connections.settings, replica.NAME, there)
        # Under an alias that Django's tests do not know, and so do not close.
        connections[replica.NAME] = DatabaseWrapper(there, "copy")

    monkeypatch.setattr(replica, "BEHIND", timedelta(minutes=10))  # however busy the machine is
    monkeypatch.setattr(replica, "LOOK_AGAIN", 0)
    monkeypatch.setattr(replica, "LEFT_ALONE", 60)
    monkeypatch.setattr(replica, "_good_until", 0.0)
    yield use
    if replica.is_configured():
        connections[replica.NAME].close()
        connections[replica.NAME].close_pool()
        del connections[replica.NAME]


@pytest.fixture
def copy(use, standby):
    standby.start()
    standby.catch_up()
    use(standby.port, USER=WEB["name"], PASSWORD=WEB["password"])
    yield standby
    standby.start()
    standby.resume()


@pytest.fixture
def viewer(staff_client):
    return staff_client("viewer")


@pytest.fixture
def group(tenant):
    failed(JobFactory(tenant=tenant))
    error_groups.count()
    return ErrorGroup.objects.get()


def listed(browser):
    page = browser.get(JOBS)
    assert page.status_code == 200
    return [row["event_id"] for row in page.context["rows"]]


def is_copy():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery()")
        return cursor.fetchone()[0]


def warnings(caplog):
    return [line.standing for line in caplog.records if line.message == "replica_left_alone"]


# --- What is asked of it ------------------------------------------------------------------------


def test_the_list_of_staff_lags_and_a_tenants_own_does_not(copy, viewer, api, tenant):
    before = JobFactory(tenant=tenant).event_id
    copy.pause()
    after = api.post("/jobs", {"guideline_text": "Wash."}, format="json").json()["event_id"]

    assert listed(viewer) == [before]
    assert [job["event_id"] for job in api.get("/jobs").json()["data"]] == [after, str(before)]
    assert api.get(f"/jobs/{after}").status_code == 200
    found = viewer.get(JOBS, {"q": after})  # a search is no list
    assert found.headers["Location"] == reverse("admin:job", args=[after])

    copy.resume()
    copy.catch_up()
    assert [str(event_id) for event_id in listed(viewer)] == [after, str(before)]


@pytest.mark.parametrize("name", ["overview", "jobs", "error_groups", "error_group", "audit"])
def test_what_it_answers_of_staffs_pages_is_all_but_who_asks(copy, viewer, group, caplog, name):
    url = reverse(f"admin:{name}", args=[group.pk] if name == "error_group" else [])
    copy.catch_up()

    with (
        CaptureQueriesContext(connections["default"]) as first,
        CaptureQueriesContext(connections[replica.NAME]) as there,
    ):
        assert viewer.get(url).status_code == 200

    read = {"jobs_", "tenants_auditentry", "tenants_tenant"}
    assert any(table in asked["sql"] for asked in there for table in read)
    assert [asked for asked in first if any(table in asked["sql"] for table in read)] == []
    assert warnings(caplog) == []


def test_the_report_of_usage_lags_and_is_the_tenants_own(copy, api, tenant):
    ledgered(JobFactory(tenant=tenant))
    ledgered(JobFactory())
    copy.pause()
    ledgered(JobFactory(tenant=tenant))

    def calls():
        return [row["calls"] for row in api.get("/usage").json()["data"]]

    assert calls() == [1]
    copy.resume()
    copy.catch_up()
    assert calls() == [2]


def ledgered(job):
    claim = claimed(job)
    ledger.intend(claim, "summarize", Tokens(1000, 500))
    ledger.close(claim, "summarize", reply=reply(10, 1))


def test_an_export_of_the_log_is_read_there_and_noted_here(copy, staff_client):
    administrator = staff_client("administrator")
    record("x.done", tenant_id=None, of=("x", "before"))
    copy.pause()
    record("x.done", tenant_id=None, of=("x", "after"))

    export = f"{reverse('admin:audit_export')}?action=x.done"
    lines = administrator.post(export, WHY | {"form": "ndjson"}).text.splitlines()

    assert [json.loads(line)["object_id"] for line in lines] == ["before"]
    assert AuditEntry.objects.across_tenants().filter(action="audit.exported").count() == 1


def test_what_is_taken_away_is_gone_at_once(copy, tenant, client_for):
    new = ApiKeyFactory(tenant=tenant)
    api = client_for(tenant, subject=new.key.client_id)
    assert api.get("/usage").status_code == 200
    copy.pause()

    with acting_as(DatabaseRole.API, tenant.id):
        keys.revoke_key(tenant_id=tenant.id, client_id=new.key.client_id)
    standing._recent.clear()  # a second later

    assert api.get("/usage").status_code == 401


# --- As whom ------------------------------------------------------------------------------------


def test_row_security_and_roles_hold_there(copy, tenant):
    mine, _ = JobFactory(tenant=tenant), JobFactory()
    copy.catch_up()

    def seen():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_is_in_recovery(), current_user::text, array_agg(id),"
                " has_column_privilege('accounts_user', 'password', 'SELECT') FROM jobs_job"
            )
            return cursor.fetchone()

    as_tenant = replica.read(seen, DatabaseRole.API, tenant.id)
    as_nobody = replica.read(seen, DatabaseRole.API)

    assert as_tenant == (True, "guidepost_api", [mine.id], False)
    assert as_nobody == (True, "guidepost_api", None, False)
    with connections[replica.NAME].cursor() as cursor:  # nothing is left in the connection
        cursor.execute("SELECT current_user, current_setting('guidepost.tenant', true)")
        assert cursor.fetchone() == (WEB["name"], "")
    assert not is_copy()


# --- Whoever changed something ------------------------------------------------------------------


def test_who_changed_something_sees_it_changed(copy, staff_client, viewer, group, monkeypatch):
    operator = staff_client("operator")
    page = reverse("admin:error_group", args=[group.pk])
    copy.pause()

    operator.post(reverse("admin:error_group_resolve", args=[group.pk]), WHY)

    def state(browser):
        return browser.get(page).context["group"].state

    assert state(operator) == ErrorGroup.State.RESOLVED
    assert state(viewer) == ErrorGroup.State.OPEN
    monkeypatch.setattr(replica, "OWN_CHANGES", 0)  # later
    assert state(operator) == ErrorGroup.State.OPEN


# --- When it is not well ------------------------------------------------------------------------


def test_stopped_it_costs_nobody_a_page(copy, viewer, client, caplog, monkeypatch):
    job = JobFactory()
    copy.stop()

    assert listed(viewer) == listed(viewer) == [job.event_id]
    assert warnings(caplog) == ["unavailable"]
    assert client.get("/readyz").json() == {
        "status": "ok",
        "checks": {"postgresql": "ok", "redis": "ok", "replica": "unavailable"},
    }

    copy.start()
    monkeypatch.setattr(replica, "_good_until", 0.0)  # later
    assert replica.read(is_copy, DatabaseRole.STAFF)
    assert client.get("/readyz").json()["checks"]["replica"] == "ok"


def test_what_it_breaks_off_is_asked_again_of_the_primary(copy, caplog):
    asked = []

    def broken_off():
        asked.append(is_copy())
        with connection.cursor() as cursor:
            if asked == [True]:
                cursor.execute("SELECT pg_backend_pid()")
                copy.cut(*cursor.fetchone())
            cursor.execute("SELECT current_user::text")
            return cursor.fetchone()

    with acting_as(DatabaseRole.STAFF):
        assert replica.read(broken_off, DatabaseRole.STAFF) == ("guidepost_staff",)

    assert asked == [True, False]
    assert warnings(caplog) == ["unavailable"]


def test_too_far_behind_it_is_not_asked(copy, viewer, client, caplog, monkeypatch):
    copy.pause()
    job = JobFactory()
    monkeypatch.setattr(replica, "BEHIND", timedelta(0))

    assert listed(viewer) == [job.event_id]
    assert warnings(caplog) == ["behind"]
    assert client.get("/readyz").json()["checks"]["replica"] == "behind"


def test_where_nothing_happens_it_is_not_behind(copy, monkeypatch):
    monkeypatch.setattr(replica, "BEHIND", timedelta(days=-1))  # no commit is young
    monkeypatch.setattr(replica, "LEFT_ALONE", 0)
    deadline = time.monotonic() + 30

    while replica.standing() != "ok":  # the primary may just have written something of its own
        assert time.monotonic() < deadline


def test_a_server_that_follows_nobody_is_no_copy(use, caplog):
    use(connection.settings_dict["PORT"])
    caplog.set_level(logging.WARNING)

    assert replica.standing() == "behind"
    assert [line.reason for line in caplog.records] == ["It is no standby."]


def test_what_runs_out_of_time_there_is_not_begun_anew_here(copy):
    asked = []

    def slow():
        asked.append(is_copy())
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '10ms'; SELECT pg_sleep(5)")

    with pytest.raises(OperationalError, match="statement timeout"):
        replica.read(slow, DatabaseRole.STAFF)

    assert asked == [True]


# --- Without it ---------------------------------------------------------------------------------


def test_without_the_variable_there_is_none(staff_client, client):
    operator = staff_client("operator")

    assert operator.post(reverse("admin:audit_verify"), WHY).status_code == 200

    assert replica.standing() == ""
    assert not replica.read(is_copy, DatabaseRole.STAFF)
    assert "changed_at" not in operator.session
    assert "replica" not in client.get("/readyz").json()["checks"]


@pytest.mark.parametrize("pooler", ["false", "true"])
def test_the_variable_names_a_server_that_is_spoken_to_like_the_primary(monkeypatch, pooler):
    monkeypatch.setenv("DATABASE_POOLER", pooler)

    def databases(url):
        monkeypatch.setenv("DATABASE_REPLICA_URL", url)
        return runpy.run_path(str(settings.BASE_DIR / "config" / "settings.py"))["DATABASES"]

    [(_, first)] = databases("").items()
    both = databases("postgresql://web:secret@copy/guidepost?sslmode=require")

    assert both["default"] == first
    copy, options = both["replica"], both["replica"]["OPTIONS"]
    assert (copy["HOST"], options.pop("sslmode")) == ("copy", "require")
    assert [options.pop(name) for name in VANISHED] == [2000, 2, 1]
    assert options["pool"].pop("timeout") < first["OPTIONS"]["pool"].pop("timeout")
    same = ("ENGINE", "OPTIONS", "DISABLE_SERVER_SIDE_CURSORS")
    assert [copy.get(name) for name in same] == [first.get(name) for name in same]
