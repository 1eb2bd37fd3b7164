"""Each page of a tenant's console in a browser, as those of staff in test_every_page.py."""

import json
import re
import secrets
import urllib.request

import pytest
from playwright.sync_api import expect

from deploy.local.demo import get_token
from jobs.console import urls  # noqa: F401  (puts every page in its place)
from tenants.console import page as console_pages
from tenants.models import Role
from tenants.permissions import GRANTS
from tests.e2e import reading
from tests.e2e.conftest import CONSOLE, Seen, come_in, somebody

pytestmark = pytest.mark.timeout(300)
INVITE = """
INSERT INTO tenants_invitation
    (public_id, tenant_id, email, role, digest, invited_by_id, created_at, expires_at)
SELECT gen_random_uuid(), tenant_id, md5(random()::text) || '@example.com', 'viewer',
    md5(random()::text) || md5(random()::text), user_id, now(), now() + interval '7 days'
FROM tenants_membership WHERE public_id = %s RETURNING public_id
"""


def paths_of(live, event_id):
    """(path, page) of each page there is, with that job."""
    member = live.rows(
        "SELECT membership.public_id FROM tenants_membership AS membership"
        " JOIN tenants_tenant AS tenant ON tenant.id = tenant_id WHERE slug = 'demo'"
        " ORDER BY membership.id LIMIT 1"
    )[0]["public_id"]
    held = {
        "<uuid:event_id>": event_id,
        "<slug:client_id>": live.stack.client["client_id"],
        "<uuid:member_id>": member,
        "<uuid:invitation_id>": live.rows(INVITE, member)[0]["public_id"],
    }
    found = []
    for page in console_pages.PAGES:
        query = f"?with={event_id}" if page.name == "job-diff" else ""
        path = f"/console/demo/{page.route}{query}"
        for name, value in held.items():
            path = path.replace(name, str(value))
        assert "<" not in path, path
        found.append((path, page.view))
    return found


@pytest.fixture
def paths(live):
    event_id = live.submit(f"Staff MUST wash their hands. {secrets.token_hex(4)}")
    live.wait_for(event_id, "COMPLETED")
    return paths_of(live, event_id)


@pytest.fixture
def browser(chromium):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


def is_file(path):
    return "." in path


def test_each_page_opens_for_a_viewer_who_may_see_it_and_the_browser_has_no_complaint(
    live, member, paths
):
    page = member(Role.VIEWER)

    for path, view in paths:
        allowed = view.scope is None or view.scope in GRANTS[Role.VIEWER]
        ask = page.request.get if is_file(path) else page.goto
        assert ask(live.url + path).status == (200 if allowed else 403), path


def test_each_page_opens_without_complaint_reads_well_to_a_machine_and_fits_a_telephone(
    live, member, paths
):
    page = member(Role.OWNER)
    reading.prepare(page)
    wrong = []
    for path, _ in paths:
        if is_file(path):
            assert page.request.get(live.url + path).status == 200, path
        else:
            wrong += reading.wrong(page, live.url + path)

    assert wrong == [], json.dumps(wrong, indent=1)


def test_hostile_text_of_tenants_and_models_opens_nothing_and_asks_for_nothing(
    live, member, attacked
):
    page = member(Role.OWNER)

    for path, _ in paths_of(live, attacked):
        if is_file(path):
            continue
        page.goto(live.url + path)
        page.wait_for_timeout(200)
        assert page.locator("main [onerror], main [onload], main iframe").count() == 0, path


def test_a_double_click_covers_no_secret(live, member):
    page = member(Role.OWNER)
    name = f"Ward {secrets.token_hex(4)}"
    page.goto(f"{live.url}/console/demo/keys/new/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Read jobs").check()
    page.get_by_role("button", name="Make the key").evaluate(
        "button => { button.click(); setTimeout(() => button.click(), 20) }"  # as a hand does it
    )

    expect(page.get_by_label("client_secret")).to_have_value(re.compile("^gps_"))
    assert len(live.rows("SELECT FROM tenants_apikey WHERE name = %s", name)) == 1


def test_the_way_from_signing_in_to_a_checklist_and_out_again(live, browser):
    seen = Seen(live.url)
    page = seen.watch(browser.new_page())
    come_in(page, live.url + CONSOLE.home, somebody(live, CONSOLE, Role.OWNER))

    client = make_key(page)
    token = get_token(live.url, client)
    job = submit(live, page)
    assert asked(f"{live.url}/jobs/{job}", token)["title"] == "Hand hygiene"

    complete_before_ones_eyes(live, page)
    look_up_a_citation(page)
    with page.expect_download() as taken:
        page.get_by_role("link", name="CSV").click()
    assert "Staff MUST wash their hands" in taken.value.path().read_text("utf-8-sig")

    page.get_by_role("link", name="Sign out").click()
    page.get_by_role("button", name="Sign Out").click()
    page.goto(live.url + CONSOLE.home)
    assert page.url.startswith(f"{live.url}/accounts/login/")
    seen.assert_nothing()


def go_to(page, label):
    page.get_by_role("navigation").get_by_role("link", name=label, exact=True).click()


def make_key(page):
    """Its client_id and client_secret, as the page shows them once."""
    go_to(page, "API keys")
    page.get_by_role("link", name="New key").click()
    page.get_by_label("Name").fill("Ward 7")
    page.get_by_label("Read jobs").check()
    page.get_by_role("button", name="Make the key").click()
    names = ("client_id", "client_secret")
    client = {name: page.get_by_label(name).input_value() for name in names}
    page.get_by_role("link", name="I have kept it").click()
    expect(page.get_by_role("region", name="API keys")).to_contain_text(client["client_id"])
    return client


def submit(live, page):
    """The event_id of a job that goes on until the model is released."""
    live.script({"do": "hold", "times": 1})
    go_to(page, "Jobs")
    page.get_by_role("link", name="New job").click()
    page.get_by_label("The guideline's text").fill(
        f"Staff MUST wash their hands before contact.\n\nEdition {secrets.token_hex(4)}."
    )
    page.get_by_label("Title").fill("Hand hygiene")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}/$"))
    return page.url.rstrip("/").rpartition("/")[2]


def asked(url, token):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def complete_before_ones_eyes(live, page):
    page.evaluate("window.isTheSame = true")
    badge = page.locator("#job .badge").first
    expect(badge).to_have_text("PROCESSING", timeout=30_000)
    live.release()
    expect(badge).to_have_text("COMPLETED", timeout=60_000)
    assert page.evaluate("window.isTheSame")


def look_up_a_citation(page):
    """Its sentence lights up in the guideline beside it."""
    page.locator(".citation a").first.click()
    lit = page.locator("mark.lit")
    expect(lit).to_contain_text("Staff MUST wash their hands")
    expect(lit).to_be_in_viewport()
