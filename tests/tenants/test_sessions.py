"""A person's session at the API: refreshed, seen, ended, and ended for everybody by a thief."""

import threading
import time
from datetime import timedelta

import pytest
from django.conf import settings
from django.core import mail
from django.db import connection
from django.db.models import F
from django.test import Client
from django.utils import timezone

from accounts.tokens import AccessToken
from tenants import standing
from tenants.models import (
    ApiSession,
    AuditEntry,
    Membership,
    OAuthClient,
    RefreshToken,
    RevokedToken,
    Role,
    Tenant,
)
from tenants.services import members, sessions
from tests.config.test_problems import check_problem
from tests.conftest import with_token
from tests.factories import ApiKeyFactory, ApiSessionFactory, TenantFactory, UserFactory


@pytest.fixture
def opened(db):
    return ApiSessionFactory(role=Role.MEMBER)


def refresh(client, token, **changes):
    fields = {
        "grant_type": "refresh_token",
        "client_id": "guidepost-cli",
        "refresh_token": token,
    } | changes
    fields = {name: value for name, value in fields.items() if value is not None}
    return client.post("/oauth/token", fields, content_type="application/json")


def revoke(client, token, /, **fields):
    return client.post(
        "/oauth/revoke",
        {"client_id": "guidepost-cli", "token": str(token)} | fields,
        content_type="application/json",
    )


# --- Refresh ----------------------------------------------------------------------------------


def test_a_refresh_token_buys_the_next_one(client, opened):
    before = opened.session.last_used_at

    answer = refresh(client, opened.refresh).json()
    again = refresh(client, answer["refresh_token"])

    token = AccessToken(answer["access_token"])
    opened.session.refresh_from_db()
    assert answer["refresh_token"] != opened.refresh
    assert token["sid"] == str(opened.session.id)
    assert token["sub"] == str(opened.session.user.public_id)
    assert token["client_id"] == "guidepost-cli"
    assert answer["scope"] == "jobs:manage jobs:read jobs:submit usage:read"
    assert opened.session.last_used_at > before
    assert again.status_code == 200


def test_a_narrower_scope_narrows_the_access_token_but_not_the_session(client, opened):
    narrow = refresh(client, opened.refresh, scope="jobs:read").json()
    wide = refresh(client, narrow["refresh_token"]).json()

    assert narrow["scope"] == "jobs:read"
    assert wide["scope"] == "jobs:manage jobs:read jobs:submit usage:read"


def test_a_wider_scope_is_refused_and_the_token_stays_unused(client, opened):
    response = refresh(client, opened.refresh, scope="jobs:read members:manage")

    check_problem(response, 400, "invalid_scope")
    assert refresh(client, opened.refresh).status_code == 200


@pytest.mark.parametrize(
    "changes", [{"scope": ["jobs:read"]}, {"client_id": 7}, {"client_secret": [""]}], ids=str
)
def test_what_is_no_text_is_refused_and_the_token_stays_unused(client, opened, changes):
    body = check_problem(refresh(client, opened.refresh, **changes), 400, "invalid_request")

    assert body["error"] == "invalid_request"
    assert refresh(client, opened.refresh).status_code == 200


def test_what_the_role_has_lost_is_missing_from_the_next_token(client, opened):
    Membership.objects.for_tenant(opened.session.tenant_id).update(role=Role.VIEWER)

    assert refresh(client, opened.refresh).json()["scope"] == "jobs:read"


def deactivate(session):
    session.user.is_active = False
    session.user.save(update_fields=["is_active"])


def change_password(session):
    session.user.set_password("another long enough password")
    session.user.save(update_fields=["password"])


GONE = {
    "signed out": lambda s: sessions.end_session(s, reason=sessions.Ended.BY_OWNER),
    "no member": lambda s: Membership.objects.for_tenant(s.tenant_id).delete(),
    "deactivated": deactivate,
    "new password": change_password,
    "suspended": lambda s: Tenant.objects.filter(pk=s.tenant_id).update(is_active=False),
    "idle": lambda s: s.refresh_tokens.update(
        created_at=F("created_at") - settings.API_SESSION_IDLE
    ),
    "old": lambda s: ApiSession.objects.for_tenant(s.tenant_id).update(
        created_at=F("created_at") - settings.API_SESSION_MAX
    ),
}


@pytest.mark.parametrize("end", GONE.values(), ids=GONE)
def test_what_is_over_is_not_refreshed(client, opened, end):
    end(opened.session)

    body = check_problem(refresh(client, opened.refresh), 400, "invalid_grant")

    assert body["error"] == "invalid_grant"
    assert opened.session.refresh_tokens.get().used_at is None


@pytest.mark.parametrize("token", ["gpr_unknown", "x" * 5000, "eyJ.x.y"])
def test_an_unknown_refresh_token_is_refused(client, opened, token):
    check_problem(refresh(client, token), 400, "invalid_grant")


def test_an_access_token_is_no_refresh_token_nor_the_other_way_round(client, opened):
    check_problem(refresh(client, str(opened.access)), 400, "invalid_grant")
    check_problem(with_token(opened.refresh).get("/jobs"), 401, "invalid_token")


def test_a_refresh_token_is_its_own_clients_only(client, opened):
    OAuthClient.objects.create(client_id="other", name="Other", redirect_uris=["https://o/"])

    check_problem(refresh(client, opened.refresh, client_id="other"), 400, "invalid_grant")
    check_problem(refresh(client, opened.refresh, client_id="unknown"), 401, "invalid_client")
    check_problem(refresh(client, opened.refresh, client_id=None), 400, "invalid_request")

    assert refresh(client, opened.refresh).status_code == 200


# --- Second use -------------------------------------------------------------------------------


def test_a_refresh_token_used_twice_ends_the_session_for_both_holders(client, opened):
    kept = refresh(client, opened.refresh).json()

    stolen = refresh(client, opened.refresh)

    body = check_problem(stolen, 400, "token_reuse")
    after = refresh(client, kept["refresh_token"])
    assert body["error"] == "invalid_grant"
    assert after.json()["error"] == "invalid_grant"
    for access in (opened.access, kept["access_token"]):
        response = with_token(access).get("/jobs")
        check_problem(response, 401, "token_reuse")
        assert response.headers["WWW-Authenticate"].startswith("Bearer ")


def test_the_owner_is_told_once(client, opened, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        refresh(client, opened.refresh)
        for _ in range(3):
            refresh(client, opened.refresh, REMOTE_ADDR="x")

    (message,) = mail.outbox
    assert message.to == [opened.session.user.email]
    assert message.subject == "Guidepost: a session of yours was ended"
    assert opened.session.tenant.name in message.body
    assert "127.0.0.1" in message.body
    assert opened.refresh not in message.body


def test_a_mail_that_cannot_be_sent_changes_nothing(client, opened, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_PORT = 1

    refresh(client, opened.refresh)
    stolen = refresh(client, opened.refresh)

    check_problem(stolen, 400, "token_reuse")
    opened.session.refresh_from_db()
    assert opened.session.reason == "token_reuse"


def test_the_second_use_stands_in_the_audit_log(client, opened):
    refresh(client, opened.refresh)
    refresh(client, opened.refresh)
    refresh(client, opened.refresh)

    entries = AuditEntry.objects.across_tenants().filter(action="token.reused")
    assert [(e.outcome, e.object_id, e.actor, e.address) for e in entries] == [
        ("refused", str(opened.session.id), opened.session.user.email, "127.0.0.1")
    ]


def test_a_used_token_of_another_client_ends_nothing(client, opened):
    OAuthClient.objects.create(client_id="other", name="Other", redirect_uris=["https://o/"])
    kept = refresh(client, opened.refresh).json()

    check_problem(refresh(client, opened.refresh, client_id="other"), 400, "invalid_grant")

    assert refresh(client, kept["refresh_token"]).status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("round_", range(5))
def test_of_six_at_once_with_one_token_exactly_one_wins_and_then_nobody(round_):
    opened = ApiSessionFactory(role=Role.MEMBER)
    together, answers = threading.Barrier(6), []

    def call():
        client = Client()
        try:
            together.wait()
            answers.append(refresh(client, opened.refresh))
        finally:
            connection.close()

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    won = [a.json() for a in answers if a.status_code == 200]
    lost = [a.json()["code"] for a in answers if a.status_code == 400]
    assert len(won) == 1
    assert lost == ["token_reuse"] * 5
    assert RefreshToken.objects.filter(session=opened.session).count() == 2
    assert refresh(Client(), won[0]["refresh_token"]).json()["error"] == "invalid_grant"
    check_problem(with_token(won[0]["access_token"]).get("/jobs"), 401, "token_reuse")
    assert AuditEntry.objects.across_tenants().filter(action="token.reused").count() == 1
    assert len(mail.outbox) == 1


# --- Revocation (RFC 7009) --------------------------------------------------------------------


def test_signing_out_ends_the_session(client, opened):
    response = revoke(client, opened.refresh, token_type_hint="refresh_token")

    assert (response.status_code, response.content) == (200, b"")
    assert response["Cache-Control"] == "no-store"
    check_problem(refresh(client, opened.refresh), 400, "invalid_grant")
    check_problem(with_token(opened.access).get("/jobs"), 401, "invalid_token")
    opened.session.refresh_from_db()
    assert opened.session.reason == "by_client"


def test_a_used_refresh_token_signs_out_as_well(client, opened):
    kept = refresh(client, opened.refresh).json()

    revoke(client, opened.refresh)

    check_problem(refresh(client, kept["refresh_token"]), 400, "invalid_grant")


def test_an_access_token_is_given_back_alone(client, opened):
    other = refresh(client, opened.refresh).json()

    assert revoke(client, opened.access).status_code == 200
    assert revoke(client, opened.access).status_code == 200

    check_problem(with_token(opened.access).get("/jobs"), 401, "invalid_token")
    assert with_token(other["access_token"]).get("/jobs").status_code == 200
    entries = AuditEntry.objects.across_tenants().filter(action="token.revoked")
    assert [(e.tenant_id, e.actor, e.object_id) for e in entries] == [
        (opened.session.tenant_id, "guidepost-cli", opened.access["jti"])
    ]


def test_a_key_gives_back_its_own_token(client, db):
    key = ApiKeyFactory()
    own = {"client_id": key.key.client_id, "client_secret": key.client_secret}
    bought = client.post(
        "/oauth/token", own | {"grant_type": "client_credentials"}, content_type="application/json"
    )
    token = bought.json()["access_token"]

    assert revoke(client, token, **own).status_code == 200

    check_problem(with_token(token).get("/jobs"), 401, "invalid_token")


def test_nobody_gives_back_what_is_anothers(client, opened):
    key = ApiKeyFactory()
    stranger = {"client_id": key.key.client_id, "client_secret": key.client_secret}

    for token in (opened.access, opened.refresh):
        check_problem(revoke(client, token, **stranger), 400, "unauthorized_client")

    assert with_token(opened.access).get("/jobs").status_code == 200
    assert refresh(client, opened.refresh).status_code == 200


@pytest.mark.parametrize("token", ["gpr_unknown", "nonsense", "eyJ.x.y", "ü"])
def test_an_unknown_token_is_no_error(client, db, token):
    assert revoke(client, token).status_code == 200


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"client_id": "unknown"}, 401, "invalid_client"),
        ({"client_id": ""}, 400, "invalid_request"),
        ({"token": ""}, 400, "invalid_request"),
        ({"client_secret": "gps_wrong"}, 401, "invalid_client"),
        ({"client_secret": ["gps_wrong"]}, 400, "invalid_request"),
        ({"client_id": ["guidepost-cli"]}, 400, "invalid_request"),
    ],
    ids=str,
)
def test_a_stranger_gives_nothing_back(client, opened, fields, status, code):
    response = revoke(client, opened.refresh, **fields)

    body = check_problem(response, status, code)
    assert body["error"] == code
    assert refresh(client, opened.refresh).status_code == 200


def test_marks_of_tokens_that_are_over_are_forgotten(client, opened):
    long_over = timezone.now() - timedelta(seconds=2 * settings.SIMPLE_JWT["LEEWAY"] + 1)
    RevokedToken.objects.create(jti="old", expires_at=long_over)

    revoke(client, opened.access)

    assert list(RevokedToken.objects.values_list("jti", flat=True)) == [opened.access["jti"]]


def test_a_token_that_was_given_back_stays_so_for_as_long_as_clocks_are_forgiven(client, opened):
    other = refresh(client, opened.refresh).json()["access_token"]
    ending, now = opened.access, int(time.time())
    ending["iat"], ending["exp"] = now - 300, now - 5
    assert with_token(ending).get("/jobs").status_code == 200

    revoke(client, ending)
    revoke(client, other)

    standing._recent.clear()  # as a second does
    check_problem(with_token(ending).get("/jobs"), 401, "invalid_token")


# --- Seen and ended by their owner ------------------------------------------------------------


def test_a_person_sees_the_own_sessions_in_the_tenant(opened):
    user, tenant = opened.session.user, opened.session.tenant
    second = ApiSessionFactory(tenant=tenant, user=user, scopes=["jobs:read"])
    ApiSessionFactory(tenant=tenant)
    other_tenant = TenantFactory()
    ApiSessionFactory(tenant=other_tenant, user=user)
    ended = ApiSessionFactory(tenant=tenant, user=user)
    sessions.end_session(ended.session, reason=sessions.Ended.BY_OWNER)

    body = with_token(second.access).get("/sessions").json()

    seen = {entry["id"]: entry for entry in body["data"]}
    assert list(seen) == [str(second.session.id), str(opened.session.id)]
    assert [entry["is_current"] for entry in body["data"]] == [True, False]
    assert seen[str(second.session.id)].keys() == {
        "id",
        "client_id",
        "scopes",
        "created_at",
        "last_used_at",
        "address",
        "is_current",
    }


def test_a_person_ends_a_session_and_ending_it_again_changes_nothing(client, opened):
    user, tenant = opened.session.user, opened.session.tenant
    lost = ApiSessionFactory(tenant=tenant, user=user)
    api = with_token(opened.access)

    first = api.delete(f"/sessions/{lost.session.id}")
    second = api.delete(f"/sessions/{lost.session.id}")

    assert (first.status_code, second.status_code) == (204, 204)
    check_problem(with_token(lost.access).get("/jobs"), 401, "invalid_token")
    check_problem(refresh(client, lost.refresh), 400, "invalid_grant")
    entries = AuditEntry.objects.across_tenants().filter(action="session.ended")
    assert [(e.actor, e.object_id, e.after) for e in entries] == [
        (user.email, str(lost.session.id), {"reason": "by_owner"})
    ]


def test_nobody_ends_a_session_of_somebody_else(opened):
    api, tenant = with_token(opened.access), opened.session.tenant
    colleague = ApiSessionFactory(tenant=tenant)
    elsewhere = ApiSessionFactory(tenant=TenantFactory(), user=opened.session.user)
    absent = api.delete("/sessions/00000000-0000-0000-0000-000000000000")

    for other in (colleague, elsewhere):
        response = api.delete(f"/sessions/{other.session.id}")
        body = check_problem(response, 404, "not_found")
        assert body | {"request_id": ""} == absent.json() | {"request_id": ""}
        assert with_token(other.access).get("/jobs").status_code == 200


def test_a_key_has_no_sessions(api, opened):
    check_problem(api.get("/sessions"), 403, "forbidden")
    check_problem(api.delete(f"/sessions/{opened.session.id}"), 403, "forbidden")


def test_without_a_token_there_are_none(client, db):
    check_problem(client.get("/sessions"), 401, "token_missing")


# --- What is kept -----------------------------------------------------------------------------


def test_rows_that_nobody_needs_go_with_the_next_consent(opened):
    ApiSession.objects.across_tenants().update(
        created_at=F("created_at") - 2 * settings.API_SESSION_MAX
    )
    member = UserFactory()
    members.add_member(tenant=opened.session.tenant, user=member, role=Role.OWNER)

    fresh = ApiSessionFactory(tenant=opened.session.tenant, user=member)

    assert [s.id for s in ApiSession.objects.across_tenants()] == [fresh.session.id]
    assert RefreshToken.objects.count() == 1
