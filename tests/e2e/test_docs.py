"""The API's documentation in a browser."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(120)


def test_the_page_begins_as_a_reader_does_and_its_authorize_leads_nowhere_else(live, staff):
    page = staff("viewer", fresh=False)
    page.goto(f"{live.url}/docs")

    expect(page.locator(".opblock-tag").nth(0)).to_contain_text("Tokens")
    expect(page.locator(".opblock-tag").nth(1)).to_contain_text("Jobs")
    expect(page.locator(".info a[href='/docs/errors']")).to_be_visible()
    page.locator("button.authorize").first.click()
    dialog = page.locator(".dialog-ux")
    expect(dialog).to_contain_text("clientCredentials")
    expect(dialog).not_to_contain_text("authorizationCode")

    dialog.get_by_label("client_id").fill(live.stack.client["client_id"])
    dialog.get_by_label("client_secret").fill(live.stack.client["client_secret"])
    dialog.locator("button.authorize").click()
    expect(dialog.get_by_text("Authorized")).to_be_visible()
