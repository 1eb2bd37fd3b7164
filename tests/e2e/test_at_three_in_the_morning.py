"""What somebody on call does, in a browser, from the alarm to the end of it."""

import re
import secrets
import subprocess
import sys

import pytest
from django.conf import settings
from playwright.sync_api import expect

from deploy.local.stack import ROOT
from tests.accounts.acts import PASSWORD

pytestmark = pytest.mark.timeout(240)
WHY = "The provider is back"


def failed_jobs(live, count, **fields):
    """event_ids of jobs that a model has refused, once those of the bulk action have ended."""
    ended = "SELECT NOT bool_or(status IN ('PENDING', 'PROCESSING')) AS all FROM jobs_job"
    live.until(lambda: live.rows(f"{ended} WHERE metadata ? 'batch'")[0]["all"] is not False, 120)
    live.script({"do": "refuse", "times": count})
    sent = []
    for number in range(count):
        text = f"Staff MUST wash their hands, rule {number} of {secrets.token_hex(4)}."
        body = {"guideline_text": text, "options": {"cache": False}, **fields}
        sent.append(live.request("POST", "/jobs", body)[2]["event_id"])
    failed = "SELECT count(*) AS n FROM jobs_job WHERE event_id = ANY(%s) AND status = 'FAILED'"
    live.until(lambda: live.rows(failed, sent)[0]["n"] == count, seconds=120)
    return sent


def audited(live, action):
    query = "SELECT actor, object_id, after FROM tenants_auditentry WHERE action = %s ORDER BY id"
    return live.rows(query, action)


def give_reason(page, reason=WHY):
    page.get_by_label("Reason").fill(reason)
    page.locator("form.act button").click()


def test_a_failed_job_is_found_by_its_error_read_and_retried_and_seen_to_complete(live, staff):
    [event_id] = failed_jobs(live, 1, title="Ward 7")
    page = staff("operator")

    page.get_by_role("link", name="Jobs", exact=True).click()
    page.locator("summary", has_text="Filter").click()
    page.get_by_label("Error class").fill("llm_refused")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name=event_id).click()
    expect(page.get_by_role("heading", name="Ward 7")).to_be_visible()
    expect(page.get_by_role("img", name="Attempts and model calls")).to_be_visible()
    expect(page.get_by_text("as PROCESSING")).to_be_visible()
    page.get_by_role("link", name="Retry").click()
    give_reason(page)

    expect(page.get_by_text("The job runs again.")).to_be_visible()
    expect(page.locator("p.number .badge")).to_have_text("COMPLETED", timeout=30_000)
    assert audited(live, "job.retried")[-1] == {
        "actor": page.email,
        "object_id": event_id,
        "after": {"status": "PENDING", "reason": WHY},
    }


def test_two_hundred_are_retried_by_a_filter_watched_and_aborted(live, staff):
    mark = f"bulk-{secrets.token_hex(4)}"
    failed_jobs(live, 200, metadata={"batch": mark})
    page = staff("operator")
    page.goto(f"{live.url}/admin/jobs/job/?metadata=batch%3D{mark}")
    page.get_by_role("link", name="Retry or cancel").click()
    expect(page.locator(".card .number").first).to_have_text("200")
    page.get_by_label("Name").fill(mark)
    page.get_by_label("Jobs a second").fill("20")
    give_reason(page)

    bar = page.locator("progress")
    expect(page.locator("#changed")).not_to_have_text("0", timeout=15_000)  # without a reload
    assert bar.get_attribute("max") == "200"
    page.get_by_role("link", name="Abort").click()
    give_reason(page, "Enough seen")

    expect(page.locator(".badge.is-aborted")).to_be_visible()
    done = int(page.locator("#changed").inner_text())
    assert 0 < done < 200
    left = live.rows(
        "SELECT count(*) AS n FROM jobs_job WHERE metadata->>'batch' = %s AND status = 'FAILED'",
        mark,
    )
    assert left[0]["n"] == 200 - done
    assert audited(live, "bulk.started")[-1]["after"]["reason"] == WHY
    assert audited(live, "bulk.aborted")[-1]["after"]["reason"] == "Enough seen"
    page.get_by_role("link", name="Bulk actions", exact=True).first.click()
    expect(page.get_by_role("link", name=mark)).to_be_visible()


def test_a_text_is_revealed_and_both_sides_see_it(live, staff):
    text = "Staff MUST wash their hands before every contact with a patient."
    event_id = live.submit(f"{text} {secrets.token_hex(4)}")
    live.wait_for(event_id, "COMPLETED")
    page = staff("operator")

    page.goto(f"{live.url}/admin/jobs/job/{event_id}/")
    expect(page.get_by_text("before every contact")).to_have_count(0)
    page.get_by_role("link", name="Reveal the text").click()
    give_reason(page, "The customer asked why")
    mark = page.locator("mark", has_text="before every contact").first
    expect(mark).to_be_visible()
    page.locator(".citation a").first.focus()
    expect(page.locator("mark.lit")).to_be_visible()

    page.goto(f"{live.url}/admin/tenants/audit/?action=job.revealed&object_id={event_id}")
    expect(page.get_by_text("The customer asked why")).to_be_visible()
    owners = live.request("GET", f"/audit?action=job.revealed&object_id={event_id}")[2]["data"]
    assert [entry["after"]["reason"] for entry in owners] == ["The customer asked why"]
    assert owners[0]["actor"] == {"kind": "staff", "name": page.email}


def test_a_viewer_reads_and_an_operator_leaves_people_and_plans_alone(live, staff):
    [event_id] = failed_jobs(live, 1)
    viewer, operator = staff("viewer"), staff("operator")
    job = f"{live.url}/admin/jobs/job/{event_id}/"

    viewer.goto(job)
    expect(viewer.get_by_role("link", name="Retry")).to_have_count(0)
    for path in ("retry/", "reveal/", "text/"):
        assert viewer.goto(job + path).status == 403
    for path in ("people/add/", "plans/new/", "tenants/audit/export/"):
        assert operator.goto(f"{live.url}/admin/{path}").status == 403
    operator.goto(f"{live.url}/admin/people/")
    expect(operator.get_by_role("link", name="Add staff")).to_have_count(0)
    assert live.job(event_id)["status"] == "FAILED"
    assert {entry["actor"] for entry in audited(live, "access.refused")} >= {
        viewer.email,
        operator.email,
    }


def test_after_a_while_whoever_acts_shows_again_who_they_are(live, staff):
    """Nothing is done meanwhile, and the way leads back to where they were."""
    [event_id] = failed_jobs(live, 1)
    page = staff("operator")
    page.goto(f"{live.url}/admin/jobs/job/{event_id}/retry/")
    forget_when_they_came_in(live, page)
    give_reason(page)

    expect(page).to_have_url(re.compile("/accounts/reauthenticate/"))
    assert live.job(event_id)["status"] == "FAILED"
    page.locator("[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"{event_id}/retry/$"))
    expect(page.locator("[name=reason]")).to_have_value(WHY)


def forget_when_they_came_in(live, page):
    """As if six minutes had passed: what the session says of how they signed in is older."""
    [cookie] = [c for c in page.context.cookies() if c["name"] == settings.SESSION_COOKIE_NAME]
    code = AGE.format(key=cookie["value"])
    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
    subprocess.run(command, cwd=ROOT, env=live.stack.env, check=True)


AGE = """
from django.contrib.sessions.backends.db import SessionStore
session = SessionStore(session_key={key!r})
for record in session["account_authentication_methods"]:
    record["at"] -= 360
session.modified = True
session.save()
"""
