"""Each page of a tenant's console in a browser, as those of staff in test_every_page.py."""

import json
import secrets

import pytest

from jobs.console import urls  # noqa: F401  (puts every page in its place)
from tenants.console import page as console_pages
from tenants.models import Role
from tenants.permissions import GRANTS
from tests.e2e import reading

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
    for page in console_pages.pages():
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
