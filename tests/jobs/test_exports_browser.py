"""The HTML export in a real browser: it fits, asks for nothing, and reads well to a machine."""

import os
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from jobs.exports import FORMATS
from jobs.exports.checklist import Checklist
from tests.factories import JobFactory
from tests.jobs.acts import completed
from tests.jobs.exported import chain_result, hostile_result
from tests.llm.conftest import offline  # noqa: F401

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no Chromium at {CHROMIUM}"),
]
_seen = {}  # a browser takes seconds to start: one look at each page serves all tests


@pytest.fixture(params=["of the chain", "hostile"])
def seen(request, tenant, offline, tmp_path):  # noqa: F811
    """What a browser finds in the page."""
    if request.param not in _seen:
        hostile = request.param == "hostile"
        result = hostile_result() if hostile else chain_result(offline.url)
        job = completed(JobFactory(tenant=tenant, title="Hand hygiene"), result)
        file = tmp_path / "checklist.html"
        file.write_bytes(FORMATS["html"].write(Checklist.of(job, job.result)))
        _seen[request.param] = look(file.as_uri())
    return _seen[request.param]


def look(url):
    seen = {"asked": [], "said": [], "widths": {}, "barriers": {}}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page()
        page.on("request", lambda request: seen["asked"].append(request.url))
        page.on("console", lambda message: seen["said"].append(message.text))
        page.on("dialog", lambda dialog: seen["said"].append(dialog.message))
        page.goto(url)
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            seen["widths"][width] = page.evaluate("document.documentElement.scrollWidth")
        seen["styled"] = page.evaluate(
            "getComputedStyle(document.querySelector('.kicker')).textTransform"
        )
        page.locator("label").first.click()
        seen["ticked"] = page.locator("input").first.is_checked()
        page.emulate_media(media="print")
        seen["to sign"] = page.locator(".signature").is_visible()
        for scheme in ("light", "dark"):
            # axe is a script: only without the policy does it run.
            bare = browser.new_page(color_scheme=scheme, bypass_csp=True)
            bare.goto(url)
            seen["barriers"][scheme] = Axe().run(bare).response
        browser.close()
    seen["url"] = url
    return seen


def test_it_fits_a_telephone_and_a_desk(seen):
    assert seen["widths"] == {390: 390, 1280: 1280}


def test_it_asks_for_nothing_and_its_policy_stops_nothing(seen):
    assert seen["asked"] == [seen["url"]]
    assert seen["said"] == []
    assert seen["styled"] == "uppercase"


def test_it_is_ticked_by_its_text_and_signed_on_paper(seen):
    assert seen["ticked"]
    assert seen["to sign"]


def test_it_has_no_barriers_that_axe_knows(seen):
    for response in seen["barriers"].values():
        assert len(response["passes"]) > 20
        assert [(each["id"], len(each["nodes"])) for each in response["violations"]] == []
