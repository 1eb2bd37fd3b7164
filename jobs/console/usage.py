"""What was used, by day, key or model: what GET /usage says, as a page and as a file."""

from datetime import date, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.db.models import CharField
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse

from config import charts, replica
from config.isolation import DatabaseRole
from jobs import usage
from jobs.usage_views import DEFAULT_DAYS, UsageQuerySerializer, as_file, table, today
from tenants.console.page import ConsolePage, QueryForm, console_page
from tenants.models import ApiKey, Membership, Scope

SHOWN = usage.MAX_DAYS  # rows: every day there can be, and as many keys or models
BY = [("day", "day"), ("key", "key or person"), ("model", "model")]


class UsageForm(QueryForm):
    """The query of GET /usage; once it is checked, with what was left out."""

    serializer = UsageQuerySerializer

    def __init__(self, *args: Any, **more: Any):
        super().__init__(*args, **more)
        for name in ("from", "to"):  # the first is a word of Python
            day = forms.DateInput({"type": "date"})
            self.fields[name] = forms.CharField(required=False, widget=day)
        self.fields["by"] = forms.CharField(required=False, widget=forms.Select(choices=BY))

    def clean(self) -> dict[str, Any]:
        typed = super().clean()
        self.data = self.accepted or self.data
        return typed


@console_page("usage/", name="usage", label="Usage", place=60)
class UsagePage(ConsolePage):
    scope = Scope.USAGE_READ
    title = "Usage"
    template = "usage.html"

    @cached_property
    def form(self) -> UsageForm:
        return UsageForm(self.request.GET, label_suffix="")

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.show(200 if self.form.is_valid() else 422)

    def context(self) -> dict[str, Any]:
        said = {"form": self.form, "spans": self._spans()}
        return {**said, **self._used(self.form.accepted)} if self.form.is_valid() else said

    def _used(self, query: dict[str, Any]) -> dict[str, Any]:
        span = {"first": query["from"], "last": query["to"]}
        by = query["by"]
        total, days, rows = replica.read(
            lambda: self._read(span, by), DatabaseRole.API, self.caller.tenant_id
        )
        shown = _ranked(rows, by)[:SHOWN]
        return {
            **span,
            "by": by,
            "total": total,
            "rows": self._named(shown, by),
            "left_out": len(rows) - len(shown),
            "plot": _plot(days, **span, is_paid=total["cost_micro_usd"] > 0),
            "own_key": self.caller.preferences.own_key,
            "table_url": f"{self.url('usage-table')}?{urlencode(query)}",
        }

    def _read(self, span: dict[str, date], by: str) -> tuple[dict[str, int], list[Any], list[Any]]:
        """The total, the days for the plot, and the rows."""
        tenant_id = self.caller.tenant_id
        days = usage.used(tenant_id, by="day", **span)
        rows = days if by == "day" else usage.used(tenant_id, by=by, **span)
        return usage.used_in_all(tenant_id, **span), days, rows

    def _named(self, rows: list[dict[str, Any]], by: str) -> list[dict[str, Any]]:
        """The rows with their `label`, and the `name` of a key or person that whoever asks may
        know."""
        names = self._names([row["key"] for row in rows]) if by == "key" else {}
        return [{**row, "label": row[by], "name": names.get(row[by], "")} for row in rows]

    def _names(self, subjects: list[str]) -> dict[str, str]:
        """By what submitted: a client_id, or a person's public id."""
        caller = self.caller
        names = {caller.subject: caller.name}
        if self.may(Scope.KEYS_MANAGE):
            keys = ApiKey.objects.for_tenant(caller.tenant_id).filter(client_id__in=subjects)
            names.update(keys.values_list("client_id", "name"))
        if self.may(Scope.MEMBERS_MANAGE):
            members = Membership.objects.for_tenant(caller.tenant_id)
            people = members.annotate(subject=Cast("user__public_id", CharField()))
            people = people.filter(subject__in=subjects)
            names.update(people.values_list("subject", "user__email"))
        return names

    def _spans(self) -> list[dict[str, Any]]:
        """Those that people ask for most: label, url, current."""
        query = self.form.accepted
        return [
            {
                "label": label,
                "url": "?" + urlencode({"from": first, "to": last, "by": query.get("by", "day")}),
                "current": (first, last) == (query.get("from"), query.get("to")),
            }
            for label, first, last in _spans(today())
        ]


@console_page("usage.csv", name="usage-table")
class UsageTablePage(UsagePage):
    """The file of GET /usage.csv; of a query that will not do, the page that says why."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.form.is_valid():
            return self.show(422)
        query = self.form.accepted
        tenant_id, by = self.caller.tenant_id, query["by"]
        rows = replica.read(
            lambda: usage.used(tenant_id, first=query["from"], last=query["to"], by=by),
            DatabaseRole.API,
            tenant_id,
        )
        return HttpResponse(
            table(rows, by), content_type="text/csv; charset=utf-8", headers=as_file(query)
        )


def _ranked(rows: list[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    """The newest day first; or whatever was charged most."""
    if by == "day":
        return rows[::-1]
    return sorted(rows, key=lambda row: row["charged_tokens"], reverse=True)


def _plot(days: list[dict[str, Any]], *, first: date, last: date, is_paid: bool) -> charts.Plot:
    """Each day from first to last; what cost money as money, else as tokens."""
    what, unit, title = (
        ("cost_micro_usd", "micro_usd", "Cost by day")
        if is_paid
        else ("charged_tokens", "tokens", "Charged tokens by day")
    )
    used = {row["day"]: row[what] for row in days}
    labels = [str(first + timedelta(days=n)) for n in range((last - first).days + 1)]
    return charts.bars([charts.Point(day, used.get(day, 0)) for day in labels], unit, title)


def _spans(now: date) -> list[tuple[str, date, date]]:
    month = now.replace(day=1)
    month_before = month - timedelta(days=1)
    return [
        ("Last 7 days", now - timedelta(days=6), now),
        (f"Last {DEFAULT_DAYS} days", now - timedelta(days=DEFAULT_DAYS - 1), now),
        ("This month", month, now),
        ("Last month", month_before.replace(day=1), month_before),
    ]
