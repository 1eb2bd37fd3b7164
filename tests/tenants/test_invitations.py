"""Invitations: made, mailed, taken back, accepted once by the right person."""

import re
import uuid
from datetime import timedelta

import pytest
from django.core import mail
from django.db import IntegrityError
from django.utils import timezone

from accounts.models import User
from config.isolation import DatabaseRole, acting_as
from tenants.models import AuditEntry, Invitation, Membership, Role, Scope
from tenants.permissions import group_name
from tenants.services import invitations, members
from tenants.services.invitations import InvalidInvitation
from tests.callers import at_once, client_as, client_of, key, member_of
from tests.config.test_problems import check_problem
from tests.factories import TenantFactory, UserFactory

EMAIL = "ben@example.com"


@pytest.fixture
def owner(tenant):
    return member_of(tenant, Role.OWNER)


@pytest.fixture
def ben(db):
    return UserFactory(email=EMAIL)


def invite(by, email=EMAIL, role="member", **more):
    body = {"email": email, "role": role} | more
    return client_of(by).post("/invitations", body, format="json")


def mailed_token():
    return re.search(r"/invitations/(\S+)", mail.outbox[-1].body).group(1)


def accept(token, user):
    """As the page of people does it: in the role of the door."""
    with acting_as(DatabaseRole.DOOR):
        return members.accept_invitation(token, User.objects.get(pk=user.pk))


def refused(token, user):
    """Accepting raises the one error, says nothing about why, and changes nothing."""
    before = Membership.objects.across_tenants().count()
    with pytest.raises(InvalidInvitation) as caught:
        accept(token, user)
    assert (caught.value.code, caught.value.status) == ("invalid_invitation", 404)
    assert str(caught.value) == InvalidInvitation.detail
    assert Membership.objects.across_tenants().count() == before
    return True


def acts():
    entries = AuditEntry.objects.across_tenants().order_by("id")
    return list(entries.values_list("action", "actor"))


# --- Inviting ------------------------------------------------------------------------------------


def test_the_token_is_in_the_mail_and_nowhere_else(owner, caplog, settings):
    response = invite(owner)

    [message] = mail.outbox
    token = mailed_token()
    assert response.status_code == 201
    assert message.to == [EMAIL]
    assert f"{settings.PUBLIC_URL}/accounts/invitations/{token}" in message.body
    assert len(token) == 43
    kept = str(list(Invitation.objects.across_tenants().values()))
    kept += str(list(AuditEntry.objects.across_tenants().values()))
    kept += str([record.__dict__ for record in caplog.records])
    assert EMAIL in kept
    assert token not in kept + response.text + client_of(owner).get("/invitations").text


def test_an_invitation_lasts_seven_days(owner):
    invitation = invite(owner).json()

    [row] = Invitation.objects.across_tenants()
    assert row.expires_at - row.created_at == pytest.approx(
        timedelta(days=7), abs=timedelta(seconds=5)
    )
    assert invitation["invited_by"] == owner.user.email


def test_the_answer_and_the_mail_do_not_tell_whether_there_is_an_account(owner, ben):
    known, unknown = invite(owner, EMAIL).json(), invite(owner, "new@example.com").json()

    assert set(known) == set(unknown)
    first, second = (re.sub(r"invitations/\S+", "", m.body) for m in mail.outbox)
    assert first == second


def test_a_name_cannot_write_headers_or_lines_of_the_subject(owner, tenant):
    tenant.name = "St. Anna\r\nBcc: victim@example.com"
    tenant.save(update_fields=["name"])

    assert invite(owner).status_code == 201

    [message] = mail.outbox
    assert message.subject == "Join St. Anna Bcc: victim@example.com on Guidepost"
    assert message.recipients() == [EMAIL]


@pytest.mark.parametrize(
    ("inviter", "role", "status"),
    [
        (Role.OWNER, Role.OWNER, 201),
        (Role.OWNER, Role.VIEWER, 201),
        (Role.ADMIN, Role.ADMIN, 201),
        (Role.ADMIN, Role.OWNER, 403),
        (Role.MEMBER, Role.VIEWER, 403),
        (Role.VIEWER, Role.OWNER, 403),
    ],
)
def test_nobody_invites_to_more_than_they_may_give(tenant, inviter, role, status):
    response = invite(member_of(tenant, inviter), role=role)

    assert response.status_code == status
    assert Invitation.objects.across_tenants().count() == len(mail.outbox) == (status == 201)


def test_a_key_invites_nobody_whatever_its_token_says(tenant):
    body = {"email": EMAIL, "role": "viewer"}
    response = client_as(key(tenant, list(Scope))).post("/invitations", body, format="json")

    check_problem(response, 403, "forbidden")
    assert mail.outbox == []


def test_a_member_is_not_invited_again(owner, tenant, ben):
    members.add_member(tenant=tenant, user=ben, role=Role.VIEWER)

    check_problem(invite(owner, EMAIL.upper()), 409, "already_member")

    assert mail.outbox == []


def test_inviting_again_ends_the_invitation_before(owner, ben):
    invite(owner)
    first = mailed_token()
    invite(owner, EMAIL.title())
    second = mailed_token()

    assert [row["email"] for row in client_of(owner).get("/invitations").json()["data"]] == [
        "Ben@Example.Com"
    ]
    assert refused(first, ben)
    assert accept(second, ben).role == Role.MEMBER


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "no address"},
        {"email": "a@example.com\nBcc: b@example.com"},
        {"role": "king"},
        {"sees_own_only": "sometimes"},
        {"sees_own_only": 0},
        {"sees_own_only": "true"},
        {"token": "x"},
        {"expires_at": "2099-01-01T00:00:00Z"},
    ],
)
def test_a_field_that_will_not_do_is_refused_and_nothing_is_mailed(owner, fields):
    body = {"email": EMAIL, "role": "member"} | fields

    response = client_of(owner).post("/invitations", body, format="json")

    check_problem(response, 422, "invalid_fields")
    assert (Invitation.objects.across_tenants().count(), mail.outbox) == (0, [])


def test_invitations_are_limited_for_they_reach_strangers(owner, settings):
    settings.INVITATION_RATE = "2/h"

    statuses = [invite(owner, f"ben{n}@example.com").status_code for n in range(3)]

    assert statuses == [201, 201, 429]
    assert len(mail.outbox) == 2


def test_while_no_mail_can_be_sent_nothing_is_changed(owner, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1

    response = invite(owner)

    check_problem(response, 503, "mail_unavailable")
    assert response.headers["Retry-After"] == "60"
    assert Invitation.objects.across_tenants().count() == 0
    assert "invitation.created" not in [action for action, _ in acts()]


@pytest.mark.django_db(transaction=True)
def test_two_who_invite_one_person_at_the_same_moment_leave_one_invitation(tenant):
    one, two = member_of(tenant, Role.ADMIN), member_of(tenant, Role.ADMIN)

    def act(by):
        with acting_as(DatabaseRole.API, tenant.id):
            return invitations.invite(
                tenant_id=tenant.id, by=by.user_id, email=EMAIL, role=Role.VIEWER
            )

    outcomes = at_once(lambda: act(one), lambda: act(two))

    opened = Invitation.objects.across_tenants().filter(revoked_at=None).count()
    unexpected = [
        outcome
        for outcome in outcomes
        if not isinstance(outcome, Invitation | invitations.InvitedMeanwhile)
    ]
    assert (opened, unexpected) == (1, [])


# --- Accepting (row 31) --------------------------------------------------------------------------


def test_the_person_becomes_a_member_in_the_role(owner, tenant, ben):
    invite(owner, role="viewer")

    member = accept(mailed_token(), ben)

    assert (member.tenant, member.user, member.role) == (tenant, ben, Role.VIEWER)
    assert [group.name for group in ben.groups.all()] == [group_name(tenant, Role.VIEWER)]
    assert ben.has_perm("tenants.read_jobs", tenant)
    assert acts()[-2:] == [("member.added", EMAIL), ("invitation.accepted", EMAIL)]
    assert client_of(owner).get("/invitations").json()["data"] == []


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
def test_who_is_invited_to_their_own_jobs_never_sees_the_others(owner, tenant, ben, role):
    invited = invite(owner, role=role, sees_own_only=True)

    member = accept(mailed_token(), ben)

    assert (invited.status_code, invited.json()["sees_own_only"]) == (201, True)
    assert Membership.objects.for_tenant(tenant.id).get(pk=member.pk).sees_own_only is True
    entries = AuditEntry.objects.across_tenants()
    assert entries.get(action="invitation.created").after["sees_own_only"] is True
    assert entries.get(action="member.added", actor=EMAIL).after["sees_own_only"] is True


def test_who_is_invited_without_a_word_about_it_sees_all_jobs(owner, ben):
    assert invite(owner).json()["sees_own_only"] is False

    assert accept(mailed_token(), ben).sees_own_only is False


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN])
def test_nobody_who_manages_is_invited_to_their_own_jobs(owner, role):
    check_problem(invite(owner, role=role, sees_own_only=True), 422, "role_sees_everything")

    assert mail.outbox == []
    assert Invitation.objects.across_tenants().count() == 0


def test_the_database_refuses_an_invitation_of_an_admin_to_their_own_jobs(owner):
    invite(owner)

    with pytest.raises(IntegrityError, match="invitation_that_manages_sees_everything"):
        Invitation.objects.across_tenants().update(role=Role.ADMIN, sees_own_only=True)


def test_the_address_is_the_same_whatever_its_case(owner, db):
    invite(owner, "Ben@Example.com")

    assert accept(mailed_token(), UserFactory(email="ben@example.COM")).role == Role.MEMBER


def test_a_token_works_once(owner, tenant, ben):
    invite(owner)
    token = mailed_token()
    member = accept(token, ben)

    assert refused(token, ben)
    client_of(owner).delete(f"/members/{member.public_id}")
    assert refused(token, ben)


@pytest.mark.parametrize("email", ["eve@example.com", "bén@example.com", "ben@example.com.evil.de"])
def test_another_persons_token_is_worth_nothing(owner, email):
    invite(owner)

    assert refused(mailed_token(), UserFactory(email=email))


def test_letters_that_fold_to_the_same_are_another_address(owner):
    kelvin = "mi\u212ae@example.com"  # the Kelvin sign, whose small letter is a k
    invite(owner, "mike@example.com")

    assert refused(mailed_token(), UserFactory(email="other@example.com"))
    assert not invitations.is_for(Invitation(email="mike@example.com"), User(email=kelvin))
    with pytest.raises(ValueError, match="e-mail address"):
        UserFactory(email=kelvin)


def test_an_expired_invitation_is_worth_nothing(owner, ben):
    invite(owner)
    Invitation.objects.across_tenants().update(expires_at=timezone.now())

    assert refused(mailed_token(), ben)


@pytest.mark.parametrize("token", ["", "x", "0" * 43, "\x00", "é" * 43, "a" * 10_000])
def test_a_token_that_never_was_is_refused_like_all_others(owner, ben, token):
    invite(owner)

    assert refused(token, ben)


def test_the_digest_that_is_kept_is_no_token(owner, ben):
    invite(owner)

    assert refused(Invitation.objects.across_tenants().get().digest, ben)


def test_one_that_was_taken_back_is_worth_nothing(owner, ben):
    path = f"/invitations/{invite(owner).json()['id']}"

    first, second = client_of(owner).delete(path), client_of(owner).delete(path)

    assert (first.status_code, second.status_code) == (204, 204)
    assert refused(mailed_token(), ben)
    assert [action for action, _ in acts()].count("invitation.revoked") == 1


def test_a_member_already_keeps_the_role_they_have(owner, tenant, ben):
    invite(owner, role="admin")
    members.add_member(tenant=tenant, user=ben, role=Role.VIEWER)

    assert refused(mailed_token(), ben)

    assert Membership.objects.across_tenants().get(user=ben).role == Role.VIEWER


@pytest.mark.parametrize(
    "deactivate",
    [
        lambda invitation, ben: type(invitation.tenant).objects.update(is_active=False),
        lambda invitation, ben: User.objects.filter(pk=ben.pk).update(is_active=False),
        lambda invitation, ben: User.objects.exclude(pk=ben.pk).update(is_active=False),
    ],
    ids=["the tenant", "the person", "the inviter"],
)
def test_nobody_joins_when_one_of_the_three_is_deactivated(owner, ben, deactivate):
    invite(owner)
    deactivate(Invitation.objects.across_tenants().get(), ben)

    assert refused(mailed_token(), ben)


@pytest.mark.parametrize(
    ("inviter", "invited_as", "becomes", "still_good"),
    [
        (Role.OWNER, Role.OWNER, Role.ADMIN, False),
        (Role.OWNER, Role.VIEWER, Role.ADMIN, True),
        (Role.OWNER, Role.VIEWER, Role.MEMBER, False),
        (Role.ADMIN, Role.VIEWER, Role.VIEWER, False),
        (Role.ADMIN, Role.ADMIN, Role.OWNER, True),
        (Role.ADMIN, Role.VIEWER, None, False),
    ],
)
def test_an_invitation_is_worth_what_its_inviter_may_still_give(
    owner, tenant, ben, inviter, invited_as, becomes, still_good
):
    by = member_of(tenant, inviter)
    invite(by, role=invited_as)
    path = f"/members/{by.public_id}"

    if becomes:
        client_of(owner).patch(path, {"role": becomes}, format="json")
    else:
        client_of(owner).delete(path)

    revoked = Invitation.objects.across_tenants().get().revoked_at
    assert (revoked is None) == still_good
    if still_good:
        assert accept(mailed_token(), ben).role == invited_as
    else:
        assert refused(mailed_token(), ben)


def test_the_inviters_role_counts_when_it_is_accepted_however_it_came_to_change(owner, tenant, ben):
    by = member_of(tenant, Role.ADMIN)
    invite(by)
    Membership.objects.across_tenants().filter(pk=by.pk).update(role=Role.VIEWER)

    assert refused(mailed_token(), ben)


@pytest.mark.django_db(transaction=True)
def test_accepting_twice_at_the_same_moment_makes_one_member(tenant):
    invite(member_of(tenant, Role.OWNER))
    token, ben = mailed_token(), UserFactory(email=EMAIL)

    outcomes = at_once(*[lambda: accept(token, ben)] * 4)

    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        "InvalidInvitation", "InvalidInvitation", "InvalidInvitation", "Membership",
    ]  # fmt: skip
    assert Membership.objects.across_tenants().filter(user=ben).count() == 1


# --- Others' invitations -------------------------------------------------------------------------


def test_an_admin_does_not_take_back_the_invitation_of_an_owner(owner, tenant, ben):
    path = f"/invitations/{invite(owner, role='owner').json()['id']}"

    check_problem(client_of(member_of(tenant, Role.ADMIN)).delete(path), 403, "forbidden")

    assert accept(mailed_token(), ben).role == Role.OWNER


def test_the_invitation_of_another_tenant_is_as_absent_as_one_that_never_was(owner, ben):
    invite(member_of(TenantFactory()))
    theirs = Invitation.objects.across_tenants().get()

    foreign = client_of(owner).delete(f"/invitations/{theirs.public_id}")
    absent = client_of(owner).delete(f"/invitations/{uuid.uuid4()}")

    check_problem(foreign, 404, "not_found")
    assert foreign.json() | {"request_id": ""} == absent.json() | {"request_id": ""}
    assert client_of(owner).get("/invitations").json()["data"] == []
    assert accept(mailed_token(), ben).tenant_id == theirs.tenant_id


def test_an_accepted_invitation_cannot_be_taken_back(owner, ben):
    path = f"/invitations/{invite(owner).json()['id']}"
    accept(mailed_token(), ben)

    check_problem(client_of(owner).delete(path), 404, "not_found")


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
@pytest.mark.parametrize("method", ["get", "post"])
def test_members_and_viewers_do_not_see_invitations(tenant, role, method):
    response = getattr(client_of(member_of(tenant, role)), method)("/invitations")

    check_problem(response, 403, "insufficient_scope")
