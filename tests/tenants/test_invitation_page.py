"""The page behind an invitation: the only way to an account."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.services import register_person
from tenants.models import AuditEntry, Invitation, Membership, Role
from tenants.services import invitations, members
from tests.accounts.acts import PASSWORD, give_password, is_in, link_in, sign_in

pytestmark = pytest.mark.django_db
ANN, BOB = "ann@example.com", "bob@example.com"
FORM = {"name": "Bob", "password": "four words walk in"}


@pytest.fixture
def page(tenant):
    """The path of an invitation for Bob."""
    ann = register_person(email=ANN, name="Ann", password=PASSWORD)
    members.add_member(tenant=tenant, user=ann, role=Role.OWNER)
    invitations.invite(tenant_id=tenant.id, by=ann.id, email=BOB, role=Role.MEMBER)
    return urlsplit(link_in(mail.outbox[-1])).path


def roles(tenant):
    """Of all but Ann."""
    others = Membership.objects.for_tenant(tenant.id).exclude(user__email=ANN)
    return dict(others.values_list("user__email", "role"))


def test_it_says_who_invites_whom_to_what(client, page, tenant):
    text = client.get(page).text

    assert "Ann" in text and tenant.name in text and "member" in text
    assert f'value="{BOB}"' in text


def test_a_new_person_makes_an_account_and_is_in(client, page, tenant):
    response = client.post(page, FORM)

    assert response.headers["Location"] == f"/console/{tenant.slug}/"
    assert f"You act for {tenant.name} now." in client.get(f"/console/{tenant.slug}/").text
    bob = User.objects.get(email=BOB)
    assert (bob.name, bob.is_staff, roles(tenant)) == ("Bob", False, {BOB: "member"})
    assert bob.emailaddress_set.get().verified
    entry = AuditEntry.objects.across_tenants().get(action="invitation.accepted")
    assert (entry.tenant_id, entry.object_type) == (tenant.id, "invitation")


def test_a_weak_password_makes_no_account(client, page, tenant):
    response = client.post(page, {"name": "Bob", "password": "bob@example.com"})

    assert response.status_code == 200
    assert not User.objects.filter(email=BOB).exists()
    assert roles(tenant) == {}


def test_whoever_has_an_account_signs_in_first(client, page, tenant):
    register_person(email=BOB, name="Bob", password=PASSWORD)

    assert "Sign in to join" in client.get(page).text
    client.post(page, FORM)  # nobody sets another's password by an invitation
    assert roles(tenant) == {}
    assert not is_in(client)

    give_password(client, BOB)
    assert f"Join as {BOB}" in client.get(page).text
    assert roles(tenant) == {}  # looking is not joining
    joined = client.post(page)
    assert joined.headers["Location"] == f"/console/{tenant.slug}/"
    assert roles(tenant) == {BOB: "member"}


def test_an_invitation_for_somebody_else_is_not_accepted(client, page, tenant):
    eve = register_person(email="eve@example.com", name="Eve", password=PASSWORD)
    sign_in(client, eve)

    assert "signed in as eve@example.com" in client.get(page).text
    assert client.post(page).status_code == 404
    assert roles(tenant) == {}


def test_it_works_once(page, tenant):
    Client().post(page, FORM)

    for browser in (Client(), sign_in(Client(), User.objects.get(email=BOB))):
        assert browser.get(page).status_code == 404
        assert browser.post(page, FORM).status_code == 404
    assert roles(tenant) == {BOB: "member"}


def test_all_that_does_not_work_answers_the_same(client, page, tenant):
    token = page.rpartition("/")[2]
    Invitation.objects.across_tenants().update(expires_at=timezone.now() - timedelta(seconds=1))

    expired, unknown = client.get(page), client.get("/accounts/invitations/" + "A" * len(token))

    for response in (expired, unknown):
        assert response.status_code == 404
        assert "The invitation is not valid" in response.text
        assert tenant.name not in response.text


def test_a_tenant_that_is_closed_invites_nobody(client, page, tenant):
    tenant.is_active = False
    tenant.save()

    assert client.post(page, FORM).status_code == 404
    assert not User.objects.filter(email=BOB).exists()


def test_the_form_sets_nothing_else(client, page, tenant):
    client.post(
        page, FORM | {"email": "eve@example.com", "is_staff": "1", "role": "owner", "id": "1"}
    )

    assert roles(tenant) == {BOB: "member"}
    assert not User.objects.get(email=BOB).is_staff


def test_tokens_are_not_guessed_for_long(client):
    statuses = [client.post(f"/accounts/invitations/{n}").status_code for n in range(32)]

    assert statuses == [404] * 30 + [429] * 2
