"""A person's own pages: whom they act for, and the programs that act in their name."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tenants.models import AuditEntry, OAuthClient, Role
from tenants.services import members, standing
from tests.accounts.acts import sign_in
from tests.conftest import with_token
from tests.factories import ApiSessionFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db
SESSIONS = "/accounts/sessions/"


def browser_of(user):
    return sign_in(Client(), user)


def text(page):
    return " ".join(re.sub(r"<[^>]*>", " ", page.text).split())


def test_home_says_for_whom_one_acts_and_what_to_do_next():
    user = UserFactory()
    for name, role in (("North", Role.OWNER), ("South", Role.VIEWER), ("Shut", Role.OWNER)):
        tenant = TenantFactory(name=name, slug=name.lower())
        members.add_member(tenant=tenant, user=user, role=role)
    standing.set_active(tenant.id, active=False)

    page = browser_of(user).get("/accounts/")

    said = text(page)
    assert "North Owner Submit jobs" in said and "South Viewer Read jobs" in said
    assert 'href="/docs"' in page.text and 'href="/docs/errors"' in page.text
    assert "The console shows jobs and their checklists. API keys are made there" in said
    assert 'href="/console/north/"' in page.text and 'href="/console/south/"' in page.text
    assert "Shut Owner , but it is suspended" in said and "/console/shut/" not in page.text


def test_home_asks_as_often_for_many_tenants_as_for_one(django_assert_num_queries):
    one, many = UserFactory(), UserFactory()
    for user, count in ((one, 1), (many, 4)):
        for _ in range(count):
            members.add_member(tenant=TenantFactory(), user=user, role=Role.OWNER)
    browser = browser_of(one)
    with CaptureQueriesContext(connection) as asked:
        browser.get("/accounts/")
    browser = browser_of(many)

    with django_assert_num_queries(len(asked)):
        browser.get("/accounts/")


def test_who_makes_no_keys_is_told_who_does():
    user = UserFactory()
    members.add_member(tenant=TenantFactory(), user=user, role=Role.MEMBER)

    said = text(browser_of(user).get("/accounts/"))

    assert "is made by an owner or admin" in said
    assert "API keys are made there" not in said


def test_who_acts_for_nobody_is_told_how_that_comes_about():
    assert "invites you" in text(browser_of(UserFactory()).get("/accounts/"))


def test_programs_that_act_in_ones_name_are_listed_with_their_tenants():
    user = UserFactory()
    OAuthClient.objects.create(
        client_id="gpa_x", name="Ward <b>", redirect_uris=["http://127.0.0.1/callback"]
    )
    ApiSessionFactory(user=user, tenant=TenantFactory(name="North"))
    other = ApiSessionFactory(user=user, tenant=TenantFactory(name="South")).session
    type(other).objects.across_tenants().filter(pk=other.pk).update(client_id="gpa_x")
    somebody = ApiSessionFactory(tenant=TenantFactory(name="Elsewhere"))

    page = browser_of(user).get(SESSIONS)

    said = text(page)
    then = r"(now|a second ago|\d+ seconds ago)"
    assert re.search(rf"Guidepost CLI guidepost-cli North {then} {then} 192\.0\.2\.1", said)
    assert "Ward &lt;b&gt; gpa_x South" in said
    assert "Elsewhere" not in said
    assert str(somebody.session.id) not in page.text


def test_one_of_them_is_ended_and_ending_it_again_changes_nothing():
    opened = ApiSessionFactory()
    browser = browser_of(opened.session.user)
    end = reverse("session-end", args=[opened.session.id])
    assert end in browser.get(SESSIONS).text
    assert browser.get(end).status_code == 405

    first, second = (browser.post(end) for _ in range(2))

    assert (first.headers["Location"], second.headers["Location"]) == (SESSIONS, SESSIONS)
    assert end not in browser.get(SESSIONS).text
    assert with_token(opened.access).get("/me").status_code == 401
    entry = AuditEntry.objects.across_tenants().get(action="session.ended")
    assert (entry.tenant_id, entry.actor, entry.after) == (
        opened.session.tenant_id,
        opened.session.user.email,
        {"reason": "by_owner"},
    )


def test_nobody_ends_what_acts_for_somebody_else():
    opened, end = ApiSessionFactory(), "session-end"
    browser = browser_of(UserFactory())

    refused = browser.post(reverse(end, args=[opened.session.id]))
    stranger = Client().post(reverse(end, args=[opened.session.id]))

    assert refused.status_code == 404
    assert stranger.headers["Location"].startswith("/accounts/login/")
    assert with_token(opened.access).get("/me").status_code == 200


def test_another_site_ends_nothing():
    opened = ApiSessionFactory()
    browser = sign_in(Client(enforce_csrf_checks=True), opened.session.user)

    assert browser.post(reverse("session-end", args=[opened.session.id])).status_code == 403
    assert with_token(opened.access).get("/me").status_code == 200


def test_what_a_new_password_has_ended_is_not_listed():
    opened = ApiSessionFactory()
    user = opened.session.user
    user.set_password("another four words")
    user.save()

    assert "None." in text(browser_of(user).get(SESSIONS))


def test_staff_see_which_programs_act_for_a_person(staff_client):
    opened = ApiSessionFactory(tenant=TenantFactory(slug="north"))

    page = staff_client("viewer").get(reverse("admin:person", args=[opened.session.user.public_id]))

    assert "Guidepost CLI for north , since" in text(page)
