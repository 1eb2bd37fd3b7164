"""What differs between the checklists of two jobs: of two editions, or of two runs."""

from typing import Any
from uuid import UUID

from django.http import Http404

from jobs import diffs
from jobs.console.job_page import OneJob, name_of
from jobs.exports.checklist import LEVELS
from jobs.exports.text import fit, one_line
from tenants.console.page import console_page
from tenants.models import Scope


@console_page("jobs/<uuid:event_id>/diff/", name="job-diff")
class DiffPage(OneJob):
    """From the job that `with` names to the one of the address."""

    scope = Scope.JOBS_READ
    template = "job_diff.html"

    def context(self) -> dict[str, Any]:
        try:
            before = UUID(self.request.GET.get("with", ""))
        except ValueError:
            raise Http404 from None
        event_id = self.kwargs["event_id"]
        found = diffs.diff_jobs(caller=self.caller, before=before, after=event_id)
        if found is None:
            raise Http404
        items, statements = found["items"], found["statements"]
        return {
            "title": f"What changed in {name_of(self.job)}",
            "job": self.job,
            "before": found["before"],
            "counts": items["counts"],
            "statements": statements and statements["counts"],
            "changed": [_changed(each) for each in items["changed"]],
            "added": [_said(each) for each in items["added"]],
            "removed": [_said(each) for each in items["removed"]],
        }


def _said(item: dict[str, Any]) -> dict[str, str]:
    return {name: _words(item[name]) for name in ("action", "actor", "level", "condition")}


def _changed(pair: dict[str, Any]) -> dict[str, Any]:
    """The item as it is now, and (what, before, after) of all that differs."""
    fields = [
        (name, _words(each["before"]), _words(each["after"]))
        for name, each in pair["fields"].items()
    ]
    return {"action": _words(pair["after"]["action"]), "fields": fields}


def _words(value: Any) -> str:
    """A field of an item: a text, a level, quotes, or flags by their kinds."""
    if isinstance(value, list):
        kinds = (each["kind"] if isinstance(each, dict) else each for each in value)
        return " … ".join(_words(each) for each in kinds)
    return LEVELS.get(value, one_line(fit(value)))
