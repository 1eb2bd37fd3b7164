"""People sign in, stay in, are signed out; and nobody learns who has an account."""

import re

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.sessions.models import Session
from django.core import mail
from django.db import connection
from django.test import Client

from accounts.models import User
from accounts.services import enrol_totp, register_person
from config.isolation import DatabaseRole, acting_as
from tenants.models import AuditEntry
from tests.accounts.acts import (
    PASSWORD,
    SECRET,
    code_now,
    give_code,
    give_password,
    is_in,
    link_in,
    sign_in,
)

pytestmark = pytest.mark.django_db
ANN = "ann@example.com"
NEW = "four words walk into bars"


@pytest.fixture
def ann():
    return register_person(email=ANN, name="Ann", password=PASSWORD)


@pytest.fixture
def guarded(ann):
    """Ann, who has an authenticator app."""
    enrol_totp(ann, SECRET)
    return ann


@pytest.fixture
def posted(django_capture_on_commit_callbacks):
    """Does something, and returns what was mailed after the commit."""

    def run(act):
        before = len(mail.outbox)
        with django_capture_on_commit_callbacks(execute=True):
            act()
        return mail.outbox[before:]

    return run


def shown(response):
    """What a person sees, without what differs each time."""
    return re.sub(
        r'name="csrfmiddlewaretoken" value="\w+"|<code>[0-9a-f]{32}</code>', "", response.text
    )


# --- In ------------------------------------------------------------------------------------------


def test_a_password_opens_an_account_without_a_second_factor(client, ann):
    assert give_password(client, "ANN@example.com").headers["Location"] == "/console/"

    assert "Set up a second factor" in client.get("/accounts/").text


def test_with_a_second_factor_the_password_alone_opens_nothing(client, guarded):
    response = give_password(client, ANN)

    assert response.headers["Location"] == "/accounts/2fa/authenticate/"
    assert not is_in(client)
    assert give_code(client).headers["Location"] == "/console/"
    assert is_in(client)


def test_a_wrong_code_opens_nothing_and_is_recorded(client, guarded):
    give_password(client, ANN)

    assert "Incorrect code" in give_code(client, "000000").text
    assert not is_in(client)
    entry = AuditEntry.objects.across_tenants().get(action="session.refused")
    assert (entry.actor, entry.outcome) == (ANN, "refused")


def test_a_code_works_once(client, guarded):
    code = code_now()
    give_password(client, ANN)
    give_code(client, code)

    other = Client()
    give_password(other, ANN)
    give_code(other, code)

    assert (is_in(client), is_in(other)) == (True, False)


def test_a_recovery_code_works_once(client, guarded):
    codes = Authenticator.objects.get(user=guarded, type="recovery_codes").wrap()
    code = codes.get_unused_codes()[0]

    for browser, opened in ((client, True), (Client(), False)):
        give_password(browser, ANN)
        give_code(browser, code)
        assert is_in(browser) is opened


def test_a_session_that_was_there_before_is_not_the_one_that_is_signed_in(client, guarded):
    client.get("/accounts/login/")
    give_password(client, ANN)
    before = client.cookies["session"].value

    give_code(client)

    after = client.cookies["session"].value
    assert before != after
    assert not Session.objects.filter(session_key=before).exists()


def test_signing_out_ends_the_session_at_the_server(client, ann):
    give_password(client, ANN)
    stolen = Client()
    stolen.cookies["session"] = client.cookies["session"].value
    assert is_in(stolen)

    assert client.get("/accounts/logout/").status_code == 200
    assert is_in(client)
    client.post("/accounts/logout/")

    assert (is_in(client), is_in(stolen)) == (False, False)


def test_a_disabled_person_is_out_with_the_next_request(client, ann):
    give_password(client, ANN)

    User.objects.update(is_active=False)

    assert not is_in(client)
    assert not is_in(client) and give_password(client, ANN).headers["Location"].endswith(
        "inactive/"
    )


def test_signing_in_and_out_is_in_the_audit_log(client, ann):
    give_password(client, ANN)
    client.post("/accounts/logout/")

    entries = AuditEntry.objects.across_tenants().order_by("id")
    assert list(entries.values_list("action", "actor", "actor_kind", "address", "tenant_id")) == [
        ("session.started", ANN, "person", "127.0.0.1", None),
        ("session.ended", ANN, "person", "127.0.0.1", None),
    ]


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "javascript:alert(1)"]
)
def test_nobody_is_sent_elsewhere_after_signing_in(client, ann, target):
    form = {"login": ANN, "password": PASSWORD, "next": target}

    assert client.post("/accounts/login/", form).headers["Location"] == "/console/"


# --- Sessions ------------------------------------------------------------------------------------


def test_sessions_are_listed_and_the_others_ended(ann):
    here, there = Client(), Client(headers={"User-Agent": "Phone <b>"})
    give_password(here, ANN)
    give_password(there, ANN)

    page = here.get("/accounts/sessions/").text
    here.post("/accounts/sessions/")

    assert ("Phone &lt;b&gt;" in page, "this one" in page) == (True, True)
    assert (is_in(here), is_in(there)) == (True, False)


def test_a_new_password_ends_the_other_sessions_and_is_told_by_mail(ann, posted):
    here, there = Client(), Client()
    give_password(here, ANN)
    give_password(there, ANN)
    form = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}

    (told,) = posted(lambda: here.post("/accounts/password/change/", form))

    assert (is_in(here), is_in(there)) == (True, False)
    assert "Your password has been changed" in told.body
    assert give_password(Client(), ANN).status_code == 200  # the old one is no good


def test_the_old_password_is_needed_for_a_new_one(client, ann):
    give_password(client, ANN)

    form = {"oldpassword": "wrong", "password1": NEW, "password2": NEW}
    client.post("/accounts/password/change/", form)

    assert is_in(client) and User.objects.get().check_password(PASSWORD)


# --- Forgotten -----------------------------------------------------------------------------------


def ask_for_reset(client, email=ANN, **extra):
    return client.post("/accounts/password/reset/", {"email": email}, **extra)


def set_by(client, link):
    form = client.get(link, follow=True)
    return client.post(form.request["PATH_INFO"], {"password1": NEW, "password2": NEW})


def test_a_link_by_mail_sets_a_new_password_once_and_ends_every_session(
    client, ann, posted, settings
):
    give_password(client, ANN)
    (sent,) = posted(lambda: ask_for_reset(Client()))
    link = link_in(sent)

    assert link.startswith(f"{settings.PUBLIC_URL}/accounts/password/reset/key/")
    assert set_by(Client(), link).status_code == 302
    assert not is_in(client)
    assert "already been used" in Client().get(link, follow=True).text
    assert give_password(Client(), ANN, NEW).status_code == 302


def test_a_reset_signs_nobody_in_and_asks_for_the_second_factor_after(guarded, posted):
    (sent,) = posted(lambda: ask_for_reset(Client()))
    browser = Client()

    set_by(browser, link_in(sent))

    assert not is_in(browser)
    assert give_password(browser, ANN, NEW).headers["Location"] == "/accounts/2fa/authenticate/"
    assert not is_in(browser)


def test_the_link_leads_to_us_whatever_the_request_calls_us(client, ann, posted, settings):
    settings.ALLOWED_HOSTS = ["testserver", "other.example"]
    said = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}

    for email in (ANN, "nobody@example.com"):
        (sent,) = posted(
            lambda e=email: ask_for_reset(client, e, HTTP_HOST="other.example:81", headers=said)
        )
        links = re.findall(r"https?://\S+", sent.body + sent.subject)
        assert links and all(link.startswith(settings.PUBLIC_URL) for link in links)
        assert "evil.example" not in sent.body and "other.example" not in sent.body


# --- Nobody learns who has an account ------------------------------------------------------------


@pytest.fixture
def hashed(monkeypatch):
    """How often a password was hashed."""
    calls = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(MD5PasswordHasher, "encode", lambda *args: calls.append(1) or encode(*args))
    return calls


def test_signing_in_answers_the_same_and_hashes_once_whoever_is_asked_for(client, ann, hashed):
    register_person(email="gone@example.com", name="", password=PASSWORD)
    User.objects.filter(email="gone@example.com").update(is_active=False)
    hashed.clear()
    answers = []

    for email in (ANN, "nobody@example.com", "gone@example.com"):
        response = give_password(client, email, "wrong password")
        answers.append((response.status_code, shown(response).replace(email, ""), len(hashed)))
        hashed.clear()

    assert answers[0] == answers[1] == answers[2]
    assert answers[0][2] == 1


def test_a_reset_answers_and_mails_the_same_whoever_is_asked_for(client, ann, posted):
    answers = []

    for email in (ANN, "nobody@example.com"):
        (sent,) = posted(
            lambda e=email: answers.append(
                [(r := ask_for_reset(client, e)).status_code, r.headers["Location"]]
            )
        )
        answers[-1] += [sent.to == [email], sent.subject]

    assert answers[0] == answers[1] == [302, "/accounts/password/reset/done/", True, answers[0][3]]


def test_nobody_makes_an_account_by_themselves_whatever_the_address(client, ann):
    answers = []

    for email in (ANN, "new@example.com"):
        form = {"email": email, "password1": NEW, "password2": NEW}
        answers.append(shown(client.post("/accounts/signup/", form)))

    assert answers[0] == answers[1] == shown(client.get("/accounts/signup/"))
    assert "by invitation" in answers[0]
    assert User.objects.count() == 1


# --- Addresses -----------------------------------------------------------------------------------


def test_an_address_that_nobody_has_confirmed_opens_nothing(client, posted):
    User.objects.create_user("bob@example.com", PASSWORD)

    (sent,) = posted(lambda: give_password(client, "bob@example.com"))

    assert not is_in(client)
    link = link_in(sent)
    assert client.get(link).status_code == 200
    assert not User.objects.get().emailaddress_set.get().verified  # looking at it is not confirming
    client.post(link)
    give_password(client, "bob@example.com")
    assert is_in(client)


def test_an_address_changes_when_the_new_one_is_confirmed(client, ann, posted):
    give_password(client, ANN)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    form = {"email": "ann@new.example", "action_add": ""}

    (sent,) = posted(lambda: client.post("/accounts/email/", form))

    assert User.objects.get().email == ANN
    assert sent.to == ["ann@new.example"]
    posted(lambda: client.post(link_in(sent)))
    assert User.objects.get().email == "ann@new.example"


# --- Second factors ------------------------------------------------------------------------------


def test_a_second_factor_is_set_up_after_the_password_is_given_again(client, ann, posted):
    sign_in(client, ann, mfa=False, seconds_ago=600)

    page = client.get("/accounts/2fa/totp/activate/")
    assert page.headers["Location"].startswith("/accounts/reauthenticate/")
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    client.get("/accounts/2fa/totp/activate/")
    session = client.session
    session["mfa.totp.secret"] = SECRET
    session.save()
    (told,) = posted(lambda: client.post("/accounts/2fa/totp/activate/", {"code": code_now()}))

    kinds = set(Authenticator.objects.values_list("type", flat=True))
    assert kinds == {"totp", "recovery_codes"}
    assert told.to == [ANN]
    assert "activated" in client.get("/accounts/").text  # the message was not lost
    actions = AuditEntry.objects.across_tenants().values_list("action", flat=True)
    assert list(actions).count("second_factor.added") == 2


def test_recovery_codes_are_shown_once(client, guarded):
    sign_in(client, guarded)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    code = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()[0]

    first, second = (client.get("/accounts/2fa/recovery-codes/").text for _ in range(2))

    assert (code in first, code in second) == (True, False)


def test_secrets_of_second_factors_are_sealed_and_out_of_staffs_reach(guarded):
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(data::text, '') FROM mfa_authenticator")
        (kept,) = cursor.fetchone()

    assert SECRET not in kept
    for role in (DatabaseRole.STAFF, DatabaseRole.API, DatabaseRole.WORKER):
        with pytest.raises(Exception, match="denied"), acting_as(role):
            list(Authenticator.objects.values_list("data"))
