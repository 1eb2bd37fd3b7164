"""GET and POST /oauth/authorize: a person lets a program in, with PKCE, and gets a code for it."""

import re
import threading
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.shortcuts import resolve_url
from django.test import Client

from tenants.models import (
    ApiSession,
    AuditEntry,
    AuthorizationCode,
    OAuthClient,
    Role,
    Scope,
    Tenant,
)
from tenants.services import clients, members, sessions
from tests.factories import TenantFactory, UserFactory

VERIFIER = "verifier-" + "0" * 40
LOOPBACK = "http://127.0.0.1:53682/callback"
GOOD = {
    "response_type": "code",
    "client_id": "guidepost-cli",
    "redirect_uri": LOOPBACK,
    "state": "a state",
    "code_challenge": sessions.challenge_of(VERIFIER),
    "code_challenge_method": "S256",
}


@pytest.fixture
def user(tenant):
    user = UserFactory()
    members.add_member(tenant=tenant, user=user, role=Role.MEMBER)
    return user


@pytest.fixture
def browser(user):
    browser = Client()
    browser.force_login(user)
    return browser


def url(**changes):
    """Our good request with changes; None takes a parameter away, a list repeats it."""
    fields = {k: v for k, v in (GOOD | changes).items() if v is not None}
    return "/oauth/authorize?" + urlencode(fields, doseq=True)


def approve(browser, tenant, scopes=("jobs:read",), **changes):
    return browser.post(
        url(**changes), {"decision": "approve", "tenant": str(tenant.id), "scope": list(scopes)}
    )


def answer(response):
    """The parameters sent to the client's address."""
    assert response.status_code == 303
    assert response["Location"].startswith(LOOPBACK + "?")
    return dict(parse_qsl(urlsplit(response["Location"]).query))


def exchange(client, code, /, **changes):
    fields = {
        "grant_type": "authorization_code",
        "client_id": "guidepost-cli",
        "code": code,
        "redirect_uri": LOOPBACK,
        "code_verifier": VERIFIER,
    } | changes
    return client.post(
        "/oauth/token",
        urlencode({k: v for k, v in fields.items() if v is not None}),
        content_type="application/x-www-form-urlencoded",
    )


# --- The way through --------------------------------------------------------------------------


def test_who_is_not_signed_in_signs_in_first_and_comes_back(client, db):
    response = client.get(url())

    there = urlsplit(response["Location"])
    assert response.status_code == 302
    assert there.path == resolve_url(settings.LOGIN_URL)
    assert parse_qs(there.query)["next"] == [url()]


def test_the_page_offers_what_the_role_holds_and_nothing_more(browser, tenant):
    page = browser.get(url()).content.decode()

    offered = {scope.value for scope in Scope if f'value="{scope.value}"' in page}
    assert offered == {"jobs:submit", "jobs:read", "jobs:manage", "usage:read"}
    assert tenant.name in page


def test_the_page_offers_no_more_than_the_program_asks_for(browser):
    page = browser.get(url(scope="jobs:read audit:read")).content.decode()

    assert {s.value for s in Scope if f'value="{s.value}"' in page} == {"jobs:read"}


def test_every_tenant_of_the_person_is_offered_but_no_other(browser, user, tenant):
    second, foreign, closed = TenantFactory(), TenantFactory(), TenantFactory()
    members.add_member(tenant=second, user=user, role=Role.VIEWER)
    members.add_member(tenant=closed, user=user, role=Role.OWNER)
    Tenant.objects.filter(pk=closed.pk).update(is_active=False)

    page = browser.get(url()).content.decode()

    seen = [t for t in (tenant, second, foreign, closed) if str(t.id) in page]
    assert seen == [tenant, second]


def test_the_page_is_kept_nowhere_and_framed_by_nobody(browser):
    response = browser.get(url())

    assert response["Cache-Control"] == "no-store"
    assert response["X-Frame-Options"] == "DENY"


def test_consent_becomes_a_code_and_the_code_a_session(browser, client, user, tenant):
    sent = answer(approve(browser, tenant, ["jobs:read", "jobs:submit"]))
    response = exchange(client, sent["code"])

    tokens = response.json()
    session = ApiSession.objects.for_tenant(tenant.id).get()
    jobs = client.get("/jobs", HTTP_AUTHORIZATION=f"Bearer {tokens['access_token']}")
    assert sent.keys() == {"code", "state", "iss"}
    assert (sent["state"], sent["iss"]) == ("a state", settings.PUBLIC_URL)
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert tokens["scope"] == "jobs:read jobs:submit"
    assert (session.user, session.client_id, session.address) == (
        user,
        "guidepost-cli",
        "127.0.0.1",
    )
    assert session.scopes == ["jobs:read", "jobs:submit"]
    assert jobs.status_code == 200


def test_consent_and_session_stand_in_the_audit_log(browser, client, user, tenant):
    exchange(client, answer(approve(browser, tenant))["code"])

    session = ApiSession.objects.for_tenant(tenant.id).get()
    of_people = AuditEntry.objects.across_tenants().filter(tenant=tenant, actor_kind="person")
    entries = of_people.order_by("id")
    assert [(e.action, e.actor_kind, e.actor, e.object_id) for e in entries] == [
        ("client.approved", "person", user.email, "guidepost-cli"),
        ("session.opened", "person", user.email, str(session.id)),
    ]


def test_neither_code_nor_refresh_token_is_in_the_database(browser, client, tenant):
    code = answer(approve(browser, tenant))["code"]
    waiting = str(list(AuthorizationCode.objects.across_tenants().values()))
    refresh = exchange(client, code).json()["refresh_token"]

    session = ApiSession.objects.for_tenant(tenant.id)
    stored = str(list(session.values())) + str(list(session.get().refresh_tokens.values()))
    assert code not in waiting + stored
    assert refresh not in stored
    assert len(refresh) >= len("gpr_") + 43


def test_a_refusal_is_told_to_the_program(browser, tenant):
    response = browser.post(url(), {"decision": "deny"})

    assert answer(response)["error"] == "access_denied"
    assert not AuthorizationCode.objects.across_tenants().exists()


def test_consent_needs_the_forms_own_token(user, tenant):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)

    assert approve(browser, tenant).status_code == 403
    assert not AuthorizationCode.objects.across_tenants().exists()


def test_looking_at_the_page_gives_no_consent(browser, tenant):
    browser.get(url() + f"&decision=approve&tenant={tenant.id}&scope=jobs:read")

    assert not AuthorizationCode.objects.across_tenants().exists()


@pytest.mark.parametrize(
    "scopes", [[], ["members:manage"], ["jobs:read", "audit:read"], ["jobs:everything"]], ids=str
)
def test_what_was_not_offered_cannot_be_given(browser, tenant, scopes):
    response = approve(browser, tenant, scopes)

    assert response.status_code == 422
    assert not AuthorizationCode.objects.across_tenants().exists()


def test_a_program_is_given_no_more_than_it_asked_for(browser, tenant):
    response = approve(browser, tenant, ["jobs:read", "jobs:submit"], scope="jobs:read")

    assert response.status_code == 422
    assert not AuthorizationCode.objects.across_tenants().exists()


def test_nobody_gives_away_what_belongs_to_another_tenant(browser, tenant):
    for other in (TenantFactory().id, "nonsense", ""):
        response = browser.post(
            url(), {"decision": "approve", "tenant": str(other), "scope": ["jobs:read"]}
        )
        assert response.status_code == 422
    assert not AuthorizationCode.objects.across_tenants().exists()


def test_browsers_let_the_form_lead_to_the_program_and_nowhere_else(browser):
    page = browser.get(url())

    policy = page.headers["Content-Security-Policy"].split("; ")
    (allowed,) = [directive for directive in policy if directive.startswith("form-action ")]
    assert set(allowed.split()[1:]) == {"'self'", "http://127.0.0.1:53682"}
    assert {"default-src 'none'", "frame-ancestors 'none'"} <= set(policy)


def test_the_form_works_as_the_page_has_it_and_not_from_another_site(user, tenant):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    page = browser.get(url()).text
    fields = dict(re.findall(r'name="(csrfmiddlewaretoken|tenant)" value="([^"]+)"', page))
    form = {**fields, "scope": ["jobs:read"], "decision": "approve"}

    for site in ("cross-site", "same-site"):
        assert browser.post(url(), form, headers={"Sec-Fetch-Site": site}).status_code == 403
    assert browser.post(url(), form | {"csrfmiddlewaretoken": "x"}).status_code == 403
    sent = browser.post(url(), form, headers={"Sec-Fetch-Site": "same-origin"})

    assert "code" in answer(sent)


# --- Programs and their addresses -------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:1/callback",
        "http://127.0.0.1:65535/callback",
        "http://127.0.0.1/callback",
        "http://[::1]:8080/callback",
    ],
)
def test_the_command_line_is_answered_on_ones_own_machine_at_any_port(uri):
    assert clients.may_redirect_to(clients.CLI, uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "http://127.0.0.1:1/callback/",
        "http://127.0.0.1:1/callback?x=1",
        "http://127.0.0.1:1/callback#x",
        "http://127.0.0.1:1/other",
        "http://127.0.0.1:1/callback/../other",
        "http://127.0.0.1:1@evil.example/callback",
        "http://127.0.0.1:1\n/callback",
        "http://127.0.0.1:1/callback\n",
        "http://127.0.0.1:999999/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127x0x0x1/callback",
        "http://127.0.0.2/callback",
        "http://localhost:1/callback",
        "https://127.0.0.1:1/callback",
        "HTTP://127.0.0.1/callback",
        "javascript:alert(1)",
        "https://evil.example/callback",
    ],
)
def test_and_nowhere_else(client, db, uri):
    response = client.get(url(redirect_uri=uri))

    assert response.status_code == 400
    assert "Location" not in response
    assert uri not in response.content.decode() or not uri


def test_a_registered_program_is_answered_at_exactly_its_address(db):
    site = clients.register_client(name="Site", redirect_uris=["https://site.example/cb"])

    found = clients.find_client(site.client_id)

    assert clients.may_redirect_to(found, "https://site.example/cb")
    for other in (
        "https://site.example:8443/cb",
        "https://site.example/cb?x",
        "https://site.example/cb/",
        "https://sub.site.example/cb",
        "http://site.example/cb",
    ):
        assert not clients.may_redirect_to(found, other)


@pytest.mark.parametrize(
    "uri",
    [
        "http://site.example/cb",
        "https://*.example/cb",
        "https://u@site.example/cb",
        "x:y",
        "https://a/b?c",
    ],
)
def test_no_program_is_registered_with_an_address_that_is_not_its_own(db, uri):
    with pytest.raises(clients.InvalidRedirectURI):
        clients.register_client(name="Site", redirect_uris=["https://site.example/cb", uri])

    assert not OAuthClient.objects.exists()


def test_an_operator_registers_a_program_and_learns_its_id(db, capsys):
    call_command("register_client", "Site", "https://site.example/cb", "http://127.0.0.1/cb")

    client = clients.find_client(capsys.readouterr().out.strip())
    assert client.name == "Site"
    assert clients.may_redirect_to(client, "http://127.0.0.1:9/cb")
    with pytest.raises(CommandError, match="is no address a code"):
        call_command("register_client", "Site", "http://site.example")


@pytest.mark.parametrize("client_id", [None, "", "unknown", "gpc_test", "\x00"])
def test_an_unknown_program_is_told_nothing(client, db, client_id):
    response = client.get(url(client_id=client_id))

    assert response.status_code == 400
    assert "Location" not in response


def test_a_program_that_is_switched_off_is_unknown(client, db):
    site = clients.register_client(name="Site", redirect_uris=["https://site.example/cb"])
    OAuthClient.objects.update(is_active=False)

    there = {"client_id": site.client_id, "redirect_uri": "https://site.example/cb"}
    assert client.get(url(**there)).status_code == 400


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"scope": "jobs:everything"}, "invalid_scope"),
        ({"response_type": ["code", "code"]}, "invalid_request"),
        ({"scope": ["jobs:read", "jobs:submit"]}, "invalid_request"),
    ],
    ids=str,
)
def test_what_else_is_wrong_is_told_to_the_program(browser, changes, error):
    sent = answer(browser.get(url(**changes)))

    assert (sent["error"], sent["state"], sent["iss"]) == (error, "a state", settings.PUBLIC_URL)


# --- The code ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "another-verifier-" + "0" * 40},
        {"code_verifier": "short"},
        {"redirect_uri": "http://127.0.0.1:53683/callback"},
        {"code": "unknown"},
        {"client_id": "registered"},
    ],
    ids=str,
)
def test_a_code_is_good_only_for_what_it_was_given_for(browser, client, tenant, changes):
    OAuthClient.objects.create(client_id="registered", name="Other", redirect_uris=[LOOPBACK])
    code = answer(approve(browser, tenant))["code"]

    response = exchange(client, code, **changes)

    assert response.status_code == 400
    assert response.json()["error"] == "invalid_grant"
    assert exchange(client, code).status_code == 200


@pytest.mark.parametrize("missing", ["code", "redirect_uri", "code_verifier", "client_id"])
def test_without_one_of_its_parts_the_request_is_incomplete(browser, client, tenant, missing):
    code = answer(approve(browser, tenant))["code"]

    response = exchange(client, code, **{missing: None})

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_a_code_lives_for_a_minute(browser, client, tenant):
    from datetime import timedelta

    from django.db.models import F

    code = answer(approve(browser, tenant))["code"]
    waiting = AuthorizationCode.objects.across_tenants()
    waiting.update(expires_at=F("expires_at") - timedelta(seconds=61))

    assert exchange(client, code).json()["error"] == "invalid_grant"


def test_a_code_that_comes_twice_ends_the_session_it_opened(browser, client, tenant):
    code = answer(approve(browser, tenant))["code"]
    first = exchange(client, code).json()

    second = exchange(client, code)

    refreshed = client.post(
        "/oauth/token",
        {
            "grant_type": "refresh_token",
            "client_id": "guidepost-cli",
            "refresh_token": first["refresh_token"],
        },
        content_type="application/json",
    )
    jobs = client.get("/jobs", HTTP_AUTHORIZATION=f"Bearer {first['access_token']}")
    assert (second.status_code, second.json()["error"]) == (400, "invalid_grant")
    assert second.json()["code"] == "token_reuse"
    assert refreshed.json()["error"] == "invalid_grant"
    assert (jobs.status_code, jobs.json()["code"]) == (401, "token_reuse")
    assert ApiSession.objects.for_tenant(tenant.id).get().reason == "token_reuse"


@pytest.mark.django_db(transaction=True)
def test_of_six_at_once_with_one_code_exactly_one_opens_a_session_and_it_is_ended(browser, tenant):
    code = answer(approve(browser, tenant))["code"]
    together, answers = threading.Barrier(6), []

    def call():
        client = Client()
        try:
            together.wait()
            answers.append(exchange(client, code))
        finally:
            connection.close()

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    codes = sorted(a.json().get("code", "opened") for a in answers)
    assert codes == ["opened"] + ["token_reuse"] * 5
    assert ApiSession.objects.for_tenant(tenant.id).get().reason == "token_reuse"


def test_a_client_of_people_has_no_secret(browser, client, tenant):
    code = answer(approve(browser, tenant))["code"]

    response = exchange(client, code, client_secret="gps_x")

    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


def test_consent_given_by_a_member_who_is_gone_opens_nothing(browser, client, user, tenant):
    code = answer(approve(browser, tenant))["code"]
    user.memberships.all().delete()

    assert exchange(client, code).json()["error"] == "invalid_grant"
    assert not ApiSession.objects.for_tenant(tenant.id).exists()


def test_consent_given_before_the_password_was_changed_opens_nothing(browser, client, user, tenant):
    code = answer(approve(browser, tenant))["code"]
    user.set_password("another long enough password")
    user.save(update_fields=["password"])

    assert exchange(client, code).json()["error"] == "invalid_grant"
    assert not ApiSession.objects.for_tenant(tenant.id).exists()


def test_consent_given_by_a_member_who_was_gone_meanwhile_opens_nothing(
    browser, client, user, tenant
):
    code = answer(approve(browser, tenant))["code"]
    user.memberships.all().delete()
    members.add_member(tenant=tenant, user=user, role=Role.OWNER)

    assert exchange(client, code).json()["error"] == "invalid_grant"
    assert not ApiSession.objects.for_tenant(tenant.id).exists()
