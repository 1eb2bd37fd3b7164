"""Every error of an API path is a problem document, whoever raises it."""

import logging

import pytest
from django.db import OperationalError
from django.test import Client
from rest_framework.exceptions import ErrorDetail

from config.problems import field_errors
from config.templatetags import texts
from jobs import services
from jobs.docs import ABOUT
from jobs.models import JobStatus
from tenants.models import Scope
from tests.callers import client_of, member_of

MEMBERS = {"type", "title", "status", "detail", "code", "retryable", "request_id"}


def check_problem(response, status, code):
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["code"] == code
    assert body["status"] == status
    assert body["type"] == f"/docs/errors#{code}"
    assert set(body) >= MEMBERS
    assert body["request_id"] == response.headers["X-Request-ID"]
    return body


def test_an_unknown_path_is_404(client, db):
    body = check_problem(client.get("/nowhere"), 404, "not_found")

    assert "/docs lists the paths there are" in body["detail"]


def said(response):
    return {each["pointer"]: each["detail"] for each in response.json()["errors"]}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/usage?by=foo", None, {"/by": "One of day, key, model."}),
        ("/jobs?status=foo", None, {"/status": f"One of {', '.join(JobStatus.values)}."}),
        (
            "/keys",
            {"name": "x", "scopes": ["jobs:read", "foo"]},
            {"/scopes/1": f"One of {', '.join(Scope.values)}."},
        ),
        (
            "/invitations",
            {"email": "b@example.com", "role": "foo"},
            {"/role": "One of owner, admin, member, viewer."},
        ),
        (
            "/jobs",
            {"guideline_text": "x", "expires_in": 59, "priority": "foo", "metadata": []},
            {
                "/expires_in": "At least 60 seconds, a minute.",
                "/priority": "One of low, normal, high.",
                "/metadata": "Not a JSON object, which holds values by their names.",
            },
        ),
        (
            "/jobs",
            {"guideline_text": "x", "expires_in": 10**6, "options": [1]},
            {
                "/expires_in": "At most 604800 seconds, which are 7 days.",
                "/options": "Not a JSON object, which holds values by their names.",
            },
        ),
        ("/jobs", [], {"": "Not a JSON object, which holds values by their names."}),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(tenant, path, body, expected):
    owner = client_of(member_of(tenant))

    answer = owner.get(path) if body is None else owner.post(path, body, format="json")

    check_problem(answer, 422, "invalid_fields")
    assert said(answer) == expected


def test_no_token_is_401_with_a_challenge(client, db):
    response = client.get("/jobs")

    check_problem(response, 401, "token_missing")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="guidepost"'


@pytest.mark.parametrize("header", ["Bearer", "Bearer a b", "Basic Zm9vOmJhcg==", "Bearer x.y.z"])
def test_a_header_that_is_no_good_token_is_401(client, db, header):
    response = client.get("/jobs", HTTP_AUTHORIZATION=header)

    check_problem(response, 401, "invalid_token")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="guidepost", error="invalid_token"'


def test_a_method_that_does_not_exist_is_405(api):
    response = api.put("/jobs", {}, format="json")

    check_problem(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == "GET, HEAD, POST"


def test_another_media_type_is_415(api):
    response = api.post("/jobs", "guideline_text=x", content_type="text/plain")

    check_problem(response, 415, "unsupported_media_type")


def test_a_body_that_is_not_json_is_400(api):
    response = api.post("/jobs", "{", content_type="application/json")

    body = check_problem(response, 400, "malformed_body")
    assert "line 1 column 2" in body["detail"]


@pytest.mark.parametrize("path", ["/jobs", "/oauth/token"])
def test_a_body_beyond_the_limit_is_413_and_names_it(api, settings, path):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100

    response = api.post(path, b"[" + b" " * 100, content_type="application/json")

    body = check_problem(response, 413, "body_too_large")
    assert "100 bytes" in body["detail"]


def test_a_form_beyond_the_limit_is_413(client, db, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100

    form = "application/x-www-form-urlencoded"

    response = client.post("/oauth/token", "grant_type=" + "x" * 200, content_type=form)

    check_problem(response, 413, "body_too_large")


def test_our_own_mistake_is_500_without_a_trace(api, monkeypatch, caplog):
    def broken(**kwargs):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(services, "submit_job", broken)
    api.raise_request_exception = False

    response = api.post("/jobs", {"guideline_text": "x"}, format="json")

    check_problem(response, 500, "server_error")
    assert "secret detail" not in response.text
    assert any(record.levelno == logging.ERROR for record in caplog.records)


def test_a_database_that_is_away_is_503_with_a_time_to_come_back(api, monkeypatch):
    def away(**kwargs):
        raise OperationalError("connection refused on 10.0.0.7")

    monkeypatch.setattr(services, "submit_job", away)

    response = api.post("/jobs", {"guideline_text": "x"}, format="json")

    check_problem(response, 503, "unavailable")
    assert response.headers["Retry-After"] == "5"
    assert "10.0.0.7" not in response.text


def test_a_wrong_host_is_400(db):
    check_problem(Client(SERVER_NAME="evil.example").get("/healthz"), 400, "bad_request")


def test_a_request_id_is_taken_over_if_it_is_harmless(client, db):
    taken = client.get("/healthz", HTTP_X_REQUEST_ID="trace-1.a_B")
    refused = client.get("/healthz", HTTP_X_REQUEST_ID="a b\x1b[0m")

    assert taken.headers["X-Request-ID"] == "trace-1.a_B"
    assert len(refused.headers["X-Request-ID"]) == 32


def test_field_errors_point_into_the_body():
    detail = {
        "metadata": {"a/b": [ErrorDetail("Too long.", "max_length")]},
        "non_field_errors": [ErrorDetail("Odd.", "odd")],
    }

    assert list(field_errors(detail)) == [
        {"pointer": "/metadata/a~1b", "code": "max_length", "detail": "Too long."},
        {"pointer": "", "code": "odd", "detail": "Odd."},
    ]


def test_every_code_has_a_place_on_the_page_that_types_lead_to(client, db):
    page = client.get("/docs/errors")

    assert page.status_code == 200
    for code in ("not_found", "invalid_fields", "rate_limited", "llm_timeout", "poison"):
        assert f'id="{code}"' in page.text


def test_the_page_says_of_every_code_what_to_do_and_shows_code_as_code(client, db):
    page = client.get("/docs/errors")

    assert {code for code, _, text in page.context["problems"] if not text} == set()
    assert set(ABOUT) <= {code for code, _, _ in page.context["problems"]}
    assert "`" not in page.text
    assert "Follow the <code>next</code> link" in page.text


def test_what_stands_between_backticks_is_text_all_the_same():
    assert texts.code("a `<b>` & `c") == "a <code>&lt;b&gt;</code> &amp; <code>c</code>"
