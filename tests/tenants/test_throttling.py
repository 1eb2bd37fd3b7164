import time

import pytest
from django.test import RequestFactory, override_settings

from tenants import throttling
from tenants.throttling import RateLimited, count
from tests.config.test_health import NOWHERE


def hit(key="a", rate="3/m"):
    count(RequestFactory().post("/"), limit="things", rate=rate, key=key)


def test_each_key_has_a_count_of_its_own(db):
    for _ in range(3):
        hit("a")
    hit("b")

    with pytest.raises(RateLimited, match="`things` allows 3 per m"):
        hit("a")


@override_settings(CACHES=NOWHERE)
def test_without_redis_requests_pass_and_only_the_first_one_tries_it(db, caplog):
    for _ in range(10):
        hit()

    suspended = [r for r in caplog.records if r.message == "rate_limits_suspended"]
    assert len(suspended) == 1
    assert throttling._redis_away_until > time.monotonic()


def test_a_counter_that_vanishes_while_it_is_counted_limits_nobody(db, monkeypatch):
    def gone(*args, **kwargs):
        raise ValueError("Key not found")

    hit()
    monkeypatch.setattr("django.core.cache.backends.redis.RedisCache.incr", gone)

    assert [hit() for _ in range(5)] == [None] * 5
