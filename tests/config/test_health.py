from django.db import OperationalError, connection
from django.test import override_settings

from tests.config.caches import NOWHERE
from tests.config.test_problems import check_problem


def test_liveness_touches_nothing(client):
    response = client.get("/healthz")

    assert response.json() == {"status": "ok"}


def test_readiness_names_what_it_checked(client, db):
    assert client.get("/readyz").json() == {
        "status": "ok",
        "checks": {"postgresql": "ok", "redis": "ok"},
    }


@override_settings(CACHES=NOWHERE)
def test_without_redis_the_service_is_degraded_but_takes_requests(client, db):
    response = client.get("/readyz")

    assert response.status_code == 200
    assert response.json()["status"] == "degraded"


def test_without_postgresql_it_is_unavailable(client, db, monkeypatch):
    def refuse(*args, **kwargs):
        raise OperationalError

    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", refuse)
        response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["status"] == "unavailable"


def test_health_answers_problems_like_any_other_path(client, db):
    check_problem(client.post("/healthz"), 405, "method_not_allowed")
