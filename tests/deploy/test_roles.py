"""Migrating as somebody who is no superuser, on a server that has never seen Guidepost."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from deploy.local.demo import call, get_token
from deploy.local.servers import PostgreSQL, new_password
from deploy.local.stack import ROOT, Stack, new_secrets

pytestmark = pytest.mark.timeout(240)
TIMEOUTS = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]


class Server:
    """A fresh PostgreSQL with a database whose owner is an ordinary user."""

    def __init__(self, home, rights):
        self.postgresql = PostgreSQL(home / "postgresql", home / "log", new_password(), False)
        self.child = self.postgresql.child()
        self.child.start()
        self.postgresql.wait_until_ready(self.child)
        self.admin = self._url("guidepost", self.postgresql.password, "hospital", of="postgres")
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE owner LOGIN NOSUPERUSER {rights} PASSWORD 'o'")
            connection.execute("CREATE DATABASE hospital OWNER owner")
        self.admin = self._url("guidepost", self.postgresql.password, "hospital")
        self.owner = self._url("owner", "o", "hospital")
        self.secrets = new_secrets()

    def _url(self, user, password, database, of=None):
        parts = urlsplit(self.postgresql.url)
        netloc = f"{user}:{password}@{parts.netloc.rpartition('@')[2]}"
        return urlunsplit(parts._replace(netloc=netloc, path=f"/{of or database}"))

    def manage(self, *arguments):
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            check=False,
            env={
                **os.environ,
                **self.secrets,
                "DATABASE_URL": self.owner,
                "DJANGO_SETTINGS_MODULE": "config.settings",
            },
            capture_output=True,
            text=True,
        )

    def run_as_administrator(self, script):
        return subprocess.run(
            [PSQL, "-d", self.admin, "-v", "owner=owner", "-f", script],
            check=False,
            env={**os.environ, **self.secrets},
            capture_output=True,
            text=True,
        )

    def dump(self):
        """As docs/operations.md says that the owner should."""
        command = [self.postgresql.binaries / "pg_dump", "--enable-row-security", self.owner]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def rows(self, query, url=""):
        with psycopg.connect(url or self.admin) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def server(request):
    home = Path(tempfile.mkdtemp(prefix="guidepost-roles-"))
    home.chmod(0o711)
    server = Server(home, request.param)
    yield server
    server.child.ask_to_stop()
    server.child.wait_stopped(10)
    shutil.rmtree(home)


PSQL = shutil.which("psql")


@pytest.mark.parametrize("server", ["NOCREATEROLE"], indirect=True)
def test_who_may_not_create_roles_is_told_what_to_do_before_anything_is_changed(server):
    refused = server.manage("migrate")

    assert refused.returncode == 1
    assert "guidepost_api, guidepost_door" in refused.stderr
    assert "deploy/roles.sql" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert server.rows("SELECT FROM pg_tables WHERE schemaname = 'public'") == []


@pytest.mark.skipif(PSQL is None, reason="There is no psql here.")
@pytest.mark.parametrize("server", ["NOCREATEROLE"], indirect=True)
def test_with_the_administrators_roles_everything_else_is_the_owners(server):
    script = server.run_as_administrator("deploy/roles.sql")
    again = server.run_as_administrator("deploy/roles.sql")
    migrated = server.manage("migrate")
    logins = server.manage("create_logins")
    proof = server.manage("prove_isolation", "--only", "limits")

    assert (script.returncode, again.returncode) == (0, 0), script.stderr + again.stderr
    assert migrated.returncode == 0, migrated.stderr
    assert logins.returncode == 1
    assert "deploy/roles.sql" in logins.stderr
    assert (proof.returncode, proof.stdout.split()[-1]) == (0, "leaks=0"), proof.stdout
    for process in ("web", "worker"):
        password = server.secrets[f"{process.upper()}_DATABASE_PASSWORD"]
        url = server._url(f"hospital_{process}_login", password, "hospital")
        found = [server.rows(f"SHOW {name}", url)[0][0] for name in TIMEOUTS]
        assert found == ["15s", "2s", "30s"]


@pytest.mark.parametrize("server", ["CREATEROLE"], indirect=True)
def test_an_ordinary_owner_who_may_create_roles_needs_nobody(server):
    home = Path(tempfile.mkdtemp(prefix="guidepost-roles-"))
    stack = Stack(home, database_url=server.owner, redis_url=os.environ["REDIS_URL"][:-1] + "3")
    stack.start()
    try:
        token = get_token(stack.url, stack.client)
        job = call(f"{stack.url}/jobs", token, {"guideline_text": "Staff MUST wash."})
        deadline = time.monotonic() + 60
        while job["status"] in ("PENDING", "PROCESSING") and time.monotonic() < deadline:
            time.sleep(0.1)
            job = call(f"{stack.url}{job['links']['self']}", token)
        dump = server.dump()
    finally:
        stack.stop()
        shutil.rmtree(home)

    assert job["status"] == "COMPLETED"
    assert job["event_id"] in dump
    assert server.rows("SELECT rolsuper FROM pg_roles WHERE rolname = 'owner'") == [(False,)]
