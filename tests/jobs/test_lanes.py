"""Which requests are answered on the event loop, and what that asks of the two servers.

What they are answered with is in tests/live/test_lanes.py: the same as by the view.
"""

import asyncio
import json
from collections import Counter
from itertools import count as count_up

import psycopg
import pytest
from django.conf import settings as django_settings
from redis.asyncio.client import Pipeline

from accounts.tokens import issue_access_token
from config import loop
from config.lanes import MOST_BYTES, answered
from jobs import services
from jobs.lanes import LANES
from jobs.models import Job
from tenants import standing
from tenants.models import Membership, Role
from tests.factories import ApiKeyFactory, ApiSessionFactory, JobFactory

pytestmark = pytest.mark.django_db(transaction=True)
GUIDELINE = json.dumps({"guideline_text": "Staff MUST wash their hands."}).encode()


@pytest.fixture
def on_loop(tenant, monkeypatch):
    """Runs what is given a way to ask, on a loop of its own; its result, and what was asked."""
    token = token_of(tenant)

    async def run(work):
        asked = Counter()
        count(monkeypatch, psycopg.AsyncClientCursor, "execute", asked, "postgresql")
        count(monkeypatch, Pipeline, "execute", asked, "redis")
        await loop.open()
        try:
            return await work(lambda *line, **headers: ask_with(token, *line, **headers), asked)
        finally:
            await loop.close()

    return lambda work: asyncio.run(run(work))


@pytest.fixture
def ask(on_loop):
    """Asks once or more: the last (whether a lane has answered, status, body, what it asked)."""

    def run(*line, times=1, **headers):
        async def work(ask, asked):
            for _ in range(times):
                asked.clear()
                said = await ask(*line, **headers)
            return *said, dict(asked)

        return on_loop(work)

    return run


@pytest.fixture
def ask_together(on_loop):
    """Submits so many jobs at once: the statuses, and what was asked."""

    def run(number):
        async def work(ask, asked):
            await ask("GET", "/jobs")  # who calls is known from here on
            await ask("POST", "/jobs", b"{}")
            asked.clear()
            said = await asyncio.gather(*[ask("POST", "/jobs", GUIDELINE) for _ in range(number)])
            return [status for _, status, _ in said], dict(asked)

        return on_loop(work)

    return run


async def ask_with(token, method, path, body=b"", query=b"", **headers):
    """Whether a lane has answered, the status, and the body."""
    said = {
        "host": django_settings.PUBLIC_URL.split("//")[1],
        "authorization": f"Bearer {token}",
        "content-type": "application/json" if body else "",
        "content-length": str(len(body)) if body else "",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": [(name.encode(), value.encode()) for name, value in said.items() if value],
        "client": ("127.0.0.1", 4711),
    }
    return await answer_of(scope, body)


async def answer_of(scope, body):
    said = []

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(message):
        said.append(message)

    if not await answered(LANES, scope, receive, send):
        return False, 0, None
    return True, said[0]["status"], json.loads(said[1]["body"])


def token_of(tenant, scopes=None):
    key = ApiKeyFactory(tenant=tenant).key
    held = key.scopes if scopes is None else scopes
    return str(issue_access_token(subject=key.client_id, tenant=str(tenant.id), scopes=held))


def count(monkeypatch, kind, name, asked, server):
    real = getattr(kind, name)

    async def counted(self, *args, **kwargs):
        asked[server] += 1
        return await real(self, *args, **kwargs)

    monkeypatch.setattr(kind, name, counted)


def test_each_way_asks_each_server_once(ask, tenant):
    job = JobFactory(tenant=tenant)

    for request, status in [
        (("POST", "/jobs", GUIDELINE), 202),
        (("GET", f"/jobs/{job.event_id}"), 200),
        (("GET", "/jobs"), 200),
    ]:
        # The first time it is asked besides who calls, and for the tenant's key.
        taken, got, _, asked = ask(*request, times=2)

        assert (taken, got) == (True, status)
        assert asked == {"postgresql": 1, "redis": 1}


def test_what_is_accepted_is_there(ask, tenant):
    _, _, job, _ = ask("POST", "/jobs", GUIDELINE)

    assert Job.objects.for_tenant(tenant.id).get().event_id.hex == job["event_id"].replace("-", "")


@pytest.mark.parametrize(
    ("request_line", "headers"),
    [
        (("PUT", "/jobs"), {}),
        (("POST", "/jobs/cancel"), {}),
        (("POST", "/jobs", GUIDELINE), {"idempotency_key": "a"}),
        (("POST", "/jobs", GUIDELINE), {"transfer_encoding": "chunked"}),
        (("POST", "/jobs", GUIDELINE), {"content_encoding": "gzip"}),
        (("POST", "/jobs", GUIDELINE), {"content_type": "application/json; charset=latin-1"}),
        (("POST", "/jobs", GUIDELINE), {"content_length": str(MOST_BYTES + 1)}),
        (("POST", "/jobs", GUIDELINE), {"content_length": "-1"}),
        (("POST", "/jobs", GUIDELINE), {"content_length": ""}),
        (("POST", "/jobs", GUIDELINE, b"x=1"), {}),
        (("GET", "/jobs", b"", b"access_token=x"), {}),
        (("GET", "/jobs"), {"host": "evil.example"}),
        (("GET", "/jobs"), {"accept": "text/html"}),
        (("GET", "/jobs"), {"authorization": ""}),
        (("GET", "/jobs"), {"authorization": "Bearer none"}),
        (("GET", "/jobs"), {"authorization": "Basic YTpi"}),
    ],
    ids=str,
)
def test_what_is_unusual_is_left_to_the_view(ask, tenant, request_line, headers):
    taken, _, _, asked = ask(*request_line, **headers)

    assert not taken
    assert asked == {}
    assert not Job.objects.for_tenant(tenant.id).exists()


def test_a_caller_who_may_not_is_left_to_the_view(ask, tenant):
    tenant.is_active = False
    tenant.save()

    assert ask("GET", "/jobs")[0] is False


def test_without_the_scope_it_is_left_to_the_view(ask, tenant):
    reads = f"Bearer {token_of(tenant, ['jobs:read'])}"
    submits = f"Bearer {token_of(tenant, ['jobs:submit'])}"

    assert ask("GET", "/jobs", authorization=reads)[0] is True
    assert ask("POST", "/jobs", GUIDELINE, authorization=reads)[0] is False
    assert ask("GET", "/jobs", authorization=submits)[0] is False
    assert ask("POST", "/jobs", GUIDELINE, authorization=submits)[0] is True


def test_whose_requests_are_looked_at_one_by_one_are_left_to_the_view(ask, tenant):
    opened = ApiSessionFactory(tenant=tenant, role=Role.MEMBER)
    bound = ApiKeyFactory(tenant=tenant, allowed_networks=["127.0.0.0/8"]).key
    of_bound = issue_access_token(
        subject=bound.client_id, tenant=str(tenant.id), scopes=bound.scopes
    )

    assert ask("GET", "/jobs", authorization=f"Bearer {opened.access}")[0] is True
    assert ask("GET", "/jobs", authorization=f"Bearer {of_bound}")[0] is False
    Membership.objects.for_tenant(tenant.id).update(sees_own_only=True)
    standing.forget(opened.access)
    assert ask("GET", "/jobs", authorization=f"Bearer {opened.access}")[0] is False


def test_while_postgresql_is_away_the_answer_says_so(ask, monkeypatch):
    async def away(*args, **kwargs):
        raise psycopg.OperationalError("away")

    monkeypatch.setattr("psycopg_pool.AsyncConnectionPool.getconn", away)

    taken, status, problem, _ = ask("GET", "/jobs")

    assert (taken, status, problem["code"]) == (True, 503, "unavailable")


def test_submissions_of_one_moment_are_one_transaction(ask_together, tenant):
    statuses, asked = ask_together(20)

    assert statuses == [202] * 20
    assert Job.objects.for_tenant(tenant.id).count() == 20
    assert asked["redis"] + asked["postgresql"] <= 8  # of forty


def test_one_that_cannot_be_written_takes_no_other_with_it(ask_together, tenant, monkeypatch):
    real, numbers = services.prepare, count_up()

    def prepare(**kwargs):
        submission = real(**kwargs)
        if next(numbers) == 7:
            submission.values["priority"] = 10**6  # beyond its column
        return submission

    monkeypatch.setattr("jobs.lanes.services.prepare", prepare)

    statuses, _ = ask_together(12)

    assert sorted(statuses) == [202] * 11 + [500]
    assert Job.objects.for_tenant(tenant.id).count() == 11


def test_a_lost_connection_is_everybodys_and_nothing_is_written_twice(
    ask_together, tenant, monkeypatch
):
    real = psycopg.AsyncClientCursor.execute

    async def lost_after_the_commit(self, statements, *args):
        done = await real(self, statements, *args)
        if statements.count(b"jobs_submit(") > 1:
            raise psycopg.OperationalError("the connection is lost")
        return done

    monkeypatch.setattr(psycopg.AsyncClientCursor, "execute", lost_after_the_commit)

    statuses, _ = ask_together(10)

    assert 503 in statuses
    assert Job.objects.for_tenant(tenant.id).count() == 10


def test_each_of_a_moment_is_held_to_the_cap(ask_together, tenant):
    services.set_queue(tenant.id, max_waiting=5)

    statuses, _ = ask_together(12)

    assert sorted(statuses) == [202] * 5 + [429] * 7
    assert Job.objects.for_tenant(tenant.id).count() == 5


def test_a_server_that_says_nothing_is_waited_for_so_long(ask, monkeypatch):
    async def frozen(self, *args):
        await asyncio.sleep(60)

    monkeypatch.setattr(psycopg.AsyncClientCursor, "execute", frozen)
    monkeypatch.setattr(loop, "PATIENCE", 0.1)

    taken, status, problem, _ = ask("GET", "/jobs")

    assert (taken, status, problem["code"]) == (True, 503, "unavailable")


def test_where_tls_is_a_must_what_came_without_is_left_to_the_view(ask, settings):
    settings.HTTPS, settings.TRUSTED_PROXIES = True, 1

    assert ask("GET", "/jobs")[0] is False
    assert ask("GET", "/jobs", x_forwarded_proto="http")[0] is False
    assert ask("GET", "/jobs", x_forwarded_proto="https")[0] is True


def test_who_stands_behind_no_proxy_of_ours_is_not_believed(ask, settings):
    settings.HTTPS, settings.TRUSTED_PROXIES = True, 0

    assert ask("GET", "/jobs", x_forwarded_proto="https")[0] is False
