"""What a tenant sets for all its jobs, and its own key of a provider, over the API."""

from importlib import import_module

import pytest
from django.db import connection
from guardian.shortcuts import remove_perm

from tenants.models import AuditEntry, ProviderKey, Role, Scope, Tenant
from tenants.permissions import granted_scopes
from tests.config.test_problems import check_problem
from tests.factories import ApiKeyFactory, TenantFactory
from tests.tenants.test_standing import group_of

KEY = "sk-a-key-of-the-tests-1234"


@pytest.fixture(autouse=True)
def models(settings):
    settings.OPENAI_MODEL, settings.MODELS = "first-1", ["second-1", "third-1"]
    settings.PROVIDERS = {"openai": "https://api.example/v1", "azure-x": "https://x.example/v1"}


@pytest.fixture
def owner(tenant, person_client_for):
    return person_client_for(tenant)


def change(client, **body):
    return client.patch("/settings", body, format="json")


def put(client, **body):
    body = {"provider": "openai", "api_key": KEY} | body
    return client.put("/settings/provider", body, format="json")


def entries(tenant, action):
    return list(AuditEntry.objects.for_tenant(tenant.id).filter(action=action).order_by("id"))


# --- Settings ---------------------------------------------------------------------------------


def test_at_first_they_are_as_the_installation_has_it(owner):
    assert owner.get("/settings").json() == {
        "on_doubt": "flag",
        "language": "",
        "models": [],
        "allowed_models": ["first-1", "second-1", "third-1"],
        "retention_days": None,
    }


def test_what_is_left_out_stays_and_what_changed_is_audited(owner, tenant):
    change(owner, language="pt-BR", retention_days=30)

    response = change(owner, models=["third-1", "first-1"], on_doubt="drop", language="pt-br")

    assert response.status_code == 200
    assert response.json() == owner.get("/settings").json()
    assert response.json() | {"allowed_models": []} == {
        "on_doubt": "drop",
        "language": "pt-BR",
        "models": ["third-1", "first-1"],
        "allowed_models": [],
        "retention_days": 30,
    }
    first, second = entries(tenant, "settings.changed")
    assert (first.before, first.after) == (
        {"language": "", "retention_days": None},
        {"language": "pt-BR", "retention_days": 30},
    )
    assert (second.before, second.after) == (
        {"preferred_models": [], "on_doubt": "flag"},
        {"preferred_models": ["third-1", "first-1"], "on_doubt": "drop"},
    )
    assert second.actor_kind == "person"


def test_a_change_that_changes_nothing_is_not_audited(owner, tenant):
    assert change(owner, language="", models=[]).status_code == 200
    assert change(owner).status_code == 200

    assert entries(tenant, "settings.changed") == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"on_doubt": "hope"}, "/on_doubt"),
        ({"language": "deutsch please"}, "/language"),
        ({"language": "-de"}, "/language"),
        ({"language": "xx"}, "/language"),  # as for a job's own option
        ({"models": ["first-1", "first-1"]}, "/models"),
        ({"models": ["first-1", "gpt-99"]}, "/models"),
        ({"models": "first-1"}, "/models"),
        ({"models": [f"m-{n}" for n in range(21)]}, "/models"),
        ({"retention_days": 0}, "/retention_days"),
        ({"retention_days": 36_501}, "/retention_days"),
        ({"allowed_models": ["first-1"]}, "/allowed_models"),
        ({"plan": "gold"}, "/plan"),
    ],
)
def test_what_will_not_do_is_named_and_nothing_is_changed(owner, tenant, body, pointer):
    before = owner.get("/settings").json()

    response = change(owner, **{"language": "de", **body})

    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer
    assert owner.get("/settings").json() == before
    assert entries(tenant, "settings.changed") == []


def test_a_plan_bounds_the_choice_and_the_refusal_names_what_is_left(db, person_client_for):
    owner = person_client_for(TenantFactory(plan={"allowed_models": ["second-1"]}))

    body = check_problem(change(owner, models=["first-1"]), 422, "model_not_allowed")

    assert body["allowed"] == ["second-1"]
    assert owner.get("/settings").json()["allowed_models"] == ["second-1"]


def test_limits_say_which_models_may_be_used(owner, tenant, client_for):
    assert owner.get("/limits").json()["models"] == {
        "default": "first-1",
        "fallbacks": [],
        "allowed": ["first-1", "second-1", "third-1"],
    }

    Tenant.objects.filter(pk=tenant.pk).update(preferred_models=["third-1", "first-1"])

    key = client_for(tenant, scopes=[Scope.USAGE_READ])
    assert key.get("/limits").json()["models"] == {
        "default": "third-1",
        "fallbacks": ["first-1"],
        "allowed": ["third-1", "first-1"],
    }


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER, "key"])
def test_only_owners_and_admins_in_person_see_and_change_any_of_it(
    tenant, person_client_for, client_for, role
):
    client = client_for(tenant) if role == "key" else person_client_for(tenant, role)

    for response in (
        client.get("/settings"),
        change(client, language="de"),
        client.get("/settings/provider"),
        put(client),
        client.delete("/settings/provider"),
    ):
        check_problem(response, 403, "insufficient_scope")

    assert Tenant.objects.get(pk=tenant.pk).language == ""
    assert person_client_for(tenant, Role.ADMIN).get("/settings").status_code == 200


def test_no_key_is_made_that_could(owner):
    body = {"name": "x", "scopes": ["jobs:read", "settings:manage"]}

    problem = check_problem(owner.post("/keys", body, format="json"), 403, "insufficient_scope")

    assert "`settings:manage`" in problem["detail"]


def test_the_database_itself_refuses_a_key_with_a_scope_of_people_alone(db):
    key = ApiKeyFactory().key
    key.scopes = [Scope.SETTINGS_MANAGE]

    with pytest.raises(Exception, match="api_key_has_no_scope_of_people_alone"):
        key.save(update_fields=["scopes"])


def test_tenants_that_were_there_before_the_scope_get_it_for_the_same_roles(tenant):
    for role in (Role.OWNER, Role.ADMIN):
        remove_perm(Scope.SETTINGS_MANAGE.permission, group_of(tenant, role), tenant)
    assert Scope.SETTINGS_MANAGE not in granted_scopes(tenant, Role.OWNER)
    migration = import_module("tenants.migrations.0012_settings_and_provider_keys")

    with connection.cursor() as cursor:
        cursor.execute(migration.GRANT)
        cursor.execute(migration.GRANT)

    having = [role for role in Role if Scope.SETTINGS_MANAGE in granted_scopes(tenant, role)]
    assert having == [Role.OWNER, Role.ADMIN]


# --- The provider's key -----------------------------------------------------------------------


def test_a_key_is_set_shown_by_its_end_replaced_and_removed(owner, tenant):
    assert owner.get("/settings/provider").status_code == 404

    response = put(owner)
    shown = owner.get("/settings/provider")

    assert response.status_code == shown.status_code == 200
    assert response.json() == shown.json()
    assert shown.json() | {"set_at": ""} == {
        "provider": "openai",
        "last4": "1234",
        "set_at": "",
        "set_by": owner.session_row.user.email,
    }
    assert {a.headers["Cache-Control"] for a in (response, shown)} == {"no-store"}
    assert put(owner, provider="azure-x", api_key=f"{KEY}-5678").json()["last4"] == "5678"
    assert ProviderKey.objects.for_tenant(tenant.id).count() == 1
    assert owner.delete("/settings/provider").status_code == 204
    assert owner.delete("/settings/provider").status_code == 404
    assert [entry.after for entry in entries(tenant, "provider_key.set")] == [
        {"provider": "openai", "last4": "1234"},
        {"provider": "azure-x", "last4": "5678"},
    ]
    [removed] = entries(tenant, "provider_key.removed")
    assert (removed.before, removed.after) == ({"provider": "azure-x", "last4": "5678"}, None)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"provider": "http://169.254.169.254/"}, "/provider"),
        ({"provider": "OpenAI"}, "/provider"),
        ({"base_url": "https://mine.example"}, "/base_url"),
        ({"api_key": "short"}, "/api_key"),
        ({"api_key": f"{KEY} "}, "/api_key"),
        ({"api_key": f"{KEY}\n"}, "/api_key"),
        ({"api_key": f"{KEY}ü"}, "/api_key"),
        ({"api_key": "k" * 301}, "/api_key"),
        ({"api_key": 5}, "/api_key"),
    ],
)
def test_a_tenant_says_a_providers_name_and_a_whole_key_and_neither_is_repeated(
    owner, tenant, body, pointer
):
    response = put(owner, **body)

    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer
    assert KEY not in response.content.decode()
    assert not ProviderKey.objects.for_tenant(tenant.id).exists()


def test_an_unknown_provider_is_told_which_there_are(owner):
    body = check_problem(put(owner, provider="nobody"), 422, "unknown_provider")

    assert "openai, azure-x" in body["detail"]


def test_a_key_of_another_tenant_is_neither_shown_nor_touched(owner, person_client_for):
    other = TenantFactory()
    put(person_client_for(other))

    assert owner.get("/settings/provider").status_code == 404
    assert owner.delete("/settings/provider").status_code == 404

    assert ProviderKey.objects.for_tenant(other.id).get().last4 == "1234"
