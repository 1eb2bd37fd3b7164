"""Staff come in with a second factor, by one door, and show again that it is they."""

import re

import pytest
from django.contrib import admin
from django.contrib.sessions.models import Session
from django.core import mail
from django.test import Client

from accounts.models import User
from accounts.services import enrol_totp, register_person
from tests.accounts.acts import PASSWORD, SECRET, give_code, give_password, sign_in
from tests.factories import JobFactory, UserFactory
from tests.jobs.acts import failed

pytestmark = pytest.mark.django_db
STAFF = "staff@example.com"
PAGES = ["/admin/", "/admin/jobs/job/", "/admin/people/", "/admin/mfa/authenticator/"]


@pytest.fixture
def staff():
    return register_person(email=STAFF, name="Staff", password=PASSWORD, staff_role="administrator")


@pytest.fixture
def enrolled(staff):
    enrol_totp(staff, SECRET)
    return staff


def to(response):
    return response.headers.get("Location", "")


@pytest.mark.parametrize("page", PAGES)
def test_a_stranger_is_sent_to_the_door_of_everybody(client, page):
    response = client.get(page, follow=True)

    assert response.request["PATH_INFO"] == "/accounts/login/"
    assert "id_username" not in response.text


@pytest.mark.parametrize("page", PAGES)
def test_without_a_second_factor_staff_are_sent_to_set_one_up(client, staff, page):
    give_password(client, STAFF)

    response = client.get(page, follow=True)

    assert response.request["PATH_INFO"] == "/accounts/2fa/"
    assert "Staff need a second factor" in response.text


@pytest.mark.parametrize("page", PAGES)
def test_a_session_from_before_the_second_factor_has_to_show_it(client, staff, page):
    sign_in(client, staff, mfa=False)
    enrol_totp(staff, SECRET)

    response = client.get(page, follow=True)

    assert response.request["PATH_INFO"] == "/accounts/2fa/reauthenticate/"


def test_the_whole_way_in(client, enrolled):
    client.get("/admin/jobs/job/", follow=True)
    client.post(
        "/accounts/login/?next=/admin/jobs/job/",
        {"login": STAFF, "password": PASSWORD, "next": "/admin/jobs/job/"},
    )

    assert to(client.get("/admin/")) != ""  # halfway is not in
    assert to(give_code(client)) == "/admin/jobs/job/"
    assert client.get("/admin/jobs/job/").status_code == 200


def test_people_who_are_not_staff_are_refused(client):
    person = UserFactory()
    sign_in(client, person)

    response = client.get("/admin/", follow=True)

    assert response.status_code == 403
    assert f"You are signed in as {person.email}, who is not staff." in response.text
    assert 'href="/accounts/"' in response.text


def test_djangos_own_form_takes_no_password(enrolled):
    browser = Client()

    browser.post("/admin/login/", {"username": STAFF, "password": PASSWORD, "next": "/admin/"})

    assert to(browser.get("/admin/")).startswith("/admin/login/")
    assert not Session.objects.exists()


def test_a_password_reset_is_no_way_around(client, enrolled, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/accounts/password/reset/", {"email": STAFF})
    link = re.search(r"http\S+/key/\S+", mail.outbox[0].body).group()
    form = client.get(link, follow=True).request["PATH_INFO"]
    client.post(form, {"password1": "four words walk in", "password2": "four words walk in"})

    give_password(client, STAFF, "four words walk in")

    assert client.get("/admin/", follow=True).request["PATH_INFO"] == "/accounts/2fa/authenticate/"


def test_a_token_opens_no_page(client_for, tenant):
    assert client_for(tenant).get("/admin/").status_code == 302


def test_staff_who_are_disabled_or_no_longer_staff_are_out_with_the_next_request(client, enrolled):
    sign_in(client, enrolled)
    assert client.get("/admin/").status_code == 200

    User.objects.update(staff_role="")
    assert client.get("/admin/").status_code == 302

    User.objects.update(staff_role="viewer", is_active=False)
    assert client.get("/admin/", follow=True).request["PATH_INFO"] == "/accounts/login/"


def test_whoever_came_in_long_ago_shows_again_who_they_are_before_changing_anything(
    client, enrolled, tenant
):
    job = failed(JobFactory(tenant=tenant))
    retry, why = f"/admin/jobs/job/{job.event_id}/retry/", {"reason": "mended"}
    sign_in(client, enrolled, seconds_ago=301)
    assert client.get("/admin/jobs/job/").status_code == 200

    stopped = client.post(retry, why)

    job.refresh_from_db()
    assert (
        to(stopped)
        == f"/accounts/reauthenticate/?next=%2Fadmin%2Fjobs%2Fjob%2F{job.event_id}%2Fretry%2F"
    )
    assert job.status == "FAILED"
    asked = client.get(to(stopped))
    assert "Nothing is changed yet." in asked.text
    again = client.post(to(stopped), {"password": PASSWORD, "next": retry})
    assert to(again) == retry
    form = client.get(retry)
    assert 'value="mended"' in form.text  # once: then the form is a new one
    assert "mended" not in client.get(retry).text
    client.post(retry, why)
    job.refresh_from_db()
    assert job.status == "PENDING"


def test_who_came_in_long_ago_is_asked_before_they_type(client, enrolled, tenant):
    job = failed(JobFactory(tenant=tenant))
    retry = f"/admin/jobs/job/{job.event_id}/retry/"
    sign_in(client, enrolled, seconds_ago=301)

    stopped = client.get(f"{retry}?from=here")

    assert to(stopped) == (
        "/accounts/reauthenticate/?next=%2Fadmin%2Fjobs%2Fjob%2F"
        f"{job.event_id}%2Fretry%2F%3Ffrom%3Dhere"
    )
    assert "show first that it is you" in client.get(to(stopped)).text
    client.post(to(stopped), {"password": PASSWORD, "next": retry})
    assert client.get(retry).status_code == 200


def test_who_may_not_do_it_is_not_asked_who_they_are(client, enrolled, tenant):
    User.objects.update(staff_role="viewer")
    enrolled.refresh_from_db()
    sign_in(client, enrolled, seconds_ago=301)

    assert client.get("/admin/plans/new/").status_code == 403


def test_what_was_typed_into_one_form_is_kept_for_no_other(client, enrolled, tenant):
    one, other = (f"/admin/jobs/job/{failed(JobFactory()).event_id}/retry/" for _ in range(2))
    sign_in(client, enrolled, seconds_ago=301)
    stopped = client.post(one, {"reason": "mended"})
    client.post(to(stopped), {"password": PASSWORD, "next": one})

    assert "mended" not in client.get(other).text
    assert "mended" in client.get(one).text


def test_every_page_of_the_admin_is_behind_the_same_door(enrolled):
    """Also those that Django adds: whatever `admin.site.urls` holds, except signing out and in."""
    browser = Client()
    for pattern in admin.site.get_urls():
        if not hasattr(pattern, "url_patterns") and pattern.name not in ("login", "logout"):
            path = "/admin/" + re.sub(r"<\w+:\w+>|\(.*", "1", str(pattern.pattern).lstrip("^"))
            assert browser.get(path).status_code in (302, 404), path
    assert browser.get("/admin/jsi18n/").status_code == 302


def test_secrets_of_people_are_not_in_the_admin(client, enrolled):
    sign_in(client, enrolled)
    client.get("/accounts/sessions/")
    pages = [
        "mfa/authenticator",
        "usersessions/usersession",
        "accounts/signingkey",
        "account/emailaddress",
    ]

    for page in pages:
        listed = client.get(f"/admin/{page}/")
        assert listed.status_code == 200, page
        for link in re.findall(rf"/admin/{page}/\d+/change/", listed.text)[:1]:
            one = client.get(link)
            assert one.status_code == 200
            assert "PRIVATE KEY" not in one.text and "seed" not in one.text
            assert client.session.session_key not in one.text
        assert client.get(f"/admin/{page}/add/").status_code == 403
