"""The audit log of a tenant: who did what, and what was refused."""

from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse

from config.database import TooSlow, within
from config.errors import InvalidCursor
from tenants import entries
from tenants.console.page import ConsolePage, QueryForm, console_page
from tenants.models import AuditEntry, Scope
from tenants.serializers import AuditQuerySerializer

PATIENCE = 2.0  # seconds
OUTCOMES = [("", "any"), *AuditEntry.Outcome.choices]


class AuditForm(QueryForm):
    """What is looked for, in the words of GET /audit."""

    serializer = AuditQuerySerializer
    action = forms.CharField(
        required=False, widget=forms.TextInput(attrs={"placeholder": "member.removed"})
    )
    actor = forms.CharField(label="Who", required=False)
    object_id = forms.CharField(label="Object's id", required=False)
    outcome = forms.ChoiceField(choices=OUTCOMES, required=False)
    after = forms.CharField(
        label="From (UTC)", required=False, widget=forms.TextInput(attrs={"type": "datetime-local"})
    )
    before = forms.CharField(
        label="and before (UTC)",
        required=False,
        widget=forms.TextInput(attrs={"type": "datetime-local"}),
    )


@console_page("audit/", name="audit", label="Audit log", place=90)
class AuditPage(ConsolePage):
    scope = Scope.AUDIT_READ
    title = "Audit log"
    template = "audit.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = AuditForm(request.GET, label_suffix="")
        if not form.is_valid():
            return self.show(422, form=form)
        try:
            with within(PATIENCE):
                rows, cursor = entries.page(self.caller.tenant_id, form.accepted)
        except InvalidCursor:
            raise Http404 from None
        except TooSlow:
            return self.show(form=form, late=True)
        return self.show(form=form, rows=rows, following=self._following(cursor))

    def _following(self, cursor: str | None) -> str:
        if cursor is None:
            return ""
        query = self.request.GET.copy()
        query["cursor"] = cursor
        return f"?{query.urlencode()}"
