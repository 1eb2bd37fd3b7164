"""Staff in a browser, against the web process with its own login to PostgreSQL."""

import subprocess
import sys
import time

import pytest

from deploy.local.demo import get_token
from deploy.local.stack import ROOT
from tests.live.browser import Browser, new_code


@pytest.fixture
def staff(live):
    return live.stack.staff


def test_staff_sign_in_with_their_second_factor_and_change_it(live, staff):
    browser = Browser(live.url)

    assert browser.get("/admin/")[1] == "/accounts/login/"
    step = browser.send("/accounts/login/", login=staff["email"], password=staff["password"])
    assert step[1] == "/accounts/2fa/authenticate/"
    assert browser.get("/admin/")[1] == "/accounts/2fa/authenticate/"
    browser.send("/accounts/2fa/authenticate/", code=new_code(staff))
    assert browser.get("/admin/")[:2] == (200, "/admin/")
    assert browser.get("/admin/jobs/job/")[0] == 200

    # What allauth does after the commit needs the role of the page too: mail, message, audit.
    browser.send("/accounts/reauthenticate/", password=staff["password"])
    page = browser.send("/accounts/2fa/recovery-codes/generate/")
    assert page[0] == 200
    assert "they won&#x27;t be shown again" in page[2]
    made = live.rows(
        "SELECT actor FROM tenants_auditentry WHERE action = 'recovery_codes.replaced'"
    )
    assert made == [{"actor": staff["email"]}]


def test_a_link_to_a_new_password_comes_by_mail(live, staff):
    mails = live.stack.home / "mail"
    before = set(mails.glob("*.log"))

    page = Browser(live.url).send("/accounts/password/reset/", email=staff["email"])

    assert "Look into your mail" in page[2]
    (mail,) = set(mails.glob("*.log")) - before
    assert f"{live.url}/accounts/password/reset/key/" in mail.read_text()


def test_web_processes_take_over_a_new_key_by_themselves(live):
    def header():
        return get_token(live.url, live.stack.client).split(".")[0]

    old = header()
    subprocess.run(
        [sys.executable, "manage.py", "rotate_signing_key", "--grace", "0", "--overlap", "600"],
        cwd=ROOT,
        env=live.stack.env,
        check=True,
        capture_output=True,
    )

    def is_known_everywhere():
        time.sleep(0.5)  # a token costs a slow hash
        return old not in {header() for _ in range(6)}

    live.until(is_known_everywhere, seconds=15)
    assert live.request("GET", "/jobs")[0] == 200  # with a token that the old key signed
