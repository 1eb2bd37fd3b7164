"""What a tenant sees first: its jobs, its budgets, and what wants attention."""

from typing import Any

from tenants.console.page import ConsolePage, console_page


@console_page("", name="overview", label="Overview", place=10)
class OverviewPage(ConsolePage):
    scope = None
    title = "Overview"
    template = "overview.html"

    def context(self) -> dict[str, Any]:
        return {}
