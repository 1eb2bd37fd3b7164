"""The page that the `type` of every problem leads to."""

from typing import Any

from django.views.generic import TemplateView

from config.errors import DomainError
from config.problems import KNOWN, OTHER
from jobs.errors import SAFE_DETAIL


class ErrorCodesView(TemplateView):
    template_name = "error_codes.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        refusals = {e.code: (e.title, e.detail) for e in DomainError.__subclasses__()}
        known = {code: (title, detail) for code, title, detail in KNOWN.values()}
        problems = sorted((refusals | known | OTHER).items())
        failures = sorted(SAFE_DETAIL.items())
        return super().get_context_data(problems=problems, failures=failures, **kwargs)
