"""A real browser in front of the whole stack: staff and members of the demo tenant as each role,
and what a page complains of."""

import secrets
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

from deploy.local.stack import ROOT
from deploy.local.totp import totp
from tests.accounts.acts import PASSWORD, SECRET
from tests.e2e.chromium import CHROMIUM, FLAGS
from tests.e2e.hostile import submit_attacks

MAKE_PERSON = """
from accounts.services import enrol_totp, register_person
from tenants.models import Tenant
from tenants.services.members import add_member
person = register_person(email={email!r}, name="", password={password!r}, staff_role="{staff}")
enrol_totp(person, {secret!r})
if role := "{role}":
    add_member(tenant=Tenant.objects.get(slug="demo"), user=person, role=role)
"""


@dataclass(frozen=True)
class Door:
    """Where somebody comes in, and what their role is called there."""

    home: str
    role_is: str


STAFF, CONSOLE = Door("/admin/", "staff"), Door("/console/demo/", "role")


def pytest_collection_modifyitems(items):
    if not CHROMIUM.exists():
        missing = pytest.mark.skip(reason=f"there is no Chromium at {CHROMIUM}")
        for item in items:
            if "tests/e2e" in str(item.path):
                item.add_marker(missing)


@dataclass
class Seen:
    """What a browser had to complain of: each has to stay empty."""

    url: str
    said: list[str] = field(
        default_factory=list
    )  # console errors, CSP violations, exceptions, failed requests
    dialogs: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)  # requests to anybody but us

    def watch(self, page):
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("requestfailed", self._failed)
        page.on("request", lambda request: self._request(request.url))
        page.on("dialog", self._dialog)
        return page

    def assert_nothing(self):
        assert (self.said, self.dialogs, self.strangers) == ([], [], [])

    def _console(self, message):
        refused = "the server responded with a status of 4" in message.text  # a page's own status
        if message.type in ("error", "warning") and not refused:
            self.said.append(message.text)

    def _request(self, url):
        if urlsplit(url).scheme not in ("data", "blob") and not url.startswith(self.url):
            self.strangers.append(url)

    def _failed(self, request):
        if request.failure != "net::ERR_ABORTED":  # left by going on to another page
            self.said.append(f"{request.url}: {request.failure}")

    def _dialog(self, dialog):
        self.dialogs.append(dialog.message)
        dialog.dismiss()


@pytest.fixture(scope="session")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def sign_ins(chromium, live_stack):
    """What a browser keeps once somebody in the role has signed in, as people do; made once."""
    kept = {}

    def storage(door, role):
        if (door, role) not in kept:
            email = somebody(live_stack, door, role)
            page = chromium.new_page()
            come_in(page, live_stack.url + door.home, email)
            kept[door, role] = (email, page.context.storage_state())
            page.close()
        return kept[door, role]

    return storage


def somebody(live, door, role):
    """The e-mail address of somebody new, in the role."""
    email = f"{role}-{secrets.token_hex(4)}@example.com"
    roles = {"staff": "", "role": "", door.role_is: role}
    code = MAKE_PERSON.format(email=email, password=PASSWORD, secret=SECRET, **roles)
    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
    subprocess.run(command, cwd=ROOT, env=live.stack.env, check=True)
    return email


def come_in(page, home, email):
    """The whole way: sent to the login, a password, a code of the authenticator app."""
    code = page.locator("[name=code]")
    for _ in range(5):  # a counter that does not answer at once, on a busy machine, lets nobody in
        page.goto(home)  # and its 429 has no form to try again with
        page.get_by_label("Email").fill(email)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        with page.expect_navigation():  # or the page of before would be asked what came of it
            page.keyboard.press("Enter")
        if code.is_visible():
            break
    for _ in range(5):  # as above
        code.fill(totp(SECRET, time.time()))
        with page.expect_navigation():
            page.keyboard.press("Enter")
        if page.url == home:
            break
        page.goto(home)  # where nobody is let in yet: asks for a code again
    page.wait_for_url(home)


def show_again(page, url, door):
    """The password once more, as acts ask for it that weigh more."""
    for _ in range(5):  # as above
        page.goto(f"{url}/accounts/reauthenticate/?next={door.home}")
        page.locator("[name=password]").fill(PASSWORD)
        with page.expect_navigation():
            page.keyboard.press("Enter")
        if page.url == url + door.home:
            break
    page.wait_for_url(url + door.home)
    page.close()


@pytest.fixture
def people(live, chromium, sign_ins):
    """A page of somebody in the role, who has just shown again who they are. Complaints of any
    fail the test at its end."""
    opened = []

    def page_of(door, role, *, fresh=True, **context):
        email, storage = sign_ins(door, role)
        browser = chromium.new_context(
            storage_state=storage, viewport={"width": 1280, "height": 900}, **context
        )
        seen = Seen(live.url)
        opened.append((browser, seen))
        if fresh:
            show_again(browser.new_page(), live.url, door)
        page = seen.watch(browser.new_page())
        page.email = email
        if fresh:
            page.goto(live.url + door.home)
        return page

    yield page_of
    for browser, seen in opened:
        browser.close()
        seen.assert_nothing()


@pytest.fixture
def staff(people):
    return partial(people, STAFF)


@pytest.fixture
def member(people):
    """Of the demo tenant."""
    return partial(people, CONSOLE)


@pytest.fixture(scope="session")
def attacked(live_stack):
    """The event_id of a job whose every text is an attack."""
    return submit_attacks(live_stack)
