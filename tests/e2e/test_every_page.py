"""Each page of staff in a browser: it says nothing to the console, breaks no policy, fits a
telephone, reads well to a machine, and shows hostile text as text."""

import json
import secrets

import pytest

from config import staff as staff_pages
from tests.e2e import reading

pytestmark = pytest.mark.timeout(300)
LISTS = [
    "django_celery_results/taskresult",
    "tenants/apikey",
    "tenants/apisession",
    "tenants/invitation",
    "tenants/oauthclient",
    "account/emailaddress",
    "mfa/authenticator",
    "usersessions/usersession",
    "accounts/signingkey",
]


@pytest.fixture
def paths(live):
    """(path, least role) of every page, with something to show, and of Django's lists."""
    done = live.submit(f"Staff MUST wash their hands. {secrets.token_hex(4)}")
    live.wait_for(done, "COMPLETED")
    live.script({"do": "refuse", "times": 1})
    lost = live.submit(f"Staff MUST wash their hands. {secrets.token_hex(4)}")
    live.wait_for(lost, "FAILED")
    group = live.until(lambda: live.rows("SELECT id FROM jobs_errorgroup LIMIT 1"))[0]["id"]
    tenant = live.rows("SELECT id FROM tenants_tenant WHERE slug = 'demo'")[0]["id"]
    person = live.rows("SELECT public_id FROM accounts_user ORDER BY id LIMIT 1")[0]["public_id"]
    circuit = live.rows("SELECT name FROM jobs_circuit LIMIT 1")
    live.rows(
        "INSERT INTO jobs_bulkaction (name, kind, token, filter, rate, actor, reason, state,"
        " last_id, until_id, total, changed, skipped) VALUES ('e2e', 'retry', gen_random_uuid(),"
        " '{}', 10, 'a', 'r', 'done', 0, 0, 0, 0, '{}') RETURNING id"
    )
    held = {
        "<uuid:event_id>": lost,
        "<uuid:tenant_id>": tenant,
        "<uuid:public_id>": person,
        "<slug:code>": "standard",
        "<str:client_id>": live.stack.client["client_id"],
        "<path:circuit>": circuit[0]["name"] if circuit else "127.0.0.1/guidepost-offline-1",
    }
    found = []
    for page in staff_pages.PAGES:
        path = page.route
        number = live.rows("SELECT max(id) AS id FROM jobs_bulkaction")[0]["id"]
        path = path.replace("<int:pk>", str(number if "bulk" in path else group))
        for name, value in held.items():
            path = path.replace(name, str(value))
        assert "<" not in path, path
        found.append((f"/admin/{path}", page.view.least))
    return found + [(f"/admin/{each}/", staff_pages.StaffRole.VIEWER) for each in LISTS]


# Who may open what is asked in tests/security/test_staff_matrix.py.
def test_each_page_opens_for_a_viewer_who_may_see_it_and_the_browser_has_no_complaint(
    live, staff, paths
):
    page = staff("viewer")

    for path, least in paths:
        allowed = staff_pages.StaffRole.VIEWER.includes(least)
        assert page.goto(live.url + path).status == (200 if allowed else 403), path


def test_each_page_opens_without_complaint_reads_well_to_a_machine_and_fits_a_telephone(
    live, staff, paths
):
    page = staff("administrator")  # forms of acts ask for a fresh sign-in
    reading.prepare(page)
    wrong = [each for path, _ in paths for each in reading.wrong(page, live.url + path)]

    assert wrong == [], json.dumps(wrong, indent=1)


def test_hostile_text_of_tenants_and_models_opens_nothing_and_asks_for_nothing(
    live, staff, attacked
):
    page = staff("operator")
    tenant = live.rows("SELECT id FROM tenants_tenant WHERE slug = 'demo'")[0]["id"]
    one = f"{live.url}/admin/jobs/job/{attacked}/"
    page.goto(f"{one}reveal/")
    page.get_by_label("Reason").fill("<script>alert(1)</script>")
    page.locator("form.act button").click()
    page.wait_for_url(f"{one}text/")
    assert page.locator("main script, main iframe, main style, main form").count() == 0

    for place in (
        one,
        f"{live.url}/admin/jobs/job/",
        f"{live.url}/admin/jobs/job/?metadata=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        f"{live.url}/admin/tenants/tenant/{tenant}/",
        f"{live.url}/admin/tenants/audit/?object_id={attacked}",
        f"{live.url}/admin/tenants/audit/?action=key.created",
        f"{live.url}/admin/tenants/apikey/",
        f"{live.url}/admin/",
    ):
        page.goto(place)
        page.wait_for_timeout(200)
        assert page.locator("main [onerror], main [onload], main iframe").count() == 0, place
