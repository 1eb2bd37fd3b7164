"""Members and invitations in the console: by the rules of the API."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from guardian.models import GroupObjectPermission

from tenants.console import page
from tenants.models import ApiKey, AuditEntry, Invitation, Membership, Role, Scope
from tenants.permissions import group_name
from tenants.services import invitations, members
from tests.callers import client_of, member_of
from tests.factories import ApiKeyFactory, TenantFactory

pytestmark = pytest.mark.django_db
BEN = "ben@example.com"
FORM = {"email": BEN, "role": "member"}
HOSTILE = "<script>alert(1)</script>"


def roles(tenant):
    found = Membership.objects.for_tenant(tenant.id).values_list("user__email", "role")
    return dict(found)


def invite(console, tenant, email=BEN, role=Role.MEMBER):
    return invitations.invite(tenant_id=tenant.id, by=console.user.id, email=email, role=role)


def still_open(tenant):
    return list(invitations.open_invitations(tenant.id).values_list("email", flat=True))


# --- The list -----------------------------------------------------------------------------------


def test_members_are_listed_and_who_is_invited(console, tenant):
    confined = member_of(tenant, Role.VIEWER, sees_own_only=True)
    confined.user.name = HOSTILE
    confined.user.is_active = False
    confined.user.save()
    invite(console, tenant)
    over = invite(console, tenant, "late@example.com")
    Invitation.objects.for_tenant(tenant.id).filter(pk=over.pk).update(
        expires_at=timezone.now() - timedelta(hours=1)
    )

    listed = console.get("members").text

    assert "own jobs only" in listed and "cannot sign in" in listed
    assert HOSTILE not in listed and "&lt;script&gt;" in listed
    assert BEN in listed and "late@example.com" in listed
    assert listed.count("is-expired") == 1 and listed.count(">you<") == 1
    assert f'href="{console.url("member-change", confined.public_id)}"' in listed


def test_what_cannot_work_is_no_link(tenant, console_for):
    owner, admin = console_for(tenant), console_for(tenant, Role.ADMIN)
    an_invited_owner = invite(owner, tenant, "chief@example.com", Role.OWNER)
    ids = {each.user_id: each.public_id for each in Membership.objects.for_tenant(tenant.id).all()}

    def links(console, whose):
        text, member = console.get("members").text, ids[whose.user.id]
        return [act for act in ("change", "remove") if console.url(f"member-{act}", member) in text]

    assert links(owner, admin) == ["change", "remove"]
    assert links(owner, owner) == []  # the last one stays
    assert links(admin, owner) == []
    assert links(admin, admin) == ["remove"]
    revoke = admin.url("invitation-revoke", an_invited_owner.public_id)
    assert (revoke in owner.get("members").text, revoke in admin.get("members").text) == (
        True,
        False,
    )

    member_of(tenant, Role.OWNER)
    assert links(owner, owner) == ["remove"]


def test_the_list_asks_as_often_for_many_as_for_one(console, tenant, django_assert_num_queries):
    member_of(tenant)
    invite(console, tenant)
    with CaptureQueriesContext(connection) as asked:
        console.get("members")
    for number in range(4):
        member_of(tenant, Role.VIEWER)
        invite(console, tenant, f"n{number}@example.com")

    with django_assert_num_queries(len(asked)):
        console.get("members")


def test_both_lists_have_pages_of_their_own(console, tenant, monkeypatch):
    monkeypatch.setattr(page, "PER_PAGE", 2)
    for _ in range(2):
        member_of(tenant, Role.VIEWER)
    for number in range(3):
        invite(console, tenant, f"n{number}@example.com")

    first = console.get("members")
    one = console.browser.get(console.url("members") + first.context["members"]["following"])
    both = console.browser.get(console.url("members") + one.context["invited"]["following"])

    def shown(answer, which):
        return len(answer.context[which]["rows"])

    assert [(shown(each, "members"), shown(each, "invited")) for each in (first, one, both)] == [
        (2, 2),
        (1, 2),
        (1, 1),
    ]
    assert console.get("members", invited_before=uuid4()).status_code == 404


# --- Invitations --------------------------------------------------------------------------------


def test_somebody_is_invited_by_mail(console, tenant):
    answer = console.send("member-invite", **FORM, sees_own_only="on")

    assert "on its way" in answer.text and BEN in answer.text
    (invitation,) = invitations.open_invitations(tenant.id)
    assert (invitation.role, invitation.sees_own_only) == ("member", True)
    assert (mail.outbox[0].to, invitation.invited_by) == ([BEN], console.user)
    entry = AuditEntry.objects.for_tenant(tenant.id).get(action="invitation.created")
    assert (entry.actor_kind, entry.actor) == ("person", console.user.email)


def test_sent_twice_one_mail_goes_out(console):
    once = uuid4()

    for _ in range(2):
        answer = console.send("member-invite", once=once, **FORM)

    assert "sent already" in answer.text and len(mail.outbox) == 1


@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [
        ({"email": "nobody"}, 422, "valid email"),
        ({"email": f"{HOSTILE}@example.com"}, 422, "valid email"),
        ({"role": "king"}, 422, "Select a valid choice"),
        ({"role": "admin", "sees_own_only": "on"}, 422, "Owners and admins see all jobs"),
        ({"email": ""}, 422, "required"),
    ],
)
def test_what_is_wrong_is_said_and_nobody_is_invited(console, tenant, typed, status, said):
    answer = console.send("member-invite", **FORM | typed)

    assert answer.status_code == status
    assert said in answer.text and HOSTILE not in answer.text
    assert (still_open(tenant), mail.outbox) == ([], [])


def test_a_member_is_not_invited_again(console, tenant):
    there = member_of(tenant, Role.VIEWER)

    answer = console.send("member-invite", **FORM | {"email": there.user.email})

    assert answer.status_code == 409
    assert "is a member already. Change the role of that member" in answer.text


def test_an_admin_makes_no_owner(tenant, console_for):
    console = console_for(tenant, Role.ADMIN)

    assert 'value="owner"' not in console.get("member-invite").text
    assert console.send("member-invite", **FORM | {"role": "owner"}).status_code == 422
    assert mail.outbox == []


def test_the_console_and_the_api_count_invitations_together(console, tenant, settings, api):
    settings.INVITATION_RATE = "2/h"
    owner = Membership.objects.for_tenant(tenant.id).get(user=console.user)

    body = {"email": "one@example.com", "role": "member"}
    assert client_of(owner).post("/invitations", body, format="json").status_code == 201
    console.send("member-invite", **FORM)

    answer = console.send("member-invite", **FORM | {"email": "three@example.com"})

    assert answer.status_code == 429 and "Try again in" in answer.text
    assert int(answer["Retry-After"]) > 0
    assert len(mail.outbox) == 2


def test_an_invitation_is_taken_back_once_or_again(console, tenant):
    invitation = invite(console, tenant)
    assert BEN in console.get("invitation-revoke", invitation.public_id).text

    answers = [console.send("invitation-revoke", invitation.public_id) for _ in range(2)]

    assert [f"The invitation of {BEN} is taken back" in each.text for each in answers] == [
        True,
        True,
    ]
    assert still_open(tenant) == []


def test_an_admin_takes_back_no_invitation_of_an_owner(tenant, console, console_for):
    invitation = invite(console, tenant, role=Role.OWNER)

    answer = console_for(tenant, Role.ADMIN).send("invitation-revoke", invitation.public_id)

    assert answer.status_code == 403 and "Only an owner" in answer.text
    assert still_open(tenant) == [BEN]


# --- Members ------------------------------------------------------------------------------------


def test_a_member_is_changed(console, tenant):
    member = member_of(tenant, Role.MEMBER, sees_own_only=True)
    form = console.get("member-change", member.public_id).text
    assert '<option value="member" selected>' in form and " checked" in form

    answer = console.send("member-change", member.public_id, role="viewer")

    member.refresh_from_db()
    assert (member.role, member.sees_own_only) == ("viewer", False)
    assert f"{member.user.email} is viewer now." in answer.text
    entry = AuditEntry.objects.for_tenant(tenant.id).get(action="member.changed")
    assert entry.actor == console.user.email


@pytest.mark.parametrize("act", ["change", "remove"])
def test_an_admin_touches_no_owner_whatever_they_send(tenant, console_for, act):
    owner, admin = member_of(tenant), console_for(tenant, Role.ADMIN)
    member_of(tenant)

    answer = admin.send(f"member-{act}", owner.public_id, role="viewer")

    assert answer.status_code == 403 and "Only an owner changes or removes owners" in answer.text
    assert roles(tenant)[owner.user.email] == "owner"
    refused = AuditEntry.objects.for_tenant(tenant.id).get(action="access.refused")
    assert (refused.actor, refused.outcome) == (admin.user.email, "refused")
    assert refused.object_id == f"POST /console/<slug:slug>/members/<uuid:member_id>/{act}/"


def test_nobody_changes_their_own_role_and_the_last_owner_stays(console, tenant):
    me = Membership.objects.for_tenant(tenant.id).get(user=console.user)
    member_of(tenant, Role.ADMIN)

    changed = console.send("member-change", me.public_id, role="owner")
    removed = console.send("member-remove", me.public_id)

    assert changed.status_code == 403 and "Nobody changes their own role" in changed.text
    assert removed.status_code == 409 and "Make somebody else an owner first" in removed.text
    assert roles(tenant)[console.user.email] == "owner"


def test_a_member_is_removed_and_their_keys_are_named(console, tenant):
    leaver = member_of(tenant, Role.ADMIN)
    key = ApiKeyFactory(tenant=tenant, created_by_id=leaver.user_id, name="Ward <b>7").key
    gone = ApiKeyFactory(tenant=tenant, created_by_id=leaver.user_id, name="Gone").key
    ApiKey.objects.for_tenant(tenant.id).filter(pk=gone.pk).update(revoked_at=timezone.now())
    ApiKeyFactory(tenant=tenant, created_by_id=console.user.id, name="Mine")
    assert f"made by {leaver.user.email}" in console.get("keys").text

    form = console.get("member-remove", leaver.public_id).text
    answer = console.send("member-remove", leaver.public_id)

    assert "1 API key that they made goes on working." in form
    assert "Ward &lt;b&gt;7" in form and console.url("key-revoke", key.client_id) in form
    assert "Gone" not in form and "Mine" not in form
    assert f"{leaver.user.email} is no member of {tenant.name} any more." in answer.text
    assert leaver.user.email not in roles(tenant)
    assert "made by somebody who has left" in console.get("keys").text


def test_keys_are_named_to_whoever_manages_keys(tenant, console_for):
    leaver, console = member_of(tenant, Role.MEMBER), console_for(tenant, Role.ADMIN)
    ApiKeyFactory(tenant=tenant, created_by_id=leaver.user_id, name="Ward 7")
    GroupObjectPermission.objects.filter(
        group__name=group_name(tenant, Role.ADMIN),
        permission__codename=Scope.KEYS_MANAGE.permission,
    ).delete()

    form = console.get("member-remove", leaver.public_id)

    assert form.status_code == 200 and "Ward 7" not in form.text


def test_whoever_leaves_is_led_to_what_is_left_to_them(tenant, console_for):
    console = console_for(tenant, Role.ADMIN)
    me = Membership.objects.for_tenant(tenant.id).get(user=console.user)
    elsewhere = TenantFactory()
    members.add_member(tenant=elsewhere, user=console.user, role=Role.VIEWER)
    form = console.get("member-remove", me.public_id).text
    assert "<h1>Leave</h1>" in form and "Ends your access" in form

    answer = console.send("member-remove", me.public_id)

    assert answer.redirect_chain[-1][0] == console.url("overview", slug=elsewhere.slug)
    assert console.get("members").status_code == 404


# --- Whose --------------------------------------------------------------------------------------


def test_members_and_invitations_of_others_are_neither_listed_nor_found(console, console_for):
    theirs = TenantFactory()
    stranger, other = member_of(theirs, Role.MEMBER), console_for(theirs)
    invitation = invite(other, theirs, "elsewhere@example.com")

    listed = console.get("members").text

    assert stranger.user.email not in listed and "elsewhere@example.com" not in listed
    for name, what in (
        ("member-change", stranger),
        ("member-remove", stranger),
        ("invitation-revoke", invitation),
    ):
        for public_id in (what.public_id, uuid4()):
            assert console.get(name, public_id).status_code == 404
            assert console.send(name, public_id, role="viewer").status_code == 404
    assert roles(theirs)[stranger.user.email] == "member"
    assert still_open(theirs) == ["elsewhere@example.com"]


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
def test_who_manages_no_members_sees_none_and_changes_none(tenant, console_for, role):
    console, member = console_for(tenant, role), member_of(tenant, Role.MEMBER)

    answers = [
        console.get("members"),
        console.send("member-invite", **FORM),
        console.send("member-change", member.public_id, role="viewer"),
        console.send("member-remove", member.public_id),
    ]

    assert {each.status_code for each in answers} == {403}
    assert roles(tenant)[member.user.email] == "member" and mail.outbox == []
