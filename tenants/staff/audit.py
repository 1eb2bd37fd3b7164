"""The audit log of all tenants and of the installation: searched, checked, taken away as a file."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Max, Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from config.database import TooSlow, within
from config.isolation import DatabaseRole
from config.staff import (
    Act,
    ActPage,
    ReasonForm,
    StaffPage,
    StaffRole,
    because,
    declare,
    staff_page,
)
from tenants.audit import record
from tenants.models import AuditEntry, AuditSeal, Tenant
from tenants.querysets import TenantQuerySet
from tenants.sealing.verification import Verification

PER_PAGE = 50
PATIENCE = 2.0  # seconds
EXPORTED = 10_000
VERIFIED = 50_000  # entries, some seconds' work: more is for `manage.py audit_verify`
FINDINGS_SHOWN = 50
SUBMITTED = "job.submitted"
COLUMNS = (
    "at",
    "tenant__slug",
    "actor_kind",
    "actor",
    "on_behalf_of",
    "address",
    "request_id",
    "action",
    "outcome",
    "object_type",
    "object_id",
    "before",
    "after",
)
VERIFY = declare(
    Act(
        "audit.verified",
        "Verify",
        StaffRole.OPERATOR,
        "Every entry's hash is computed anew and compared with its seal, and the triggers that keep"
        " the log are looked for. Anchors outside of the database are compared by"
        " manage.py audit_verify alone.",
    )
)
EXPORT = declare(
    Act(
        "audit.exported",
        "Export",
        StaffRole.ADMINISTRATOR,
        "The newest 10,000 entries that match, with addresses and e-mail addresses of people. Keep"
        " the file as you would the log.",
    )
)


class SearchForm(forms.Form):
    tenant = forms.SlugField(required=False)
    actor = forms.CharField(required=False, max_length=254)
    action = forms.CharField(required=False, max_length=60)
    object_id = forms.CharField(label="Object's id", required=False, max_length=100)
    outcome = forms.ChoiceField(choices=[("", "any"), *AuditEntry.Outcome.choices], required=False)
    since = forms.DateTimeField(label="From (UTC)", required=False)
    until = forms.DateTimeField(label="and before (UTC)", required=False)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if given.get("action") == SUBMITTED and not given.get("tenant"):
            self.add_error("tenant", "There is one for each job: say of which tenant.")
        return given

    def entries(self) -> TenantQuerySet:
        """Those that match what is well formed, newest first. Submissions only where they are asked
        for: there is one for each job, and the list of jobs has them."""
        self.full_clean()
        given = self.cleaned_data
        entries = AuditEntry.objects.across_tenants()
        if given.get("tenant"):
            tenant = Tenant.objects.filter(slug=given["tenant"]).first()
            entries = entries.filter(tenant=tenant) if tenant else entries.none()
        for name in ("actor", "action", "object_id", "outcome"):
            if given.get(name):
                entries = entries.filter(**{name: given[name]})
        if given.get("action") != SUBMITTED:
            entries = entries.exclude(action=SUBMITTED)
        elif not given.get("tenant"):
            entries = entries.none()
        if given.get("since"):
            entries = entries.filter(at__gte=given["since"])
        if given.get("until"):
            entries = entries.filter(at__lt=given["until"])
        return entries.order_by("-at", "-id")

    def held(self) -> str:
        """What was asked for, for an address."""
        return urlencode({name: self.data[name] for name in self.fields if self.data.get(name)})


@staff_page("tenants/audit/", name="audit", label="Audit", place=80)
class AuditPage(StaffPage):
    title = "Audit log"
    may_lag = True
    template = "audit.html"

    def context(self) -> dict[str, Any]:
        form = SearchForm(self.request.GET, label_suffix="")
        rows, late = self._rows(form.entries())
        shown = rows[:PER_PAGE]
        older = ""
        if len(rows) > PER_PAGE:
            last = shown[-1]
            older = f"?{form.held()}&{urlencode({'before': _cursor(last.at, last.pk)})}"
        return {
            "form": form,
            "held": form.held(),
            "rows": shown,
            "late": late,
            "older": older,
            "acts": [
                (act, f"{reverse(f'admin:{name}')}?{form.held()}")
                for name, act in (("audit_verify", VERIFY), ("audit_export", EXPORT))
                if self.may(act)
            ],
        }

    def _rows(self, entries: TenantQuerySet) -> tuple[list[AuditEntry], bool]:
        """A page and one more; or none, and that it took too long."""
        place = _place(self.request.GET.get("before", ""))
        if place:
            at, pk = place
            entries = entries.filter(Q(at__lt=at) | Q(at=at, pk__lt=pk), at__lte=at)
        try:
            with within(PATIENCE):
                return list(entries.select_related("tenant", "seal")[: PER_PAGE + 1]), False
        except TooSlow:
            return [], True


def _cursor(at: datetime, pk: int) -> str:
    return f"{at.astimezone(UTC).isoformat()}_{pk}"


def _place(cursor: str) -> tuple[datetime, int] | None:
    at, _, pk = cursor.partition("_")
    try:
        return datetime.fromisoformat(at), int(pk)
    except ValueError:
        return None


class VerifyForm(ReasonForm):
    tenant = forms.SlugField(required=False, help_text="A slug; all chains unless given.")
    field_order = ["tenant", "reason"]

    def clean_tenant(self) -> str:
        slug: str = self.cleaned_data["tenant"]
        if slug and not Tenant.objects.filter(slug=slug).exists():
            raise ValidationError("There is no such tenant.")
        seals = AuditSeal.objects.across_tenants()
        seals = seals.filter(tenant__slug=slug) if slug else seals
        chains = seals.order_by().values("tenant").annotate(last=Max("seq"))
        if sum(chain["last"] for chain in chains) > VERIFIED:
            raise ValidationError(
                f"That is more than {VERIFIED:,} entries. Let manage.py audit_verify check them."
            )
        return slug


@staff_page("tenants/audit/verify/", name="audit_verify")
class VerifyPage(ActPage):
    act, form_class = VERIFY, VerifyForm
    template = "audit_verify.html"

    def initial(self) -> dict[str, Any]:
        return {"tenant": self.request.GET.get("tenant", "")}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self.form
        if not form.is_valid():
            return self.show(422)
        run = Verification(form.cleaned_data["tenant"], DatabaseRole.STAFF)
        found = list(islice(run.findings(), FINDINGS_SHOWN))
        with because(form.cleaned_data["reason"]):
            record(
                VERIFY.code,
                tenant_id=None,
                of=("audit_log", run.slug or "all"),
                after={"entries": run.entries, "findings": len(found)},
            )
        return self.show(run=run, found=found, at_least=len(found) == FINDINGS_SHOWN)

    def back(self) -> str:
        return reverse("admin:audit")


class ExportForm(ReasonForm):
    form = forms.ChoiceField(label="Format", choices=[("csv", "CSV"), ("ndjson", "JSON lines")])
    field_order = ["form", "reason"]


@staff_page("tenants/audit/export/", name="audit_export")
class ExportPage(ActPage):
    act, form_class = EXPORT, ExportForm

    def about(self) -> str:
        return f"Entries: {self.search.held() or 'all but submissions'}"

    @property
    def search(self) -> SearchForm:
        return SearchForm(self.request.GET)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self.form
        if not form.is_valid():
            return self.show(422)
        rows = self.lagging(lambda: list(self.search.entries().values(*COLUMNS)[:EXPORTED]))
        with because(form.cleaned_data["reason"]):
            record(
                EXPORT.code,
                tenant_id=None,
                of=("audit_log", self.search.held()[:100] or "all"),
                after={"entries": len(rows)},
            )
        kind = form.cleaned_data["form"]
        write, media = (_csv, "text/csv") if kind == "csv" else (_lines, "application/x-ndjson")
        headers = {"Content-Disposition": f'attachment; filename="audit.{kind}"'}
        return HttpResponse("".join(write(rows)), content_type=media, headers=headers)

    def back(self) -> str:
        return f"{reverse('admin:audit')}?{self.search.held()}"


def _csv(rows: list[dict[str, Any]]) -> Iterator[str]:
    """RFC 4180. What a spreadsheet would take for a formula begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    yield out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value.isoformat() if isinstance(value, datetime) else value
    text = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(row, default=str, ensure_ascii=False) + "\n"
