"""Members: GET /members, PATCH and DELETE /members/{id}, GET /me."""

import uuid

import pytest
from django.db import IntegrityError

from accounts.models import User
from config.isolation import DatabaseRole, acting_as
from tenants.models import ApiSession, AuditEntry, Membership, Role, Scope
from tenants.permissions import GRANTS
from tenants.services import members, sessions
from tenants.services.roles import LastOwner, NotYours
from tests.callers import at_once, client_as, client_of, key, member_of
from tests.config.test_problems import check_problem
from tests.conftest import with_token
from tests.factories import ApiSessionFactory, TenantFactory, UserFactory
from tests.tenants.test_sessions import refresh


def role_of(membership):
    found = Membership.objects.across_tenants().filter(pk=membership.pk).first()
    return found and found.role


def change(by, whom, **fields):
    return client_of(by).patch(f"/members/{whom.public_id}", fields, format="json")


def remove(by, whom):
    return client_of(by).delete(f"/members/{whom.public_id}")


def groups_of(membership):
    return {g.name.rpartition(":")[2] for g in membership.user.groups.all()}


def acts():
    entries = (
        AuditEntry.objects.across_tenants()
        .filter(action__in=["member.changed", "member.removed"])
        .order_by("id")
    )
    return list(entries.values_list("action", "before", "after"))


# --- Who touches whom (row 54) -------------------------------------------------------------------

MAY = {
    # (actor, target's role, new role)
    (Role.OWNER, Role.OWNER, Role.ADMIN),
    (Role.OWNER, Role.ADMIN, Role.OWNER),
    (Role.OWNER, Role.MEMBER, Role.OWNER),
    (Role.OWNER, Role.VIEWER, Role.MEMBER),
    (Role.ADMIN, Role.ADMIN, Role.VIEWER),
    (Role.ADMIN, Role.MEMBER, Role.ADMIN),
    (Role.ADMIN, Role.VIEWER, Role.MEMBER),
}
MAY_NOT = {
    (Role.ADMIN, Role.OWNER, Role.ADMIN),
    (Role.ADMIN, Role.OWNER, Role.OWNER),
    (Role.ADMIN, Role.ADMIN, Role.OWNER),
    (Role.ADMIN, Role.MEMBER, Role.OWNER),
    (Role.MEMBER, Role.VIEWER, Role.MEMBER),
    (Role.MEMBER, Role.MEMBER, Role.OWNER),
    (Role.VIEWER, Role.VIEWER, Role.OWNER),
}


@pytest.mark.parametrize(("actor", "before", "after"), sorted(MAY))
def test_a_role_is_changed_by_whoever_may(tenant, actor, before, after):
    member_of(tenant, Role.OWNER)
    by, whom = member_of(tenant, actor), member_of(tenant, before)

    response = change(by, whom, role=after)

    assert (response.status_code, response.json()["role"]) == (200, after)
    assert role_of(whom) == after
    assert groups_of(whom) == {after}


@pytest.mark.parametrize(("actor", "before", "after"), sorted(MAY_NOT))
def test_a_role_is_not_changed_by_anybody_else(tenant, actor, before, after):
    member_of(tenant, Role.OWNER)
    by, whom = member_of(tenant, actor), member_of(tenant, before)

    response = change(by, whom, role=after)

    assert response.status_code == 403
    assert role_of(whom) == before
    assert groups_of(whom) == {before}
    assert acts() == []


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN])
@pytest.mark.parametrize("wanted", list(Role))
def test_nobody_changes_their_own_role(tenant, role, wanted):
    member_of(tenant, Role.OWNER)
    me = member_of(tenant, role)

    check_problem(change(me, me, role=wanted), 403, "forbidden")

    assert role_of(me) == role


def test_a_token_that_is_older_than_the_role_does_nothing(tenant):
    owner, was_admin, viewer = (member_of(tenant, r) for r in (Role.OWNER, Role.ADMIN, Role.VIEWER))
    old = client_of(was_admin)
    change(owner, was_admin, role=Role.VIEWER)

    response = old.patch(f"/members/{viewer.public_id}", {"role": "admin"}, format="json")

    check_problem(response, 403, "forbidden")
    assert role_of(viewer) == Role.VIEWER


def test_a_key_manages_no_members_whatever_its_token_says(tenant):
    member = member_of(tenant, Role.VIEWER)
    client = client_as(key(tenant, list(Scope)))

    response = client.patch(f"/members/{member.public_id}", {"role": "owner"}, format="json")

    check_problem(response, 403, "forbidden")
    check_problem(client.delete(f"/members/{member.public_id}"), 403, "forbidden")
    assert role_of(member) == Role.VIEWER


@pytest.mark.parametrize("fields", [{"id": 1}, {"user": 1}, {"tenant": "x"}, {"email": "a@b.de"}])
def test_nothing_else_of_a_member_can_be_set(tenant, fields):
    owner, member = member_of(tenant), member_of(tenant, Role.MEMBER)

    body = check_problem(change(owner, member, **fields), 422, "invalid_fields")

    assert body["errors"][0]["code"] == "unknown_field"


# --- The last owner ------------------------------------------------------------------------------


def test_the_last_owner_stays(tenant):
    owner = member_of(tenant, Role.OWNER)
    member_of(tenant, Role.ADMIN)

    check_problem(remove(owner, owner), 409, "last_owner")

    assert role_of(owner) == Role.OWNER


def test_an_owner_who_cannot_sign_in_does_not_count(tenant):
    owner, gone = member_of(tenant, Role.OWNER), member_of(tenant, Role.OWNER)
    User.objects.filter(pk=gone.user_id).update(is_active=False)

    check_problem(remove(owner, owner), 409, "last_owner")

    assert role_of(owner) == Role.OWNER


def test_an_owner_of_two_may_leave(tenant):
    one, two = member_of(tenant, Role.OWNER), member_of(tenant, Role.OWNER)

    assert remove(one, one).status_code == 204
    assert (role_of(one), role_of(two)) == (None, Role.OWNER)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["leave", "remove each other", "demote each other"])
def test_two_owners_at_the_same_moment_do_not_leave_the_tenant_without_one(tenant, what):
    one, two = member_of(tenant, Role.OWNER), member_of(tenant, Role.OWNER)

    def act(by, whom):
        with acting_as(DatabaseRole.API, tenant.id):
            if what == "demote each other":
                return members.change_member(
                    tenant_id=tenant.id, by=by.user_id, member_id=whom.public_id, role=Role.VIEWER
                )
            return members.remove_member(
                tenant_id=tenant.id, by=by.user_id, member_id=whom.public_id
            )

    pairs = [(one, one), (two, two)] if what == "leave" else [(one, two), (two, one)]
    outcomes = at_once(*(lambda pair=pair: act(*pair) for pair in pairs))

    refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert [type(error) for error in refused] == [LastOwner if what == "leave" else NotYours]
    assert sorted(filter(None, map(role_of, (one, two)))).count(Role.OWNER) == 1


# --- Removing ------------------------------------------------------------------------------------


def test_a_removed_member_is_gone_with_their_groups(tenant):
    owner, member = member_of(tenant), member_of(tenant, Role.MEMBER)
    elsewhere = members.add_member(tenant=TenantFactory(), user=member.user, role=Role.ADMIN)

    response = remove(owner, member)

    assert response.status_code == 204
    assert role_of(member) is None
    assert role_of(elsewhere) == Role.ADMIN
    assert groups_of(member) == {Role.ADMIN}
    assert not User.objects.get(pk=member.user_id).has_perm("tenants.read_jobs", tenant)
    check_problem(remove(owner, member), 404, "not_found")


@pytest.mark.parametrize("removed_by", ["this release", "one before it"])
def test_who_is_removed_and_comes_back_has_none_of_the_old_sessions(client, tenant, removed_by):
    owner, member = member_of(tenant), member_of(tenant, Role.VIEWER)
    elsewhere = ApiSessionFactory(user=member.user)
    old = ApiSessionFactory(tenant=tenant, user=member.user)

    if removed_by == "this release":
        remove(owner, member)
    else:
        Membership.objects.for_tenant(tenant.id).filter(pk=member.pk).delete()
    members.add_member(tenant=tenant, user=member.user, role=Role.OWNER)

    check_problem(with_token(old.access).get("/jobs"), 401, "invalid_token")
    check_problem(refresh(client, old.refresh), 400, "invalid_grant")
    assert ApiSession.objects.for_tenant(tenant.id).get().reason == "member_removed"
    assert with_token(elsewhere.access).get("/jobs").status_code == 200
    assert refresh(client, elsewhere.refresh).status_code == 200


def test_the_sessions_of_who_is_removed_end_in_the_audit_log_too(tenant):
    owner, member = member_of(tenant), member_of(tenant, Role.VIEWER)
    first, second = (ApiSessionFactory(tenant=tenant, user=member.user) for _ in range(2))
    sessions.end_session(second.session, reason=sessions.Ended.BY_OWNER)

    remove(owner, member)

    ended = AuditEntry.objects.across_tenants().filter(action="session.ended").order_by("id")
    assert [(e.object_id, e.after) for e in ended] == [
        (str(second.session.id), {"reason": "by_owner"}),
        (str(first.session.id), {"reason": "member_removed"}),
    ]
    assert ended[1].actor == owner.user.email


def test_an_admin_removes_no_owner(tenant):
    owner, admin = member_of(tenant, Role.OWNER), member_of(tenant, Role.ADMIN)
    member_of(tenant, Role.OWNER)

    check_problem(remove(admin, owner), 403, "forbidden")

    assert role_of(owner) == Role.OWNER


@pytest.mark.parametrize("act", ["patch", "delete"])
def test_the_member_of_another_tenant_is_as_absent_as_one_that_never_was(tenant, act):
    owner, theirs = member_of(tenant), member_of(TenantFactory(), Role.MEMBER)
    call = getattr(client_of(owner), act)

    foreign = call(f"/members/{theirs.public_id}")
    absent = call(f"/members/{uuid.uuid4()}")

    check_problem(foreign, 404, "not_found")
    assert foreign.json() | {"request_id": ""} == absent.json() | {"request_id": ""}
    assert role_of(theirs) == Role.MEMBER


# --- Own jobs only -------------------------------------------------------------------------------


def test_members_and_viewers_may_be_confined_to_their_own_jobs(tenant):
    owner, member = member_of(tenant), member_of(tenant, Role.MEMBER)

    assert change(owner, member, sees_own_only=True).json()["sees_own_only"] is True
    assert change(owner, member, role="viewer").json()["sees_own_only"] is True
    assert change(owner, member, sees_own_only=False).json()["sees_own_only"] is False


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN])
def test_whoever_manages_keys_and_members_sees_everything(tenant, role):
    owner, other = member_of(tenant), member_of(tenant, role)
    confined = member_of(tenant, Role.MEMBER, sees_own_only=True)

    check_problem(change(owner, other, sees_own_only=True), 422, "role_sees_everything")
    check_problem(
        change(owner, confined, role=role, sees_own_only=True), 422, "role_sees_everything"
    )
    promoted = change(owner, confined, role=role)

    assert promoted.json()["sees_own_only"] is False


def test_the_database_refuses_an_admin_who_sees_only_their_own(tenant):
    with pytest.raises(IntegrityError, match="membership_that_manages_sees_everything"):
        Membership.objects.create(
            tenant=tenant, user=UserFactory(), role=Role.ADMIN, sees_own_only=True
        )


# --- Reading and the audit log -------------------------------------------------------------------


def test_pages_of_members_follow_each_other_and_hold_no_strangers(tenant):
    owner = member_of(tenant)
    made = [owner, *(member_of(tenant, Role.VIEWER) for _ in range(4))]
    member_of(TenantFactory())

    seen, path = [], "/members?limit=2"
    while path:
        page = client_of(owner).get(path).json()
        seen += page["data"]
        path = page["next"]

    assert [each["id"] for each in seen] == [str(m.public_id) for m in reversed(made)]
    assert seen[-1]["email"] == owner.user.email
    assert set(seen[0]) == {
        "id", "email", "name", "role", "sees_own_only", "can_sign_in", "joined_at",
    }  # fmt: skip


@pytest.mark.parametrize("cursor", ["yesterday", str(uuid.uuid4())])
def test_a_cursor_that_is_not_ours_is_refused(tenant, cursor):
    response = client_of(member_of(tenant)).get("/members", {"cursor": cursor})

    check_problem(response, 400, "invalid_cursor")


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
@pytest.mark.parametrize(
    ("method", "path"), [("get", "/members"), ("patch", "/members/{}"), ("delete", "/members/{}")]
)
def test_members_and_viewers_do_not_see_or_manage_members(tenant, role, method, path):
    member = member_of(tenant, role)

    response = getattr(client_of(member), method)(path.format(member.public_id))

    check_problem(response, 403, "insufficient_scope")
    assert role_of(member) == role


def test_each_act_is_audited_with_its_actor_and_what_changed(tenant):
    owner, member = member_of(tenant), member_of(tenant, Role.MEMBER)

    change(owner, member, role="viewer")
    change(owner, member, role="viewer")
    remove(owner, member)

    was = {"email": member.user.email, "role": "member", "sees_own_only": False}
    now = was | {"role": "viewer"}
    assert acts() == [("member.changed", was, now), ("member.removed", now, None)]
    entry = AuditEntry.objects.across_tenants().get(action="member.removed")
    assert (entry.actor, entry.actor_kind) == (owner.user.email, "person")
    assert (entry.object_type, entry.object_id) == ("member", str(member.public_id))


# --- Who am I ------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
def test_a_person_learns_who_they_are_and_what_they_may(tenant, role):
    member = member_of(tenant, role)

    assert client_of(member).get("/me").json() == {
        "kind": "person",
        "subject": str(member.user.public_id),
        "name": member.user.email,
        "tenant": {"id": str(tenant.id), "name": tenant.name, "slug": tenant.slug},
        "role": role,
        "sees_own_only": False,
        "scopes": sorted(GRANTS[role]),
    }


def test_a_key_learns_it_too_with_any_scope_and_nobody_without_a_token(tenant, client_for, client):
    answer = client_for(tenant, [Scope.JOBS_SUBMIT]).get("/me").json()

    assert (answer["kind"], answer["subject"]) == ("key", "gpc_test")
    assert (answer["role"], answer["scopes"]) == ("", ["jobs:submit"])
    check_problem(client.get("/me"), 401, "token_missing")
    check_problem(client_for(tenant).post("/me"), 405, "method_not_allowed")
