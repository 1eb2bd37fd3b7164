"""What holds for all jobs, and a provider's key of one's own, in the console."""

from uuid import uuid4

import pytest

from tenants.models import AuditEntry, ProviderKey, Role, Tenant
from tenants.services import provider_keys
from tests.accounts.acts import sign_in
from tests.factories import TenantFactory

pytestmark = pytest.mark.django_db
KEY = "sk-a-key-of-the-tests-1234"
FORM = {"on_doubt": "flag", "language": "", "retention_days": ""}
NEW_KEY = {"provider": "openai", "api_key": KEY}


@pytest.fixture(autouse=True)
def models(settings):
    settings.OPENAI_MODEL, settings.MODELS = "first-1", ["second-1", "third-1", "fourth-1"]
    settings.PROVIDERS = {"openai": "https://api.example/v1", "azure-x": "https://x.example/v1"}


def now(tenant):
    fields = ("on_doubt", "language", "retention_days", "preferred_models")
    return Tenant.objects.filter(pk=tenant.pk).values_list(*fields).get()


def own_key(tenant):
    return provider_keys.shown_key(tenant.id)


# --- What holds for all jobs --------------------------------------------------------------------


def test_at_first_the_page_says_what_the_installation_has(console):
    shown = console.get("settings").text

    assert "Flag it" in shown and "the guideline's own" in shown
    assert "<code>first-1</code>" in shown and "there is no fallback" in shown
    assert "until somebody deletes them" in shown


def test_all_is_changed_with_one_form(console, tenant):
    answer = console.send(
        "settings-change",
        on_doubt="repair",
        language="pt-br",
        retention_days="30",
        model_1="third-1",
        model_2="",
        model_3="first-1",
    )

    assert now(tenant) == ("repair", "pt-BR", 30, ["third-1", "first-1"])
    for shown in ("Ask the model once more", "pt-BR", "30 days", "The settings are changed."):
        assert shown in answer.text
    assert "<code>third-1</code>, then <code>first-1</code>" in answer.text
    entry = AuditEntry.objects.for_tenant(tenant.id).get(action="settings.changed")
    assert (entry.actor, entry.after["retention_days"]) == (console.user.email, 30)


def test_the_form_holds_what_is_set_and_what_is_emptied_is_unset(console, tenant):
    order = ["fourth-1", "third-1", "second-1", "first-1"]
    Tenant.objects.filter(pk=tenant.pk).update(
        on_doubt="drop", language="de", retention_days=7, preferred_models=order
    )

    form = console.get("settings-change").text
    console.send("settings-change", **FORM)

    for held in ('value="de"', 'value="7"', '<option value="drop" selected>'):
        assert held in form
    assert [form.count(f'<option value="{model}" selected>') for model in order] == [1] * 4
    assert now(tenant) == ("flag", "", None, [])


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"on_doubt": "hope"}, "Select a valid choice"),
        ({"language": "deutsch please"}, "A BCP 47 tag"),
        ({"retention_days": "0"}, "At least 1 day"),
        ({"retention_days": "36501"}, "At most 36500 days"),
        ({"retention_days": "soon"}, "whole number"),
        ({"model_1": "gpt-99"}, "Select a valid choice"),
        ({"model_1": "first-1", "model_2": "first-1"}, "A model stands here twice"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_nothing_changes(console, tenant, typed, said):
    answer = console.send("settings-change", **FORM | {"language": "de"} | typed)

    assert answer.status_code == 422
    assert answer.text.count('class="errorlist"') == 1 and said in answer.text
    assert 'class="errorlist nonfield"' not in answer.text
    assert now(tenant) == ("flag", "", None, [])


def test_a_plan_bounds_the_choice(db, console_for):
    tenant = TenantFactory(plan={"allowed_models": ["second-1"], "retention_days": 90})
    console = console_for(tenant)

    form = console.get("settings-change").text

    assert 'value="second-1"' in form and "first-1" not in form
    assert "90 days, as your plan says" in console.get("settings").text
    assert console.send("settings-change", **FORM, model_1="first-1").status_code == 422


def test_a_plan_without_a_model_of_ours_leaves_the_other_settings(db, console_for):
    tenant = TenantFactory(plan={"allowed_models": ["gone-1"]})
    console = console_for(tenant)

    wrong = console.send("settings-change", **FORM | {"language": "Latin!"})
    console.send("settings-change", **FORM | {"language": "de"})

    assert wrong.status_code == 422 and "BCP 47" in wrong.text
    assert now(tenant) == ("flag", "de", None, [])


# --- The provider's key -------------------------------------------------------------------------


def test_a_key_is_set_shown_by_its_end_replaced_and_removed(console, tenant):
    assert "Use a key of your own" in console.get("settings").text

    answer = console.send("provider-key", **NEW_KEY)
    assert "ends in <code>1234</code>" in answer.text and console.user.email in answer.text
    console.send("provider-key", provider="azure-x", api_key=f"{KEY}-5678")
    assert (own_key(tenant).provider, own_key(tenant).last4) == ("azure-x", "5678")
    assert "azure-x, ends in 5678" in console.get("provider-key-remove").text

    answers = [console.send("provider-key-remove") for _ in range(2)]

    assert "The key is removed." in answers[0].text
    assert "There was none to remove." in answers[1].text
    assert own_key(tenant) is None


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"api_key": "short"}, "at least 20 characters"),
        ({"api_key": f"{KEY} with spaces"}, "no spaces"),
        ({"api_key": f" {KEY}"}, "no spaces"),
        ({"api_key": "x" * 301}, "no more than 300"),
        ({"provider": "nobody"}, "Select a valid choice"),
    ],
)
def test_a_key_that_will_not_do_is_refused_and_not_shown(console, tenant, typed, said):
    sent = NEW_KEY | typed

    answer = console.send("provider-key", **sent)

    assert answer.status_code == 422 and said in answer.text
    assert sent["api_key"] not in answer.text
    assert own_key(tenant) is None


def test_the_key_is_nowhere_in_the_session_or_the_audit_log(console, tenant):
    sign_in(console.browser, console.user, seconds_ago=301)
    sent = console.browser.post(console.url("provider-key"), {"once": uuid4(), **NEW_KEY})
    assert sent.headers["Location"].startswith("/accounts/reauthenticate/")
    assert "kept_form" in console.browser.session
    assert KEY not in str(dict(console.browser.session.items()))

    sign_in(console.browser, console.user)
    assert KEY not in console.get("provider-key").text
    console.send("provider-key", **NEW_KEY)

    for entry in AuditEntry.objects.for_tenant(tenant.id):
        assert KEY not in f"{entry.before} {entry.after}"


# --- Whose --------------------------------------------------------------------------------------


def test_of_others_nothing_is_seen_or_changed(console, console_for):
    theirs = TenantFactory()
    console_for(theirs).send("provider-key", **NEW_KEY)

    assert "None. Calls to models" in console.get("settings").text
    for name, form in (("settings-change", FORM), ("provider-key", NEW_KEY)):
        url = console.url(name, slug=theirs.slug)
        assert console.browser.post(url, {"once": uuid4(), **form}).status_code == 404
    console.send("provider-key-remove")
    assert ProviderKey.objects.for_tenant(theirs.id).exists()


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
def test_only_owners_and_admins_see_and_change_any_of_it(tenant, console_for, role):
    console = console_for(tenant, role)

    answers = [
        console.get("settings"),
        console.send("settings-change", **FORM | {"language": "de"}),
        console.send("provider-key", **NEW_KEY),
        console.send("provider-key-remove"),
    ]

    assert {each.status_code for each in answers} == {403}
    assert (now(tenant)[1], own_key(tenant)) == ("", None)
    assert console_for(tenant, Role.ADMIN).get("settings").status_code == 200
