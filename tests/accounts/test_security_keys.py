"""A security key as second factor, with one in software."""

import json

import pytest
from allauth.mfa.models import Authenticator
from django.core.serializers.json import DjangoJSONEncoder
from django.test import Client

from accounts.services import register_person
from tests.accounts.acts import PASSWORD, give_password, is_in, sign_in
from tests.accounts.security_key import SecurityKey

pytestmark = pytest.mark.django_db
ANN = "ann@example.com"
ORIGIN = "https://guidepost.example"
SIGN_IN = "/accounts/2fa/authenticate/"


@pytest.fixture(autouse=True)
def _public(settings):
    """Keys are bound to the public name, whatever the request says."""
    settings.HTTPS = True
    settings.PUBLIC_URL = ORIGIN
    settings.MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = False


@pytest.fixture
def ann():
    return register_person(email=ANN, name="Ann", password=PASSWORD)


def add(user, key):
    """A browser in which the key was added; None of it counts as a second factor yet."""
    browser = sign_in(Client(), user, mfa=False)
    browser.post("/accounts/reauthenticate/", {"password": PASSWORD})
    options = browser.get("/accounts/2fa/webauthn/add/").context["js_data"]["creation_options"]
    form = {"name": "Blue key", "credential": key.create(_plain(options))}
    return browser.post("/accounts/2fa/webauthn/add/", form)


def _plain(options):
    """As the page carries them to the browser."""
    return json.loads(json.dumps(options, cls=DjangoJSONEncoder))


def ask(browser):
    give_password(browser, ANN)
    return _plain(browser.get(SIGN_IN).context["js_data"]["request_options"])


def test_a_key_is_added_and_opens_the_account_after_the_password(ann):
    key = SecurityKey(ORIGIN, "guidepost.example")
    assert add(ann, key).status_code == 302
    browser = Client()

    options = ask(browser)
    assert not is_in(browser)
    browser.post(SIGN_IN, {"credential": key.get(options)})

    assert is_in(browser)


def test_a_key_of_another_site_is_not_taken(ann):
    add(ann, SecurityKey("https://evil.example", "evil.example"))
    add(ann, SecurityKey("https://evil.example", "guidepost.example"))

    assert not Authenticator.objects.filter(type="webauthn").exists()


def test_an_answer_given_to_another_site_opens_nothing(ann):
    key = SecurityKey(ORIGIN, "guidepost.example")
    add(ann, key)
    browser = Client()
    options = ask(browser)

    key.origin = "https://guidepost.example.evil.example"
    browser.post(SIGN_IN, {"credential": key.get(options)})

    assert not is_in(browser)


def test_an_answer_works_once_and_only_to_its_question(ann):
    key = SecurityKey(ORIGIN, "guidepost.example")
    add(ann, key)
    first, second = Client(), Client()
    answer = key.get(ask(first))
    ask(second)

    second.post(SIGN_IN, {"credential": answer})
    first.post(SIGN_IN, {"credential": answer})

    assert (is_in(first), is_in(second)) == (True, False)


def test_another_key_opens_nothing(ann):
    key = SecurityKey(ORIGIN, "guidepost.example")
    add(ann, key)
    other = SecurityKey(ORIGIN, "guidepost.example")
    other.id = key.id
    browser = Client()

    browser.post(SIGN_IN, {"credential": other.get(ask(browser))})

    assert not is_in(browser)


NONSENSE = [
    "",
    "{}",
    "[]",
    "null",
    "x",
    "1",
    '{"type": 1}',
    '{"id": "AA"}',
    '{"id": "AA", "rawId": "AA", "type": "public-key", "response": {}}',
    '{"id": "AA", "rawId": "AA", "type": "public-key", "response": []}',
    '{"id": "AA", "rawId": "AA", "type": "public-key", "response": {"clientDataJSON": "AA",'
    ' "attestationObject": "AA", "authenticatorData": "AA", "signature": "AA"}}',
    '{"id": "AA", "rawId": "AA", "type": "public-key", "response": {"clientDataJSON": "e30",'
    ' "attestationObject": "oA", "authenticatorData": "", "signature": ""}}',
    pytest.param("[" * 25_000 + "]" * 25_000, id="lists in lists"),  # a form has 64 KB at most
]


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_is_refused_and_no_error(ann, nonsense):
    add(ann, SecurityKey(ORIGIN, "guidepost.example"))
    browser = Client(raise_request_exception=False)
    ask(browser)
    adding = sign_in(Client(raise_request_exception=False), ann, mfa=False)
    adding.post("/accounts/reauthenticate/", {"password": PASSWORD})
    adding.get("/accounts/2fa/webauthn/add/")

    answers = [
        browser.post(SIGN_IN, {"credential": nonsense}).status_code,
        adding.post(
            "/accounts/2fa/webauthn/add/", {"name": "x", "credential": nonsense}
        ).status_code,
        adding.post("/accounts/2fa/webauthn/reauthenticate/", {"credential": nonsense}).status_code,
    ]

    assert max(answers) < 400
    assert not is_in(browser)
    assert Authenticator.objects.filter(type="webauthn").count() == 1


def test_what_cannot_be_stored_is_refused(ann):
    class Odd(SecurityKey):
        def create(self, options):
            return super().create(options)[:-1] + ', "extra": "\\u0000"}'

    assert add(ann, Odd(ORIGIN, "guidepost.example")).status_code == 200
    assert not Authenticator.objects.filter(type="webauthn").exists()
