"""Guessing is slow for strangers, from one address or many; and never costs the owner a day."""

import re

import pytest
from django.core.cache import cache
from django.test import Client, RequestFactory, override_settings

from accounts import attempts
from accounts.models import User
from accounts.services import enrol_totp, register_person
from tests.accounts.acts import PASSWORD, SECRET, give_code, give_password, is_in, sign_in
from tests.config.caches import NOWHERE

pytestmark = pytest.mark.django_db
ANN = "ann@example.com"
ALLOWED = 10  # "10/15m"


@pytest.fixture(autouse=True)
def _in_one_window(monkeypatch):
    """Windows begin at fixed times: no test may happen to cross the edge of one."""
    monkeypatch.setattr("django_ratelimit.core.time.time", lambda: 1_800_000_000.0)


@pytest.fixture
def ann():
    return register_person(email=ANN, name="Ann", password=PASSWORD)


def guess(client, times, email=ANN, **extra):
    """The statuses of so many wrong passwords."""
    return [
        give_password(client, email, "wrong password", **extra).status_code for _ in range(times)
    ]


def from_address(number):
    return {"REMOTE_ADDR": f"192.0.2.{number}"}


def test_an_account_is_tried_ten_times_from_however_many_addresses(ann):
    statuses = [guess(Client(), 1, **from_address(n))[0] for n in range(ALLOWED + 2)]

    assert statuses == [200] * ALLOWED + [429] * 2


def test_the_right_password_is_refused_just_the_same(ann, client):
    guess(client, ALLOWED)

    wrong = give_password(client, ANN, "wrong password")
    right = give_password(client, ANN)

    assert (right.status_code, right.headers["Retry-After"]) == (429, wrong.headers["Retry-After"])
    assert right.text.partition("request")[0] == wrong.text.partition("request")[0]
    assert re.search(r"Wait \d+ minutes?, then try again", right.text)
    assert not is_in(client)


def test_an_account_that_does_not_exist_is_limited_the_same(ann):
    known, unknown = (guess(Client(), ALLOWED + 1, email) for email in (ANN, "nobody@example.com"))

    assert known == unknown == [200] * ALLOWED + [429]


def test_other_accounts_are_not_touched(ann, client):
    guess(client, ALLOWED + 1)

    assert guess(client, 1, "bob@example.com") == [200]


def test_an_address_is_limited_over_all_accounts_it_tries(client):
    statuses = [guess(client, 1, f"person{n}@example.com")[0] for n in range(32)]

    assert statuses == [200] * 30 + [429] * 2


def test_a_browser_in_which_the_owner_was_is_not_locked_out_by_strangers(ann):
    at_home = Client()
    give_password(at_home, ANN)
    at_home.post("/accounts/logout/")

    for number in range(15):
        guess(Client(), 1, **from_address(number))

    assert give_password(Client(), ANN, REMOTE_ADDR="192.0.2.99").status_code == 429
    assert give_password(at_home, ANN).status_code == 302
    assert is_in(at_home)


def test_such_a_browser_has_no_more_tries_than_others(ann):
    at_home = Client()
    give_password(at_home, ANN)
    at_home.post("/accounts/logout/")

    assert guess(at_home, ALLOWED + 1) == [200] * ALLOWED + [429]


def test_whoever_has_the_mailbox_gets_in_whatever_strangers_do(
    ann, mailoutbox, django_capture_on_commit_callbacks
):
    for number in range(15):
        guess(Client(), 1, **from_address(number))
    somewhere = Client()
    with django_capture_on_commit_callbacks(execute=True):
        somewhere.post("/accounts/password/reset/", {"email": ANN})
    link = next(word for word in mailoutbox[0].body.split() if "/key/" in word)

    form = somewhere.get(link, follow=True).request["PATH_INFO"]
    somewhere.post(form, {"password1": "four words walk in", "password2": "four words walk in"})

    assert give_password(somewhere, ANN, "four words walk in").status_code == 302


def test_a_made_up_device_is_none(ann):
    browser = Client()
    for value in ("x", "", "a:b:c"):
        browser.cookies[attempts.DEVICE_COOKIE] = value
        assert guess(browser, 1) == [200]
    guess(browser, ALLOWED - 3)

    browser.cookies[attempts.DEVICE_COOKIE] = "another"

    assert guess(browser, 1) == [429]


def test_a_device_of_one_account_is_a_stranger_to_another(ann):
    browser = Client()
    give_password(browser, ANN)
    request = RequestFactory().post("/")
    request.COOKIES = {name: morsel.value for name, morsel in browser.cookies.items()}

    assert attempts.device_of(request, "ANN@example.com ") is not None
    assert attempts.device_of(request, "bob@example.com") is None


def test_codes_are_guessed_ten_times_and_a_new_password_begins_anew(ann):
    enrol_totp(ann, SECRET)
    thief = Client()
    give_password(thief, ANN)

    statuses = [give_code(thief, f"{n:06}").status_code for n in range(ALLOWED + 1)]
    assert statuses == [200] * ALLOWED + [429]
    assert give_code(thief).status_code == 429

    owner = User.objects.get()
    owner.set_password("four words walk in")
    owner.save()
    home = Client()
    give_password(home, ANN, "four words walk in")
    give_code(home)
    assert is_in(home)


def test_who_sits_at_an_open_session_cannot_try_passwords_for_ever(ann, client):
    sign_in(client, ann, seconds_ago=900)

    statuses = [
        client.post("/accounts/reauthenticate/", {"password": f"wrong {n}"}).status_code
        for n in range(ALLOWED + 1)
    ]

    assert statuses == [200] * ALLOWED + [429]


def test_mail_is_not_sent_without_end(client, mailoutbox, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        answers = [
            client.post("/accounts/password/reset/", {"email": ANN}).status_code for _ in range(7)
        ]

    assert answers == [302] * 5 + [429] * 2
    assert len(mailoutbox) == 5


@override_settings(CACHES=NOWHERE)
@pytest.mark.parametrize(
    "path", ["/accounts/login/", "/accounts/password/reset/", "/accounts/2fa/authenticate/"]
)
def test_without_redis_nobody_is_let_in_and_nobody_gets_an_error(ann, client, path):
    form = {"login": ANN, "email": ANN, "password": PASSWORD, "code": "000000"}

    response = client.post(path, form)

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert "cannot answer just now" in response.text
    assert client.get("/accounts/login/").status_code == 200  # reading costs no attempt


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP", "CF-Connecting-IP"]
)
def test_what_a_stranger_says_of_its_address_is_not_believed(client, header):
    statuses = [
        guess(client, 1, f"person{n}@example.com", headers={header: f"198.51.100.{n}"})[0]
        for n in range(31)
    ]

    assert statuses[-1] == 429


@override_settings(TRUSTED_PROXIES=1)
def test_behind_a_proxy_the_address_is_the_one_that_it_added():
    request = RequestFactory().get("/", headers={"X-Forwarded-For": "10.9.9.9, 198.51.100.7"})

    assert attempts.address(request) == "198.51.100.7"


@pytest.mark.parametrize(
    ("remote", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
    ],
)
def test_an_address_is_counted_as_what_one_customer_has(remote, counted):
    assert attempts.address(RequestFactory().get("/", REMOTE_ADDR=remote)) == counted


def test_the_key_of_a_counter_holds_no_address_of_a_person(ann, client):
    guess(client, 1)

    keys = cache._cache.get_client().keys("*")

    assert keys
    assert not any(b"ann@" in key for key in keys)
