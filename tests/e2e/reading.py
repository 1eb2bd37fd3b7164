"""How a machine reads a page, and whether it fits a telephone."""

from axe_playwright_python.base import AXE_SCRIPT

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


def prepare(page):
    """Before `wrong`, once."""
    page.add_init_script(AXE_SCRIPT)  # which no policy of the page stops


def wrong(page, url):
    """What is wrong with the page there, which has to open."""
    found = []
    page.set_viewport_size({"width": 1280, "height": 900})
    assert page.goto(url).status == 200, url
    for scheme, rules in RULES.items():
        page.emulate_media(color_scheme=scheme)
        for finding in page.evaluate(RUN_AXE, rules):
            if finding["impact"] in SERIOUS:
                places = [node["html"][:120] for node in finding["nodes"][:3]]
                found.append((url, scheme, finding["id"], places))
    page.set_viewport_size({"width": 390, "height": 844})
    if page.evaluate("document.documentElement.scrollWidth") > 390:
        found.append((url, "is wider than a telephone"))
    return found
