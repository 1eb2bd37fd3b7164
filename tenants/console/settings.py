"""What holds for all jobs of a tenant, and its own key of a model provider."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from django import forms
from django.conf import settings

from tenants.console.page import ConsoleForm, ConsolePage, FormPage, console_page
from tenants.languages import MAX_TAG
from tenants.models import OnDoubt, Scope, Tenant
from tenants.serializers import ProviderKeyPutSerializer, SettingsChangeSerializer
from tenants.services import provider_keys
from tenants.services.settings import change_settings

PLACES = 3  # in the order of models, at least; one more than are taken
FIRST_MODEL = "Of jobs that name none. While it is away its fallbacks are asked, in this order."


class SettingsForm(ConsoleForm):
    """choice  the models that the tenant may put into an order
    order   those that stand in it
    """

    serializer = SettingsChangeSerializer
    on_doubt = forms.ChoiceField(
        label="An item whose meaning is in doubt",
        choices=OnDoubt.choices,
        help_text="Flagged, it stands in the checklist and says why it is in doubt. Dropped, it"
        " does not. To ask the model once more costs tokens, and flags what is in doubt still.",
    )
    language = forms.CharField(
        label="Language of checklists",
        required=False,
        max_length=MAX_TAG,
        widget=forms.TextInput(attrs={"placeholder": "de, pt-BR, …"}),
        help_text="As a tag such as de or pt-BR. Empty: the guideline's own.",
    )
    retention_days = forms.IntegerField(
        label="Days for which jobs are kept",
        required=False,
        widget=forms.NumberInput(attrs={"min": 1}),
        help_text="Counted from their end. It holds for the jobs that are there too: those that are"
        " older are deleted within minutes, and nobody brings them back. Empty: as your plan says.",
    )

    def __init__(self, *args: Any, choice: list[str], order: list[str], **more: Any):
        super().__init__(*args, **more)
        count = min(len(choice), max(PLACES, len(order) + 1))
        self.places = [_place(number) for number in range(1, count + 1)]
        for number, name in enumerate(self.places):
            self.fields[name] = forms.ChoiceField(
                label=f"Fallback {number}" if number else "Model",
                required=False,
                choices=[
                    ("", "none" if number else "the installation's first"),
                    *_named(choice),
                ],
                help_text="" if number else FIRST_MODEL,
            )

    def body(self) -> dict[str, Any]:
        """All of them: what is empty is set to nothing, not left as it is."""
        typed = self.cleaned_data
        return {
            "on_doubt": typed["on_doubt"],
            "language": typed["language"],
            "retention_days": typed["retention_days"],
            "models": [typed[name] for name in self.places if typed[name]],
        }

    def _say(self, errors: dict[str, Any]) -> None:
        of_models = self.places[0] if self.places else "models"
        super()._say({of_models if name == "models" else name: errors[name] for name in errors})


def _place(number: int) -> str:
    """The field of the model that is asked as the first, the second and so on."""
    return f"model_{number}"


def _named(names: Iterable[str]) -> list[tuple[str, str]]:
    """As choices, each by its own name."""
    return [(name, name) for name in names]


class ProviderKeyForm(ConsoleForm):
    serializer = ProviderKeyPutSerializer
    provider = forms.ChoiceField()
    api_key = forms.CharField(
        label="Key",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="As the provider gave it to you. It is sealed, and no page shows it again.",
    )

    def __init__(self, *args: Any, **more: Any):
        super().__init__(*args, **more)
        known = _named(settings.PROVIDERS)
        self.fields["provider"].choices = known  # type: ignore[attr-defined]


@console_page("settings/", name="settings", label="Settings", place=80)
class SettingsPage(ConsolePage):
    scope = Scope.SETTINGS_MANAGE
    title = "Settings"
    template = "settings.html"

    def context(self) -> dict[str, Any]:
        preferences = self.caller.preferences
        return {
            "tenant": Tenant.objects.select_related("plan").get(pk=self.caller.tenant_id),
            "models": preferences.models,
            "key": provider_keys.shown_key(self.caller.tenant_id),
            "may_have_key": bool(settings.PROVIDERS),
        }


class SettingsFormPage(FormPage):
    scope = Scope.SETTINGS_MANAGE

    def back(self) -> str:
        return self.url("settings")


@console_page("settings/change/", name="settings-change")
class ChangeSettingsPage(SettingsFormPage):
    title = "Change the settings"
    button = "Change"
    says = (
        "For jobs that are submitted from then on, unless they say otherwise. How long jobs are"
        " kept holds for all."
    )
    form_class = SettingsForm

    @cached_property
    def tenant(self) -> Tenant:
        return Tenant.objects.get(pk=self.caller.tenant_id)

    @property
    def choice(self) -> list[str]:
        return self.caller.preferences.choice

    @property
    def order(self) -> list[str]:
        return [model for model in self.tenant.preferred_models if model in self.choice]

    def form_takes(self) -> dict[str, Any]:
        return {"choice": self.choice, "order": self.order}

    def initial(self) -> dict[str, Any]:
        tenant = self.tenant
        return {
            "on_doubt": tenant.on_doubt,
            "language": tenant.language,
            "retention_days": tenant.retention_days,
            **{_place(number): model for number, model in enumerate(self.order, 1)},
        }

    def perform(self, form: Any) -> str:
        change_settings(self.caller.tenant_id, **form.accepted)
        return "The settings are changed."


@console_page("settings/provider/", name="provider-key")
class ProviderKeyPage(SettingsFormPage):
    title = "A provider's key of your own"
    button = "Use this key"
    says = (
        "Your jobs' calls to models are made with it from the next call on, and the provider bills"
        " you: budgets of money do not count them, budgets of tokens do. It takes the place of the"
        " one before."
    )
    form_class = ProviderKeyForm
    secrets = ("api_key",)

    def perform(self, form: Any) -> str:
        key = provider_keys.put_key(
            tenant_id=self.caller.tenant_id, by=self.caller.user_id, **form.accepted
        )
        return f"Calls are made with the key of {key.provider} that ends in {key.last4}."


@console_page("settings/provider/remove/", name="provider-key-remove")
class RemoveProviderKeyPage(SettingsFormPage):
    title = "Stop using a key of your own"
    button = "Remove the key"
    danger = True
    says = (
        "From the next call on the installation's own key is used, and budgets of money count"
        " again. Revoke the key with your provider too."
    )

    def about(self) -> str:
        key = provider_keys.shown_key(self.caller.tenant_id)
        return f"{key.provider}, ends in {key.last4}" if key else "There is none."

    def perform(self, form: Any) -> str:
        removed = provider_keys.remove_key(self.caller.tenant_id)
        return "The key is removed." if removed else "There was none to remove."
