"""python -m tests.e2e.screenshots: pictures of staff's pages, for docs/admin/, and of a console,
for docs/console/.

Starts a stack of its own, gives it something to show, signs in as people do and looks.
"""

import json
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from deploy.local.demo import get_token
from deploy.local.stack import ROOT, Stack
from deploy.local.totp import totp
from tests.e2e.chromium import CHROMIUM, FLAGS

ADMIN, CONSOLE = ROOT / "docs" / "admin", ROOT / "docs" / "console"
TALLEST = 1200  # pixels of a picture: enough to know a page by, and all of them in 3 MB
TITLES = ["Hand hygiene", "Cold chain", "Fire drills", "Password rules", "Isolation rooms"]


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="guidepost-look-"))
    home.chmod(0o711)
    stack = Stack(home)
    stack.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
            look(browser, stack, jobs(stack))
    finally:
        stack.stop()


def jobs(stack: Stack) -> dict[str, list[str]]:
    """Jobs that completed, and some that the model has refused."""
    token = get_token(stack.url, stack.client)
    text = (ROOT / "deploy" / "local" / "sample-guideline.md").read_text()
    made: dict[str, list[str]] = {"done": [], "failed": []}
    model = stack.env["OFFLINE_MODEL_URL"].removesuffix("/v1")
    for kind, count in (("done", 4), ("failed", 9)):
        for number in range(count):
            if kind == "failed":
                behaviours = [{"do": ("refuse", "truncate")[number % 3 == 0], "times": 1}]
                ask(f"{model}/_control/script", {"behaviours": behaviours})
            title = TITLES[number % len(TITLES)]
            body = {"guideline_text": f"{text}\n\nEdition {kind} {number}.", "title": title}
            body |= {"metadata": {"ward": f"W-{number}"}}
            event_id = ask(f"{stack.url}/jobs", body, token)["event_id"]
            made[kind].append(event_id)
            while ask(f"{stack.url}/jobs/{event_id}", None, token)["status"] not in (
                "COMPLETED",
                "FAILED",
            ):
                time.sleep(0.2)
    return made


def ask(url: str, body: dict | None, token: str = "") -> dict:
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:
        return json.loads(answer.read() or b"{}")


def look(browser: Browser, stack: Stack, made: dict[str, list[str]]) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    staff = stack.staff
    page.goto(f"{stack.url}/admin/")
    page.fill("[name=login]", staff["email"])
    page.fill("[name=password]", staff["password"])
    page.keyboard.press("Enter")
    page.fill("[name=code]", totp(staff["totp_secret"], time.time()))
    page.keyboard.press("Enter")
    page.wait_for_url(f"{stack.url}/admin/")
    done, failed = made["done"][0], made["failed"][-1]
    act(page, f"{stack.url}/admin/jobs/job/{done}/reveal/", "A customer asked why")
    new = "/admin/jobs/bulk/new/?status=FAILED"
    act(page, f"{stack.url}{new}&metadata=ward%3DW-3", "The provider is back")
    bulk = page.url.removeprefix(stack.url)
    page.goto(f"{stack.url}/admin/jobs/errors/")
    group = page.locator("main td a").first.get_attribute("href")
    page.goto(f"{stack.url}/admin/tenants/")
    tenant = page.locator("main td a").first.get_attribute("href")
    paths = {
        "overview": "/admin/",
        "jobs": "/admin/jobs/job/?status=FAILED",
        "job": f"/admin/jobs/job/{failed}/",
        "text": f"/admin/jobs/job/{done}/text/#i3",
        "errors": "/admin/jobs/errors/",
        "error": group,
        "bulk-new": new,
        "bulk": bulk,
        "circuits": "/admin/circuits/",
        "tenant": tenant,
        "plans": "/admin/plans/",
        "people": "/admin/people/",
        "audit": "/admin/tenants/audit/",
        "retry": f"/admin/jobs/job/{failed}/retry/",
    }
    for name, path in paths.items():
        for width in (1280, 390):
            shoot(page, f"{stack.url}{path}", ADMIN / f"{name}-{width}.png", width)
    page.emulate_media(color_scheme="dark")
    shoot(page, f"{stack.url}/admin/", ADMIN / "overview-390-dark.png", 390)
    page.emulate_media(color_scheme="light")
    look_at_console(page, f"{stack.url}/console/demo", done)


def look_at_console(page, console: str, done: str) -> None:
    """As its owner, who is staff too."""
    pictures = [
        ("overview", "/", 1280),
        ("overview", "/", 390),
        ("jobs", "/jobs/", 1280),
        ("job", f"/jobs/{done}/", 1280),
        ("job", f"/jobs/{done}/", 390),
        ("new-job", "/jobs/new/", 1280),
        ("new-job", "/jobs/new/", 390),
        ("keys", "/keys/", 1280),
        ("keys", "/keys/", 390),
        ("usage", "/usage/", 1280),
        ("usage", "/usage/", 390),
        ("limits", "/limits/", 1280),
        ("settings", "/settings/", 1280),
        ("audit", "/audit/", 390),
    ]
    for name, path, width in pictures:
        shoot(page, f"{console}{path}", CONSOLE / f"{name}-{width}.png", width)


def act(page, url: str, reason: str) -> None:
    page.goto(url)
    page.get_by_label("Reason").fill(reason)
    page.locator("form.act button").click()


def shoot(page, url: str, picture: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto("about:blank")
    page.goto(url)
    height = min(page.evaluate("document.documentElement.scrollHeight"), TALLEST)
    clip = {"x": 0, "y": 0, "width": width, "height": height}
    page.screenshot(path=picture, full_page=True, clip=clip)
    print(picture.relative_to(ROOT), flush=True)


if __name__ == "__main__":
    main()
