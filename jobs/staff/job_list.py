"""The jobs of all tenants, newest first: filters, a search, pages that stay quick at millions."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from config.database import TooSlow, within
from config.staff import StaffPage, StaffRole, holds, staff_page
from jobs.filters import JobFilter
from jobs.models import Job, JobQuerySet, JobStatus
from tenants.models import Tenant

PER_PAGE = 50
BESIDE = {"q", "before", "after", "kind"}  # in the same addresses, and no filters
PATIENCE = 2.0  # seconds; a page is no place to wait longer
SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
SHOWN = (
    "event_id",
    "tenant__slug",
    "title",
    "status",
    "step",
    "cache_hit",
    "run",
    "attempt",
    "error_code",
    "worker",
    "model",
    "created_at",
)


class TimeField(forms.DateTimeField):
    """A time in UTC, as ISO 8601: that is how a filter keeps it."""

    widget = forms.DateTimeInput(attrs={"placeholder": "2026-01-31 14:00", "size": 16})

    def clean(self, value: Any) -> str:
        at = super().clean(value)
        return at.astimezone(UTC).isoformat() if at else ""


class FilterForm(forms.Form):
    """The filter as people choose it. What is wrong with a value is said beside it."""

    status = forms.ChoiceField(choices=[("", "any"), *JobStatus.choices], required=False)
    tenant = forms.SlugField(
        required=False, max_length=63, widget=forms.TextInput(attrs={"list": "tenants"})
    )
    error_code = forms.SlugField(label="Error class", required=False, max_length=50)
    model = forms.CharField(required=False, max_length=200)
    attempts = forms.IntegerField(label="Attempts, at least", required=False, min_value=2)
    worker = forms.CharField(required=False, max_length=200)
    since = TimeField(label="Submitted from (UTC)", required=False)
    until = TimeField(label="and before (UTC)", required=False)
    metadata = forms.CharField(label="Metadata: key=value, or a value", required=False)
    shape = forms.CharField(required=False, max_length=500, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        """A misspelt name would leave in what it was to leave out."""
        unknown = sorted(set(self.data) - set(self.fields) - BESIDE)
        if unknown:
            raise forms.ValidationError(
                f"There is no filter {', '.join(unknown)}. There is: {', '.join(self.fields)}."
            )
        return self.cleaned_data

    def filter(self) -> JobFilter:
        """Of what is well formed. Where something is wrong, that is too wide to be acted on."""
        self.full_clean()
        return JobFilter.of(self.cleaned_data)

    def wrong(self) -> str:
        """What is wrong with it, in a line; "" where nothing is."""
        said = []
        for name, texts in self.errors.items():
            label = f"{self[name].label}: " if name in self.fields else ""
            said += [f"{label}{text}" for text in texts]
        return " ".join(said)


@staff_page("jobs/job/", name="jobs", label="Jobs", place=10)
class JobListPage(StaffPage):
    title = "Jobs"
    may_lag = True  # the search does not: who has an event_id may have it since a second ago
    template = "jobs.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        words = request.GET.get("q", "").strip()
        found = self._found(words) if words else None
        return HttpResponseRedirect(found) if found else self.show()

    def context(self) -> dict[str, Any]:
        form = FilterForm(self.request.GET, label_suffix="")
        chosen = form.filter()
        wrong = form.wrong()
        rows, older, newer, late = ([], "", "", False) if wrong else self._page(chosen)
        here = reverse("admin:jobs")
        now = timezone.now()
        spans = {name: chosen.held() | {"since": _iso(now - span)} for name, span in SPANS.items()}
        return {
            "form": form,
            "filter": chosen,
            "wrong": wrong,
            "rows": rows,
            "late": late,
            "older": older,
            "newer": newer,
            "spans": {name: f"{here}?{urlencode(held)}" for name, held in spans.items()},
            "held": urlencode(chosen.held()),
            "may_act": holds(self.request, StaffRole.OPERATOR),
            "tenants": self._suggested(chosen.tenant),
            "words": self.request.GET.get("q", ""),
        }

    # --- A page -----------------------------------------------------------------------------

    def _page(self, chosen: JobFilter) -> tuple[list[dict[str, Any]], str, str, bool]:
        """The rows, the links to the older and newer ones, and whether it took too long."""
        jobs = chosen.jobs()
        before, after = self._place("before"), self._place("after")
        if before:
            jobs = jobs.filter(event_id__lt=before)
        if after:
            jobs = jobs.filter(event_id__gt=after)
        try:
            found = self._read(jobs, oldest_first=bool(after))
        except TooSlow:
            return [], "", "", True
        rows, more = found[:PER_PAGE], len(found) > PER_PAGE
        if after:
            rows.reverse()
        older = newer = ""
        if rows and (more or after):
            older = self._link(chosen, before=rows[-1]["event_id"])
        if rows and (before or (after and more)):
            newer = self._link(chosen, after=rows[0]["event_id"])
        return rows, older, newer, False

    def _read(self, jobs: JobQuerySet, *, oldest_first: bool) -> list[dict[str, Any]]:
        """At most one more than a page holds. Raises TooSlow."""
        rows = jobs.order_by("event_id" if oldest_first else "-event_id")
        with within(PATIENCE):
            return list(rows.values(*SHOWN)[: PER_PAGE + 1])

    def _place(self, name: str) -> UUID | None:
        try:
            return UUID(self.request.GET.get(name, ""))
        except ValueError:
            return None

    def _link(self, chosen: JobFilter, **place: UUID) -> str:
        return f"{reverse('admin:jobs')}?{urlencode(chosen.held() | place)}"

    # --- Search -----------------------------------------------------------------------------

    def _found(self, words: str) -> str:
        """Where the search leads: an event_id to its job, what begins one to those that do, a
        tenant's slug to its jobs; anything else is looked for in metadata."""
        digits = re.sub(r"[^0-9a-f]", "", words.lower())
        is_hex = re.fullmatch(r"[0-9a-fA-F-]+", words) is not None
        jobs = Job.objects.across_tenants()
        if is_hex and len(digits) == 32 and jobs.filter(event_id=digits).exists():
            return reverse("admin:job", args=[UUID(digits)])
        if is_hex and 8 <= len(digits) < 32:
            first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
            same = jobs.filter(event_id__range=(first, last))
            only = list(same.order_by("event_id").values_list("event_id", flat=True)[:2])
            if len(only) == 1:
                return reverse("admin:job", args=only)
            if only:
                since, until = _time_of(first), _time_of(last) + timedelta(milliseconds=1)
                return self._link(JobFilter(since=since.isoformat(), until=until.isoformat()))
        known = Tenant.objects.filter(slug=words).exists()
        chosen = JobFilter(tenant=words) if known else JobFilter(metadata=words)
        return f"{reverse('admin:jobs')}?{urlencode(chosen.held())}"

    def _suggested(self, begun: str) -> list[str]:
        """A few slugs that begin so; a thousand would only make the page heavy."""
        slugs = Tenant.objects.order_by("slug").values_list("slug", flat=True)
        return list(slugs.filter(slug__startswith=begun)[:20])


def _time_of(event_id: UUID) -> datetime:
    """Its millisecond: the first 48 bits of a time-ordered id (RFC 9562 section 5.7)."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=event_id.int >> 80)


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
