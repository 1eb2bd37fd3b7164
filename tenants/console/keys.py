"""API keys: what programs sign in with."""

from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django import forms
from django.conf import settings
from django.db.models import F
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone

from tenants.console.page import ConsoleForm, ConsolePage, FormPage, console_page, isolated
from tenants.models import FOR_PEOPLE_ALONE, ApiKey, Scope, Tenant
from tenants.serializers import KeyChangeSerializer, KeyCreateSerializer, KeyRotateSerializer
from tenants.services import keys

SHOWN_ONCE = (
    "That form was sent already, and is done once. The secret was on the first answer alone: if you"
    " have not seen it, give the key a new one."
)
NEVER, AS_IT_IS = "never", "same"
LASTS = [("30", "30 days"), ("90", "90 days"), ("365", "a year"), (NEVER, "until it is revoked")]
OVERLAPS = [(0, "at once"), (60, "in an hour"), (1440, "in a day"), (10080, "in a week")]
FOR_KEYS = [(each.value, each.label) for each in Scope if each not in FOR_PEOPLE_ALONE]


class KeyForm(ConsoleForm):
    name = forms.CharField(max_length=100, help_text="What uses the key, and where.")
    scopes = forms.MultipleChoiceField(
        label="It may",
        choices=FOR_KEYS,
        widget=forms.CheckboxSelectMultiple,
        help_text="No more than it needs.",
    )
    lasts = forms.ChoiceField(label="It lasts", choices=LASTS, initial="365")
    allowed_networks = forms.CharField(
        label="Only from these networks",
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "192.0.2.0/24"}),
        help_text="One to a line, as CIDR. Empty: from anywhere.",
    )

    def __init__(self, *args: Any, held: frozenset[str], **more: Any):
        super().__init__(*args, **more)
        own = [choice for choice in FOR_KEYS if choice[0] in held]
        self.fields["scopes"].choices = own  # type: ignore[attr-defined]

    def body(self) -> dict[str, Any]:
        typed = self.cleaned_data
        body = {
            "name": typed["name"],
            "scopes": typed["scopes"],
            "allowed_networks": typed["allowed_networks"].split(),
        }
        if typed["lasts"] != AS_IT_IS:
            body["expires_at"] = _end(typed["lasts"])
        return body


def _end(lasts: str) -> datetime | None:
    return None if lasts == NEVER else timezone.now() + timedelta(days=int(lasts))


class NewKeyForm(KeyForm):
    serializer = KeyCreateSerializer


class ChangeKeyForm(KeyForm):
    serializer = KeyChangeSerializer
    lasts = forms.ChoiceField(
        label="It lasts",
        choices=[(AS_IT_IS, "as long as it does now"), *LASTS],
        initial=AS_IT_IS,
        help_text="From today.",
    )


class RotateForm(ConsoleForm):
    serializer = KeyRotateSerializer
    overlap_minutes = forms.TypedChoiceField(
        label="The old secret ends",
        choices=OVERLAPS,
        coerce=int,
        initial=1440,
        help_text="Until then both work: time to give the program the new one.",
    )


@console_page("keys/", name="keys", label="API keys", place=40)
class KeysPage(ConsolePage):
    scope = Scope.KEYS_MANAGE
    title = "API keys"
    template = "keys.html"

    def context(self) -> dict[str, Any]:
        mine = ApiKey.objects.for_tenant(self.caller.tenant_id)
        rows = mine.defer("digest", "previous_digest").annotate(made_by=F("created_by__email"))
        listed = self.listed(rows, by="client_id")
        return {**listed, "now": timezone.now()}


class KeyFormPage(FormPage):
    scope = Scope.KEYS_MANAGE

    def back(self) -> str:
        return self.url("keys")

    def with_secret(self, new: keys.NewApiKey | None) -> HttpResponse:
        """The only page that shows it. Raises Http404 where there is no such key."""
        if new is None:
            raise Http404
        return self.show(template="new_key.html", new=new, public_url=settings.PUBLIC_URL)


class OneKey(KeyFormPage):
    """A form about the key of its address."""

    @cached_property
    def key(self) -> ApiKey:
        mine = ApiKey.objects.for_tenant(self.caller.tenant_id)
        return get_object_or_404(mine, client_id=self.kwargs["client_id"])

    def about(self) -> str:
        return f"{isolated(self.key.name)} ({self.key.client_id})"


@console_page("keys/new/", name="key-new")
class NewKeyPage(KeyFormPage):
    title = "New API key"
    button = "Make the key"
    says = "For one program. The next page shows its secret, and no page does after that."
    form_class = NewKeyForm
    sent_twice = SHOWN_ONCE

    def form_takes(self) -> dict[str, Any]:
        return {"held": self.caller.scopes}

    def perform(self, form: Any) -> HttpResponse:
        new = keys.issue_api_key(
            tenant=Tenant.objects.get(pk=self.caller.tenant_id),
            created_by_id=self.caller.user_id,
            held=self.caller.scopes,
            **form.accepted,
        )
        return self.with_secret(new)


@console_page("keys/<slug:client_id>/change/", name="key-change")
class ChangeKeyPage(OneKey):
    title = "Change a key"
    button = "Change"
    says = "Its tokens follow within a second."
    form_class = ChangeKeyForm

    def form_takes(self) -> dict[str, Any]:
        return {"held": self.caller.scopes}

    def initial(self) -> dict[str, Any]:
        key = self.key
        networks = "\n".join(key.allowed_networks)
        return {"name": key.name, "scopes": key.scopes, "allowed_networks": networks}

    def perform(self, form: Any) -> str:
        changed = keys.change_key(
            tenant_id=self.caller.tenant_id,
            client_id=self.key.client_id,
            held=self.caller.scopes,
            **form.accepted,
        )
        if changed is None:
            raise Http404
        return f"{isolated(changed.name)} is changed."


@console_page("keys/<slug:client_id>/rotate/", name="key-rotate")
class RotateKeyPage(OneKey):
    title = "Give a key a new secret"
    button = "Make a new secret"
    says = (
        "Its id and what it may do stay. The next page shows the new secret, and no page does after"
        " that."
    )
    form_class = RotateForm
    sent_twice = SHOWN_ONCE

    def perform(self, form: Any) -> HttpResponse:
        new = keys.rotate_key(
            tenant_id=self.caller.tenant_id,
            client_id=self.key.client_id,
            held=self.caller.scopes,
            overlap=timedelta(minutes=form.accepted["overlap_minutes"]),
        )
        return self.with_secret(new)


@console_page("keys/<slug:client_id>/revoke/", name="key-revoke")
class RevokeKeyPage(OneKey):
    title = "Revoke a key"
    button = "Revoke"
    danger = True
    says = (
        "The key and every token it was given are good for nothing within a second. It cannot be"
        " undone: make another one."
    )

    def perform(self, form: Any) -> str:
        if keys.revoke_key(tenant_id=self.caller.tenant_id, client_id=self.key.client_id) is None:
            raise Http404
        return f"{isolated(self.key.name)} is revoked."
