"""What all pages of staff share: the keyboard's way in, times, freshness that disturbs nobody."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_first_tab_shows_a_way_past_the_menu(live, staff, width):
    page = staff("viewer", fresh=False)
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{live.url}/admin/jobs/job/")
    page.keyboard.press("Tab")

    link = page.get_by_role("link", name="Skip to the page")
    expect(link).to_be_focused()
    expect(link).to_be_in_viewport(ratio=1)
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()


def test_the_menu_of_a_telephone_opens_by_keyboard_and_focus_is_seen(live, staff):
    page = staff("viewer", fresh=False)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{live.url}/admin/jobs/job/")
    link = page.get_by_role("navigation").get_by_role("link", name="Jobs", exact=True)
    expect(link).to_be_hidden()
    page.locator(".menu summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    expect(link).to_be_visible()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"


def test_a_list_of_records_fits_a_telephone(live, staff):
    live.request("POST", "/keys", {"name": "long" * 25, "scopes": ["jobs:read"]})
    page = staff("viewer", fresh=False)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{live.url}/admin/tenants/apikey/")

    box = page.locator("#searchbar").bounding_box()
    assert box["height"] < 60
    expect(page.get_by_role("button", name="Search")).to_be_in_viewport(ratio=1)
    row = page.locator("#result_list tbody tr").first
    expect(row.locator("td").first).to_have_attribute("data-label", "Client id")
    assert row.bounding_box()["width"] <= 390


def test_the_audit_log_of_a_telephone_says_what_was_done(live, staff):
    made = live.request("POST", "/keys", {"name": "long" * 25, "scopes": ["jobs:read"]})[2]
    live.request("PATCH", f"/keys/{made['client_id']}", {"name": "wide" * 25})
    page = staff("viewer", fresh=False)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{live.url}/admin/tenants/audit/")

    table = page.locator(".entries tbody")
    assert table.bounding_box()["width"] <= 390
    row = table.locator("tr").first
    expect(row.locator("td[data-label=Did]")).to_be_visible()


def test_times_are_those_of_the_viewer_and_utc_on_hover(live, staff):
    live.wait_for(live.submit(), "COMPLETED")
    page = staff("viewer", fresh=False, timezone_id="Asia/Kolkata")
    page.goto(f"{live.url}/admin/jobs/job/")
    page.locator("#rows a[href*='/jobs/job/']").first.click()

    time = page.locator("main time:not([data-keep])").first
    expect(time).to_have_text(re.compile(r"\d\d:\d\d:\d\d (GMT\+5:30|IST)$"))
    expect(time).to_have_attribute("title", re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S* UTC$"))


def test_what_keeps_itself_fresh_leaves_alone_whoever_is_in_it(live, staff):
    """Not while something in it has the focus; what was open stays open."""
    live.wait_for(live.submit(), "COMPLETED")
    page = staff("viewer", fresh=False)
    page.goto(f"{live.url}/admin/")
    table = page.locator("#overview details[id]").first
    table.locator("summary").click()
    page.evaluate("document.getElementById('overview').dataset.seen = 'before'")
    old = page.locator("#overview[data-seen]")
    page.wait_for_timeout(7_000)  # it is made fresh every five seconds
    expect(old).to_have_count(1)
    expect(table.locator("summary")).to_be_focused()

    page.evaluate("document.activeElement.blur()")
    expect(old).to_have_count(0, timeout=15_000)
    expect(table).to_have_attribute("open", "")
