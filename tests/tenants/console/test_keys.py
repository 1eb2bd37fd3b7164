"""Keys in the console: made, changed, rotated, revoked, by the rules of the API."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from guardian.models import GroupObjectPermission

from tenants.console import page
from tenants.console.page import isolated
from tenants.models import ApiKey, AuditEntry, Role, Scope
from tenants.permissions import group_name
from tests.factories import ApiKeyFactory, TenantFactory

pytestmark = pytest.mark.django_db
FORM = {"name": "Ward 7", "scopes": ["jobs:read", "jobs:submit"], "lasts": "30"}


def token(client, new_id, secret):
    form = {"grant_type": "client_credentials", "client_id": new_id, "client_secret": secret}
    return client.post("/oauth/token", form, content_type="application/json")


def shown(answer):
    return [re.search(rf'id="{name}"[^>]*value="([^"]*)"', answer.text)[1] for name in PAIR]


PAIR = ("client_id", "client_secret")


def test_a_key_is_made_and_its_secret_is_shown_once_and_works(console, client, tenant):
    answer = console.send("key-new", **FORM, allowed_networks="127.0.0.0/8\n2001:db8::/32")

    client_id, secret = shown(answer)
    assert token(client, client_id, secret).status_code == 200
    assert answer["Cache-Control"] == "no-store"
    key = ApiKey.objects.for_tenant(tenant.id).get(client_id=client_id)
    assert key.created_by == console.user and key.scopes == FORM["scopes"]
    assert key.allowed_networks == ["127.0.0.0/8", "2001:db8::/32"]
    assert timedelta(days=29) < key.expires_at - timezone.now() < timedelta(days=31)
    assert secret not in console.get("keys").text
    entry = AuditEntry.objects.for_tenant(tenant.id).get(action="key.created")
    assert (entry.actor_kind, entry.actor) == ("person", console.user.email)


def test_keys_of_others_are_neither_listed_nor_found(console, tenant):
    other = ApiKeyFactory(tenant=TenantFactory(), name="Elsewhere").key
    ApiKeyFactory(tenant=tenant, name="Here <b>")

    listed = console.get("keys").text

    assert "Here &lt;b&gt;" in listed and "Elsewhere" not in listed
    for name in ("key-change", "key-rotate", "key-revoke"):
        assert console.get(name, other.client_id).status_code == 404
        assert console.send(name, other.client_id, **FORM, overlap_minutes=0).status_code == 404
    other.refresh_from_db()
    assert other.revoked_at is None and other.rotated_at is None


def test_what_is_changed_is_changed_and_the_rest_stays(console, tenant):
    ends = timezone.now() + timedelta(days=5)
    key = ApiKeyFactory(tenant=tenant, scopes=[Scope.JOBS_READ], expires_at=ends).key
    form = console.get("key-change", key.client_id).text
    assert f'value="{key.name}"' in form

    console.send(
        "key-change", key.client_id, name="Ward 8", scopes=["jobs:read", "usage:read"], lasts="same"
    )

    key.refresh_from_db()
    assert (key.name, key.scopes, key.expires_at) == ("Ward 8", ["jobs:read", "usage:read"], ends)

    console.send("key-change", key.client_id, name="Ward 8", scopes=["jobs:read"], lasts="never")
    key.refresh_from_db()
    assert (key.scopes, key.expires_at) == (["jobs:read"], None)


def test_a_new_secret_works_beside_the_old_one_for_as_long_as_was_said(console, client, tenant):
    made = ApiKeyFactory(tenant=tenant)

    client_id, secret = shown(console.send("key-rotate", made.key.client_id, overlap_minutes=60))

    assert client_id == made.key.client_id
    assert token(client, client_id, secret).status_code == 200
    assert token(client, client_id, made.client_secret).status_code == 200
    assert "the old secret too until" in console.get("keys").text

    console.send("key-rotate", client_id, overlap_minutes=0)
    assert token(client, client_id, secret).status_code == 401


def test_a_revoked_key_is_good_for_nothing_and_stays_in_the_list(console, client, tenant):
    made = ApiKeyFactory(tenant=tenant, name="Old")

    answer = console.send("key-revoke", made.key.client_id)

    assert f"{isolated('Old')} is revoked." in answer.text and "is-revoked" in answer.text
    assert token(client, made.key.client_id, made.client_secret).status_code == 401
    refused = console.send("key-rotate", made.key.client_id, overlap_minutes=0)
    assert refused.status_code == 409 and "Make a new key" in refused.text


def test_nobody_gives_a_key_more_than_their_role_has(tenant, console_for):
    """An admin who lost a scope to an operator's change of grants: the form does not offer it, and
    a hand-made form is refused."""
    console = console_for(tenant, Role.ADMIN)
    GroupObjectPermission.objects.filter(
        group__name=group_name(tenant, Role.ADMIN), permission__codename=Scope.AUDIT_READ.permission
    ).delete()

    assert "Read the audit log" not in console.get("key-new").text
    answer = console.send("key-new", **FORM | {"scopes": ["audit:read"]})

    assert answer.status_code == 422
    assert not ApiKey.objects.for_tenant(tenant.id).exists()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"name": ""}, "required"),
        ({"scopes": []}, "required"),
        ({"scopes": ["members:manage"]}, "Select a valid choice"),
        ({"lasts": "soon"}, "Select a valid choice"),
        ({"allowed_networks": "nowhere"}, "nowhere"),
        ({"name": "a\0b"}, "Null characters"),
        ({"once": "twice"}, "Open the page again"),
    ],
)
def test_what_is_wrong_is_said(console, tenant, typed, said):
    answer = console.send("key-new", **FORM | typed)

    assert answer.status_code == 422
    assert said in answer.text
    assert not ApiKey.objects.for_tenant(tenant.id).exists()


def test_many_keys_stand_on_several_pages(console, tenant, monkeypatch):
    monkeypatch.setattr(page, "PER_PAGE", 2)
    for n in range(3):
        ApiKeyFactory(tenant=tenant, name=f"Key {n}")

    first = console.get("keys").text
    following = re.search(r'href="(\?before=[^"]+)"', first)[1]
    second = console.browser.get(console.url("keys") + following).text

    assert ("Key 2" in first, "Key 0" in first) == (True, False)
    assert ("Key 2" in second, "Key 0" in second) == (False, True)
