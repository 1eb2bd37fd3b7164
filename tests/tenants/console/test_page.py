"""Who may open a page of the console, and that a form of one does its act once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client

from tenants import idempotency, throttling
from tenants.console.page import PAGES
from tenants.idempotency import IdempotencyKeyInUse
from tenants.models import ApiKey, AuditEntry, Membership, Role, RouteClass
from tenants.services import standing
from tests.accounts.acts import sign_in
from tests.factories import StaffFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db
FORM = {"name": "Ward 7", "scopes": ["jobs:read"], "lasts": "30"}


def keys_of(tenant):
    return ApiKey.objects.for_tenant(tenant.id)


# --- Who gets in --------------------------------------------------------------------------------


def test_whoever_is_not_signed_in_is_sent_to_the_login_and_back(console):
    answer = Client().get(console.url("keys"))

    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/accounts/login/?next={console.url('keys')}"


def test_a_tenant_of_others_is_answered_like_none(console):
    theirs = console.browser.get(console.url("keys", slug=TenantFactory().slug))
    nobodys = console.browser.get(console.url("keys", slug="nobody"))

    assert (theirs.status_code, nobodys.status_code) == (404, 404)
    assert theirs.text.replace(theirs["X-Request-ID"], "") == nobodys.text.replace(
        nobodys["X-Request-ID"], ""
    )


def test_a_form_for_a_tenant_of_others_does_nothing(console):
    theirs = TenantFactory()

    answer = console.browser.post(
        console.url("key-new", slug=theirs.slug), {"once": uuid4(), **FORM}
    )

    assert answer.status_code == 404
    assert not keys_of(theirs).exists()


def test_somebody_who_has_left_and_a_suspended_tenant_see_nothing(console, tenant):
    assert console.get("keys").status_code == 200

    standing.set_active(tenant.id, active=False)
    assert console.get("keys").status_code == 404
    standing.set_active(tenant.id, active=True)
    Membership.objects.for_tenant(tenant.id).delete()
    assert console.get("keys").status_code == 404


def test_without_the_scope_it_is_said_whom_to_ask_and_kept_in_the_audit_log(tenant, console_for):
    console = console_for(tenant, Role.VIEWER)

    answer = console.get("keys")

    assert answer.status_code == 403
    assert "keys:manage (Make, rotate and revoke API keys)" in answer.text
    assert "ask an owner or admin" in answer.text
    entry = AuditEntry.objects.for_tenant(tenant.id).get(action="access.refused")
    assert (entry.actor, entry.object_id) == (console.user.email, "GET /console/<slug:slug>/keys/")


def test_the_menu_names_what_one_may_open_and_no_more(tenant, console_for):
    for role, shown in ((Role.OWNER, True), (Role.VIEWER, False)):
        console = console_for(tenant, role)
        assert (f'href="{console.url("keys")}"' in console.get("overview").text) is shown


def test_what_opens_for_nobody_else_is_for_members_of_some_role():
    """A page without a scope opens for every member: those are named here."""
    assert {page.name for page in PAGES if page.view.scope is None} == {"overview"}


def test_requests_count_against_the_tenants_own_limit(tenant, console, monkeypatch):
    counted = []
    monkeypatch.setattr(throttling, "admit", lambda *asked: counted.append(asked))

    console.get("keys")
    console.send("key-new", **FORM)

    kinds = [(tenant_id, kind) for tenant_id, _, _, kind in counted]
    assert kinds == [(tenant.id, RouteClass.READ), (tenant.id, RouteClass.MANAGE)]


def test_a_tenant_that_asks_too_much_reads_when_to_come_back(tenant, console):
    tenant.plan.reads_per_minute = 1
    tenant.plan.save()

    answers = [console.get("keys") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 429]
    assert int(answers[1]["Retry-After"]) > 0 and "Try again in" in answers[1].text


# --- Home ---------------------------------------------------------------------------------------


def test_home_leads_to_the_only_console_and_asks_which_of_several(console, console_for):
    alone = console.browser.get("/console/")
    assert alone.headers["Location"] == console.url("overview")

    other = TenantFactory(name="North & South")
    Membership.objects.create(tenant=other, user=console.user, role=Role.VIEWER)
    several = console.browser.get("/console/")
    assert "North &amp; South" in several.text and console.url("overview") in several.text


def test_home_leads_whoever_acts_for_nobody_to_their_account_and_staff_to_theirs():
    person = sign_in(Client(), UserFactory()).get("/console/")
    staff = sign_in(Client(), StaffFactory()).get("/console/")

    assert (person.headers["Location"], staff.headers["Location"]) == ("/accounts/", "/admin/")


# --- Forms --------------------------------------------------------------------------------------


def test_a_form_asks_for_a_fresh_sign_in_and_keeps_what_was_typed(console, tenant):
    sign_in(console.browser, console.user, seconds_ago=301)

    sent = console.browser.post(console.url("key-new"), {"once": uuid4(), **FORM})
    assert sent.headers["Location"].startswith("/accounts/reauthenticate/?next=%2Fconsole")
    assert not keys_of(tenant).exists()

    sign_in(console.browser, console.user)
    assert 'value="Ward 7"' in console.get("key-new").text


def test_a_form_that_is_sent_twice_is_done_once(console, tenant):
    once = uuid4()

    first = console.send("key-new", once=once, **FORM)
    second = console.send("key-new", once=once, **FORM)

    assert "only time" in first.text
    assert "sent already" in second.text and "gps_" not in second.text
    assert keys_of(tenant).count() == 1


def test_whoever_sends_a_form_again_too_soon_is_not_told_that_it_is_done(console, monkeypatch):
    def is_first(*asked):
        raise IdempotencyKeyInUse

    monkeypatch.setattr(idempotency, "is_first", is_first)
    answer = console.send("key-new", **FORM)

    assert "not done yet" in answer.text and "is done once" not in answer.text


def test_a_secret_that_a_second_click_covered_is_said_to_be_gone(console, tenant):
    once = uuid4()

    console.send("key-new", once=once, **FORM)
    covered = console.send("key-new", once=once, **FORM)
    key = keys_of(tenant).get()
    console.send("key-rotate", key.client_id, once=once, overlap_minutes=0)
    again = console.send("key-rotate", key.client_id, once=once, overlap_minutes=0)

    for answer in (covered, again):
        assert "give the key a new one" in answer.text and "gps_" not in answer.text


def test_a_form_that_is_changed_and_sent_again_is_another_act(console, tenant):
    """As of a browser whose back button shows the form as it was."""
    once = uuid4()

    for name in ("Ward 7", "Ward 8", "Ward 8"):
        console.send("key-new", once=once, **FORM | {"name": name})

    assert sorted(keys_of(tenant).values_list("name", flat=True)) == ["Ward 7", "Ward 8"]


def test_a_form_that_was_refused_can_be_sent_again(console, tenant):
    once = uuid4()

    refused = console.send("key-new", once=once, **FORM | {"allowed_networks": "nowhere"})
    done = console.send("key-new", once=once, **FORM)

    assert refused.status_code == 422 and not done.redirect_chain
    assert keys_of(tenant).count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_one_moment_do_it_once(console, tenant):
    once, both = uuid4(), Barrier(2)
    cookies = console.browser.cookies

    def click(_):
        browser = Client()
        browser.cookies = cookies
        both.wait()
        try:
            return browser.post(console.url("key-new"), {"once": once, **FORM}).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(click, range(2)))

    assert answers == [200, 302]
    assert keys_of(tenant).count() == 1


def test_what_was_typed_wrong_is_said_beside_its_field_and_nothing_is_done(console, tenant):
    answer = console.send("key-new", **FORM | {"allowed_networks": "192.0.2.1/24"})

    assert answer.status_code == 422
    assert 'class="errorlist"' in answer.text
    assert not keys_of(tenant).exists()


def test_hostile_addresses_are_refused_without_a_trace(console):
    assert console.get("keys", before="gpc_\0").status_code == 400
    assert console.get("keys", before="gpc_of_nobody").status_code == 404
