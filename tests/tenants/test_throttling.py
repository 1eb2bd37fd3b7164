import json
import os
import subprocess
import sys
import time
import uuid
from urllib.parse import urlsplit

import pytest
import redis
from django.db import connection
from django.test import RequestFactory, override_settings

from tenants import throttling
from tenants.limits import Limits
from tenants.models import ApiKey, RateBucket, RouteClass, Scope
from tenants.throttling import LimiterUnavailable, RateLimited, admit, count, sliding_window
from tests.config.caches import NOWHERE, caches_at
from tests.config.test_problems import check_problem
from tests.conftest import IN_PRODUCTION
from tests.factories import ApiKeyFactory, JobFactory, TenantFactory
from tests.live.proxy import Proxy
from tests.tenants.test_token_endpoint import ask
from tests.waiting import until

pytestmark = pytest.mark.django_db
SECOND = 1_000_000  # microseconds


def limits(submits=600, reads=6000, manages=600, per_key=None):
    rates = zip(RouteClass, (submits, reads, manages), strict=True)
    return Limits("standard", dict(rates), per_key)


def submit(api):
    return api.post("/jobs", {"guideline_text": "Wash hands."}, format="json")


# --- Exact ----------------------------------------------------------------------------------


def test_four_processes_with_a_hundred_threads_never_pass_more_than_the_limit_in_any_window():
    quota, window, seconds = 10, 0.5, 3.0
    key = f"guidepost:rate:test:{uuid.uuid4()}"
    numbers = map(str, (quota, window, seconds, 25))
    command = [sys.executable, "-m", "tests.tenants.hammer", key, *numbers]
    hammers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ, text=True)
        for _ in range(4)
    ]

    answers = [json.loads(hammer.communicate(timeout=60)[0]) for hammer in hammers]

    assert sum(map(bool, answers)) > 1  # it was a race
    passed = sorted(moment for answer in answers for moment in answer)
    assert len(passed) >= quota * (seconds / window - 1)
    spans = [later - first for first, later in zip(passed, passed[quota:], strict=False)]
    assert min(spans) >= window * SECOND


def test_the_edge_of_a_clocks_second_is_no_new_beginning():
    """Counted by the second, twenty would pass within the half of one."""
    key = f"guidepost:rate:test:{uuid.uuid4()}"
    time.sleep(0.75 - time.time() % 1 if time.time() % 1 < 0.75 else 1.75 - time.time() % 1)

    before = [sliding_window([key], [10], 1, 1.0)[1] for _ in range(10)]
    time.sleep(0.5)
    after = [sliding_window([key], [10], 1, 1.0)[1] for _ in range(10)]

    assert (sum(before), sum(after)) == (10, 0)


def test_waiting_as_long_as_we_say_is_long_enough(monkeypatch):
    monkeypatch.setattr(throttling, "WINDOW", 2)
    caller = (uuid.uuid4(), "gpc_a", limits(submits=2), RouteClass.SUBMIT)
    admit(*caller)
    time.sleep(0.3)
    admit(*caller)

    with pytest.raises(RateLimited) as refused:
        admit(*caller)
    seconds = int(refused.value.headers["Retry-After"])
    time.sleep(seconds - 0.9)
    with pytest.raises(RateLimited):
        admit(*caller)
    time.sleep(0.9)

    assert seconds == 2
    assert admit(*caller)


def test_a_request_that_one_limit_refuses_is_charged_to_none():
    tenant_id, allowed = uuid.uuid4(), limits(submits=10, per_key=3)
    for _ in range(3):
        admit(tenant_id, "gpc_a", allowed, RouteClass.SUBMIT)

    for _ in range(5):
        with pytest.raises(RateLimited) as refused:
            admit(tenant_id, "gpc_a", allowed, RouteClass.SUBMIT)
    other = admit(tenant_id, "gpc_b", allowed, RouteClass.SUBMIT)

    assert refused.value.extra["scope"] == "key"
    assert other["RateLimit"] == '"submit";r=6;t=60, "submit-key";r=2;t=60'


def test_keys_of_one_tenant_share_its_limit_and_kinds_of_requests_do_not():
    tenant_id, allowed = uuid.uuid4(), limits(submits=2, reads=2)
    admit(tenant_id, "gpc_a", allowed, RouteClass.SUBMIT)
    admit(tenant_id, "gpc_b", allowed, RouteClass.SUBMIT)

    with pytest.raises(RateLimited) as refused:
        admit(tenant_id, "gpc_c", allowed, RouteClass.SUBMIT)
    admit(tenant_id, "gpc_c", allowed, RouteClass.READ)

    assert refused.value.extra["scope"] == "tenant"


def test_a_limit_of_nothing_and_one_that_was_lowered_say_when_to_come_back():
    tenant_id = uuid.uuid4()
    for _ in range(5):
        admit(tenant_id, "gpc_a", limits(submits=5), RouteClass.SUBMIT)

    for lowered in (2, 0):
        with pytest.raises(RateLimited) as refused:
            admit(tenant_id, "gpc_a", limits(submits=lowered), RouteClass.SUBMIT)
        assert 59 <= int(refused.value.headers["Retry-After"]) <= 60


# --- Through the door -----------------------------------------------------------------------


def test_every_answer_behind_a_token_says_where_the_limits_stand(client, client_for):
    tenant = TenantFactory(plan={"submits_per_minute": 2})
    api = client_for(tenant)
    job = JobFactory(tenant=tenant)
    nothing = uuid.uuid4()
    answers = {
        200: api.get(f"/jobs/{job.event_id}"),
        202: submit(api),
        400: api.post("/jobs", "{", content_type="application/json"),
        403: client_for(tenant, [Scope.JOBS_SUBMIT]).get("/jobs"),
        404: api.get(f"/jobs/{nothing}"),
        405: api.delete("/jobs"),
        406: api.get("/jobs", headers={"Accept": "text/html"}),
        429: submit(api),
    }

    for status, answer in answers.items():
        assert answer.status_code == status
        assert ";w=60" in answer.headers["RateLimit-Policy"], status
        assert ";t=" in answer.headers["RateLimit"], status
    assert answers[202].headers["RateLimit-Policy"] == '"submit";q=2;w=60'
    assert answers[202].headers["RateLimit"] == '"submit";r=1;t=60'
    body = check_problem(answers[429], 429, "rate_limited")
    assert (body["limit"], body["scope"], body["allowed"]) == ("submit", "tenant", 2)
    assert body["retry_after_seconds"] == int(answers[429].headers["Retry-After"])
    assert "RateLimit" not in client.get("/jobs", headers={"Authorization": "Bearer x"}).headers


def test_a_key_may_have_a_limit_of_its_own(tenant, client_for):
    new = ApiKeyFactory(tenant=tenant)
    ApiKey.objects.for_tenant(tenant.id).update(requests_per_minute=1)
    api = client_for(tenant, subject=new.key.client_id)

    first, second = api.get("/jobs"), api.get("/jobs")

    assert (first.status_code, second.status_code) == (200, 429)
    assert second.json()["limit"] == "read-key"
    assert client_for(tenant).get("/jobs").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_counting_costs_one_round_trip(tenant, api):
    api.get("/jobs")  # loads the script

    before = commands()
    api.get("/jobs")
    submit(api)
    used = {name: n - before.get(name, 0) for name, n in commands().items()}

    assert used["evalsha"] == 2
    assert not any(used.get(name) for name in ("eval", "get", "set", "incrby", "script"))


def commands():
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        stats = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): value["calls"] for name, value in stats.items()}


# --- Without Redis --------------------------------------------------------------------------


@pytest.fixture
def redis_away(settings, monkeypatch):
    """Redis behind a proxy that may take it away, and waited for as short as in production."""
    monkeypatch.setattr(throttling, "TIMEOUT", IN_PRODUCTION)
    proxy = Proxy(os.environ["REDIS_URL"])
    settings.REDIS_URL = proxy.url
    settings.CACHES = caches_at(proxy.url)
    throttling._script.cache_clear()
    yield proxy
    proxy.restore()
    throttling._script.cache_clear()


def away(proxy, how):
    getattr(proxy, how)()
    throttling._redis_away_until = 0.0


def connect(api):
    """Until a connection stands that the next request will use: on a busy machine it may take
    longer than a request waits."""

    def is_counted():
        throttling._redis_away_until = 0.0
        return "RateLimit" in api.get("/jobs").headers

    until(is_counted)


@pytest.mark.parametrize("how", ["refuse", "hang"])
def test_without_redis_reads_pass_and_nobody_waits_long(
    client_for, redis_away, caplog, monkeypatch, how
):
    """One try, of the first, for as long as a counter may take: the others wait for none."""
    api = client_for(TenantFactory(plan={"reads_per_minute": 2}))
    connect(client_for(TenantFactory()))
    away(redis_away, how)
    caplog.clear()
    monkeypatch.setattr(throttling, "RETRY_REDIS_AFTER", 60)  # however slow this machine is

    answers = [api.get("/jobs") for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200] * 5
    assert answers[0].headers["RateLimit-Policy"] == '"read";q=2;w=60'
    events = [r.message for r in caplog.records if r.message == "rate_limits_degraded"]
    assert events == ["rate_limits_degraded"]
    waits = throttling._script().registered_client.get_connection_kwargs()
    assert (waits["socket_timeout"], waits["socket_connect_timeout"]) == (0.05, 0.05)


@pytest.mark.parametrize("how", ["refuse", "hang"])
def test_without_redis_submitting_is_held_to_half_of_its_rate(client_for, redis_away, how):
    tenant = TenantFactory(plan={"submits_per_minute": 10})
    away(redis_away, how)

    answers = [submit(client_for(tenant)) for _ in range(8)]

    assert [answer.status_code for answer in answers] == [202] * 5 + [429] * 3
    body = check_problem(answers[-1], 429, "rate_limited")
    assert (body["limit"], body["scope"]) == ("submit", "tenant")
    assert 10 <= int(answers[-1].headers["Retry-After"]) <= 12  # one flows in each 12 s
    assert submit(client_for(TenantFactory())).status_code == 202


def test_what_flows_into_the_bucket_may_be_spent_and_is_no_more_than_it_holds(
    client_for, redis_away
):
    tenant = TenantFactory(plan={"submits_per_minute": 10})
    api = client_for(tenant)
    away(redis_away, "refuse")
    while submit(api).status_code == 202:
        pass
    bucket = RateBucket.objects.for_tenant(tenant.id)

    def later(seconds):
        then = bucket.get().refilled_at.timestamp() - seconds
        with connection.cursor() as cursor:
            cursor.execute("UPDATE tenants_ratebucket SET refilled_at = to_timestamp(%s)", [then])

    later(12.5)
    after_a_while = [submit(api).status_code for _ in range(2)]
    later(3600)
    after_an_hour = [submit(api).status_code for _ in range(6)]

    assert after_a_while == [202, 429]
    assert after_an_hour == [202] * 5 + [429]


@pytest.mark.parametrize("how", ["refuse", "hang"])
def test_without_redis_nobody_gets_a_token_and_is_told_to_ask_again(client, redis_away, how):
    key = ApiKeyFactory()
    assert ask(client, key).status_code == 200
    away(redis_away, how)

    response = ask(client, key)

    body = check_problem(response, 503, "temporarily_unavailable")
    assert body["error"] == "temporarily_unavailable"
    assert response.headers["Retry-After"] == "5"
    assert client.get("/readyz").json()["status"] == "degraded"


def test_once_redis_is_back_it_counts_again(client_for, redis_away):
    api = client_for(TenantFactory(plan={"reads_per_minute": 1}))
    away(redis_away, "refuse")
    assert [api.get("/jobs").status_code for _ in range(2)] == [200, 200]
    redis_away.restore()
    time.sleep(throttling.RETRY_REDIS_AFTER)

    assert [api.get("/jobs").status_code for _ in range(2)] == [200, 429]


def test_a_redis_that_takes_no_writes_is_degraded(client, api, settings):
    # As after a failed save (MISCONF) or a failover: it answers reads, so a look is not enough.
    name = f"reader-{uuid.uuid4()}"
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as server:
        server.acl_setuser(
            name, enabled=True, passwords=["+x"], keys=["*"], categories=["+@all", "-@write"]
        )
        parts = urlsplit(settings.REDIS_URL)
        url = parts._replace(netloc=f"{name}:x@{parts.netloc.rpartition('@')[2]}").geturl()
        try:
            with override_settings(REDIS_URL=url, CACHES=caches_at(url)):
                throttling._script.cache_clear()
                assert client.get("/readyz").json()["status"] == "degraded"
                assert api.get("/jobs").status_code == 200
                assert submit(api).status_code == 202
        finally:
            throttling._script.cache_clear()
            server.acl_deluser(name)


# --- Before there is a token ----------------------------------------------------------------


def hit(key="a", rate="3/m"):
    count(RequestFactory().post("/"), limit="things", rate=rate, key=key)


def test_each_key_has_a_count_of_its_own(db):
    for _ in range(3):
        hit("a")
    hit("b")

    with pytest.raises(RateLimited, match="`things` allows 3 per minute and"):
        hit("a")


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        ("0/s", "0 per second"),
        ("0/m", "0 per minute"),
        ("0/h", "0 per hour"),
        ("0/d", "0 per day"),
        ("0/1m", "0 per minute"),
        ("0/5m", "0 in 5 minutes"),
        ("0/30s", "0 in 30 seconds"),
        ("0/30", "0 in 30 seconds"),
    ],
)
def test_a_limit_is_said_in_words(db, rate, said):
    with pytest.raises(RateLimited, match=f"`things` allows {said} and is used up") as refused:
        hit(rate=rate)

    assert refused.value.extra["rate"] == rate


@override_settings(CACHES=NOWHERE)
def test_without_redis_nothing_passes_uncounted_and_only_the_first_one_tries_it(db, caplog):
    for _ in range(10):
        with pytest.raises(LimiterUnavailable):
            hit()

    degraded = [r for r in caplog.records if r.message == "rate_limits_degraded"]
    assert len(degraded) == 1
    assert throttling._redis_away_until > time.monotonic()


def test_a_counter_that_vanishes_while_it_is_counted_limits_nobody(db, monkeypatch):
    def gone(*args, **kwargs):
        raise ValueError("Key not found")

    hit()
    monkeypatch.setattr("django.core.cache.backends.redis.RedisCache.incr", gone)

    assert [hit() for _ in range(5)] == [None] * 5
