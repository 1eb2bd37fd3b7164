import base64
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.test import override_settings
from django.utils import timezone

from accounts.tokens import AccessToken
from tenants.models import ApiKey, Scope
from tenants.services import keys
from tests.config.test_problems import check_problem
from tests.factories import ApiKeyFactory


@pytest.fixture
def key(db):
    return ApiKeyFactory()


def ask(client, key, **fields):
    body = {
        "grant_type": "client_credentials",
        "client_id": key.key.client_id,
        "client_secret": key.client_secret,
    } | fields
    return post(client, {k: v for k, v in body.items() if v is not None})


def post(client, fields, **headers):
    form = "application/x-www-form-urlencoded"
    return client.post("/oauth/token", urlencode(fields), content_type=form, **headers)


def basic(client_id, secret):
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def test_a_key_buys_a_token_for_its_tenant(client, key):
    response = ask(client, key)

    answer = response.json()
    token = AccessToken(answer["access_token"])
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 900
    held = "audit:read jobs:manage jobs:read jobs:submit keys:manage usage:read"
    assert answer["scope"] == token["scope"] == held
    assert token["tenant"] == str(key.key.tenant_id)
    assert token["sub"] == key.key.client_id


def test_the_token_opens_the_api(client, key):
    token = ask(client, key).json()["access_token"]

    assert client.get("/jobs", HTTP_AUTHORIZATION=f"Bearer {token}").json() == {
        "data": [],
        "next": None,
    }


def test_credentials_may_come_by_http_basic(client, key):
    header = basic(key.key.client_id, key.client_secret)

    response = post(client, {"grant_type": "client_credentials"}, HTTP_AUTHORIZATION=header)

    assert response.status_code == 200


@pytest.mark.parametrize("kind", ["Application/X-WWW-Form-Urlencoded; Charset=UTF-8", "TEXT/plain"])
def test_a_media_type_means_the_same_in_any_case(client, key, kind):
    fields = {"grant_type": "client_credentials", "client_id": key.key.client_id}
    body = urlencode({**fields, "client_secret": key.client_secret})

    response = client.post("/oauth/token", body, content_type=kind)

    assert response.status_code == (200 if "Form" in kind else 415)


def test_a_narrower_scope_is_given_as_asked(client, key):
    assert ask(client, key, scope="jobs:read").json()["scope"] == "jobs:read"


def test_a_scope_the_key_lacks_is_refused(client, db):
    key = ApiKeyFactory(scopes=[Scope.JOBS_READ])

    response = ask(client, key, scope="jobs:read jobs:submit")

    body = check_problem(response, 400, "invalid_scope")
    assert body["error"] == "invalid_scope"
    assert body["detail"] == "Not held: jobs:submit. Held: jobs:read."


@pytest.mark.parametrize(
    "change",
    [
        {"client_secret": "gps_wrong"},
        {"client_id": "gpc_unknown"},
        {"client_id": "x" * 5000},
    ],
)
def test_wrong_credentials_are_refused_all_alike(client, key, change):
    response = ask(client, key, **change)

    body = check_problem(response, 401, "invalid_client")
    assert body["error"] == "invalid_client"
    assert body["detail"] == keys.InvalidClient.detail
    assert response.headers["WWW-Authenticate"] == 'Basic realm="guidepost"'


def test_a_revoked_key_buys_nothing(client, key):
    assert keys.revoke_api_key(key.key) is True
    assert keys.revoke_api_key(key.key) is False

    check_problem(ask(client, key), 401, "invalid_client")


def test_an_expired_key_buys_nothing(client, db):
    key = ApiKeyFactory(expires_at=timezone.now() - timedelta(seconds=1))

    check_problem(ask(client, key), 401, "invalid_client")


def test_a_key_of_an_inactive_tenant_buys_nothing(client, key):
    key.key.tenant.is_active = False
    key.key.tenant.save(update_fields=["is_active"])

    check_problem(ask(client, key), 401, "invalid_client")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": None}, "unsupported_grant_type"),
        ({"client_secret": None}, "invalid_request"),
    ],
)
def test_an_incomplete_request_says_what_is_missing(client, key, change, code):
    body = check_problem(ask(client, key, **change), 400, code)
    assert body["error"] == code


UNREADABLE = [["jobs:read"], {"jobs:read": True}, 7, True, None]


@pytest.mark.parametrize("value", UNREADABLE, ids=str)
@pytest.mark.parametrize("name", ["scope", "grant_type", "client_id", "client_secret"])
def test_what_is_no_text_is_refused_and_not_taken_for_left_out(client, key, name, value):
    fields = {
        "grant_type": "client_credentials",
        "client_id": key.key.client_id,
        "client_secret": key.client_secret,
        name: value,
    }

    response = client.post("/oauth/token", fields, content_type="application/json")

    body = check_problem(response, 400, "invalid_request")
    assert body["error"] == "invalid_request"
    assert name in body["detail"]


@pytest.mark.parametrize("name", ["scope", "grant_type", "client_id", "client_secret"])
def test_a_text_with_a_nul_is_refused_and_not_taken_for_left_out(client, key, name):
    body = check_problem(ask(client, key, **{name: "jobs:read\x00"}), 400, "invalid_request")

    assert name in body["detail"]


def test_a_scope_of_nothing_but_spaces_is_not_every_scope(client, key):
    body = check_problem(ask(client, key, scope=" "), 400, "invalid_scope")

    assert body["error"] == "invalid_scope"


@pytest.mark.parametrize("header", ["Basic ???", "Basic " + "QQ==", "Digest abc", "Basic"])
def test_a_header_that_is_not_basic_is_refused(client, key, header):
    response = post(client, {"grant_type": "client_credentials"}, HTTP_AUTHORIZATION=header)

    check_problem(response, 401, "invalid_client")


def test_credentials_by_two_ways_are_refused(client, key):
    header = basic(key.key.client_id, key.client_secret)

    response = post(
        client,
        {"grant_type": "client_credentials", "client_secret": key.client_secret},
        HTTP_AUTHORIZATION=header,
    )

    check_problem(response, 400, "invalid_request")


def test_the_secret_is_nowhere_in_the_database(key):
    stored = ApiKey.objects.across_tenants().filter(pk=key.key.pk).values().get()

    assert key.client_secret not in str(stored)
    assert len(stored["digest"]) == 64


def test_the_use_of_a_key_is_noted(client, key):
    ask(client, key)

    key.key.refresh_from_db()
    assert key.key.last_used_at is not None


@override_settings(TOKEN_RATE="2/m")
def test_a_tenant_that_asks_too_often_is_told_when_to_come_back(client, key):
    allowed = [ask(client, key).status_code for _ in range(2)]
    response = ask(client, key)

    body = check_problem(response, 429, "rate_limited")
    assert allowed == [200, 200]
    assert body["limit"] == "tokens_per_tenant"
    assert 1 <= int(response.headers["Retry-After"]) <= 60


@override_settings(TOKEN_ATTEMPT_RATE="2/m")
def test_guessing_from_one_address_is_stopped(client, key):
    for _ in range(2):
        ask(client, key, client_secret="gps_guess")

    body = check_problem(ask(client, key), 429, "rate_limited")

    assert body["limit"] == "token_attempts_per_address"
