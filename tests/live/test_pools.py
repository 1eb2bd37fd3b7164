"""One connection, many tenants: whatever went wrong in a request, the next sees its own only.

Through our own pool with a single connection, and through PgBouncer in transaction mode with one
or two sessions behind it.
"""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from deploy.local.demo import get_token
from deploy.local.stack import ROOT
from tests.live.pgbouncer import PROGRAM, PgBouncer

MAKE_TENANT = """
import json
from jobs.services import set_queue
from tenants.services import keys, members
tenant = members.create_tenant(name="Pools", slug="pools-%s")
set_queue(tenant.id, is_paused=True)
new = keys.issue_api_key(tenant=tenant, name="Pools")
print(json.dumps({"client_id": new.key.client_id, "client_secret": new.client_secret}))
"""


class Tenant:
    """Calls one web server with its own token, and knows its own jobs."""

    def __init__(self, live, mark):
        made = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", MAKE_TENANT % mark],
            cwd=ROOT,
            env=live.stack.env,
            check=True,
            capture_output=True,
            text=True,
        )
        self.token = get_token(live.url, json.loads(made.stdout.splitlines()[-1]))
        self.jobs = {
            self.call(live.url, "POST", "/jobs", b'{"guideline_text": "Wash."}')[1]["event_id"]
            for _ in range(4)
        }

    def call(self, url, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def give_up_on(self, url, path):
        """Sends a request and is gone before the answer."""
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port)) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: 0\r\n"
            connection.sendall(f"{head}Authorization: Bearer {self.token}\r\n\r\n".encode())
            time.sleep(0.3)

    def sees(self, url):
        """None if the server is busy (503), else the ids that the tenant is shown."""
        status, body = self.call(url, "GET", "/jobs?limit=100")
        assert status in (200, 503), body
        return {job["event_id"] for job in body["data"]} if status == 200 else None


@pytest.fixture(scope="module")
def tenants(live_stack):
    mark = str(time.monotonic_ns())
    return Tenant(live_stack, f"a-{mark}"), Tenant(live_stack, f"b-{mark}")


@pytest.fixture(scope="module", params=["our own pool", "pgbouncer 1", "pgbouncer 2"])
def url(request, live_stack):
    if request.param == "our own pool":
        with live_stack.another_web(DATABASE_POOL_SIZE="1") as url:
            yield url
        return
    if PROGRAM is None:
        pytest.skip("There is no pgbouncer here: apt-get install pgbouncer.")
    size = int(request.param[-1])
    home = Path(tempfile.mkdtemp(prefix="guidepost-pools-"))  # pytest's own are for us alone
    home.chmod(0o711)
    web = live_stack.stack.children["web"].env["DATABASE_URL"]
    pooler = PgBouncer(home / "pgbouncer", web, size=size)
    pooler.start()
    try:
        with live_stack.another_web(DATABASE_URL=pooler.url, DATABASE_POOLER="true") as url:
            yield url
            assert 1 <= pooler.sessions() <= size
            nothing_is_left_in(pooler)
    finally:
        pooler.stop()
        shutil.rmtree(home)


def nothing_is_left_in(pooler):
    """Whoever gets a session next is nobody, for no tenant."""
    for _ in range(4 * pooler.size):
        with psycopg.connect(pooler.url) as next_one:
            left = next_one.execute(
                "SELECT current_setting('role'),"
                " coalesce(current_setting('guidepost.tenant', true), '')"
            ).fetchone()
        assert left == ("none", "")


def each_sees_its_own(url, tenants, times=5):
    seen = [(tenant, tenant.sees(url)) for tenant in tenants * times]
    assert all(ids is None or ids == tenant.jobs for tenant, ids in seen)
    return sum(ids is not None for _, ids in seen)


@contextlib.contextmanager
def locked(live, event_id):
    """Nobody else gets on with the job meanwhile: requests run into their timeout."""
    with psycopg.connect(live.database_url) as owner:
        owner.execute("SELECT FROM jobs_job WHERE event_id = %s FOR UPDATE", [event_id])
        yield
        owner.rollback()


def test_requests_of_two_tenants_at_once(url, tenants):
    a, b = tenants

    def one(turn):
        mine, other = (a, b) if turn % 2 else (b, a)
        foreign = next(iter(other.jobs))
        return [
            mine.sees(url) in (None, mine.jobs),
            mine.call(url, "GET", f"/jobs/{foreign}")[0],
            mine.call(url, "POST", f"/jobs/{foreign}/cancel")[0],
            mine.call(url, "POST", "/jobs", b'{"guideline_text": ""}')[0],
            mine.call(url, "POST", "/jobs", b"{")[0],
        ]

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(one, range(40)))

    # Six at once on one connection may be more than a busy machine answers in time.
    expected = [True, 404, 404, 422, 400]
    wrong = [
        (answer, right)
        for answered in answers
        for answer, right in zip(answered, expected, strict=True)
        if answer not in (right, 503)
    ]
    assert wrong == []
    assert answers.count(expected) > 0


def test_after_a_request_that_ran_into_a_timeout(live, url, tenants):
    a, _ = tenants
    job = min(a.jobs)

    with locked(live, job), ThreadPoolExecutor(2) as threads:
        stuck = threads.submit(a.call, url, "POST", f"/jobs/{job}/cancel")
        meanwhile = threads.submit(each_sees_its_own, url, tenants, 2)
        status, body = stuck.result()
        meanwhile.result()

    assert (status, body["code"]) == (503, "unavailable")
    assert each_sees_its_own(url, tenants) == 10


def test_after_a_request_whose_caller_is_gone(live, url, tenants):
    a, b = tenants

    with locked(live, min(a.jobs)):
        a.give_up_on(url, f"/jobs/{min(a.jobs)}/cancel")
        assert b.sees(url) in (None, b.jobs)
    live.until(lambda: b.sees(url) is not None)

    # What the caller asked for before it went is done or not: nobody promised either.
    assert each_sees_its_own(url, tenants) == 10


def test_after_a_session_that_was_ended_in_the_middle(live, url, tenants):
    a, b = tenants

    with locked(live, min(b.jobs)), ThreadPoolExecutor(1) as threads:
        stuck = threads.submit(b.call, url, "POST", f"/jobs/{min(b.jobs)}/cancel")
        ended = live.until(
            lambda: live.rows(
                "SELECT pg_terminate_backend(pid) AS done FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND usename LIKE '%%web_login'"
            )
        )
        status, _ = stuck.result()

    assert ended == [{"done": True}]
    assert status == 503
    live.until(lambda: a.sees(url) is not None and b.sees(url) is not None)
    assert each_sees_its_own(url, tenants) == 10


def test_timeouts_come_with_the_login(live_stack):
    """PgBouncer takes no start-up parameters: the login has its timeouts by itself."""
    web = live_stack.stack.children["web"].env["DATABASE_URL"]

    with psycopg.connect(web) as login:
        found = [
            login.execute(f"SHOW {name}").fetchone()[0]
            for name in (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
            )
        ]

    assert found == ["15s", "2s", "30s"]
