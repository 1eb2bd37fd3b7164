"""A token stands for what is true now: whatever is taken away is missed within a second."""

import threading
import time
import uuid
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from guardian.shortcuts import assign_perm, remove_perm

from accounts.tokens import AccessToken, issue_access_token
from tenants import standing
from tenants.models import ApiKey, Membership, RevokedToken, Role, Scope, Tenant
from tenants.permissions import INTEGRATION, group_name
from tenants.services import keys, members, sessions
from tests.config.test_problems import check_problem
from tests.conftest import with_token
from tests.factories import ApiKeyFactory, ApiSessionFactory, TenantFactory, UserFactory


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The cache's clock: a test says when the second is over."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(standing, "time", clock)
    return clock


@pytest.fixture
def key_client(db):
    key = ApiKeyFactory().key
    token = issue_access_token(
        subject=key.client_id, tenant=str(key.tenant_id), scopes=sorted(key.scopes)
    )
    client = with_token(token)
    client.key, client.token = key, token
    return client


@pytest.fixture
def person(db):
    opened = ApiSessionFactory(role=Role.MEMBER)
    client = with_token(opened.access)
    client.opened, client.session_row = opened, opened.session
    client.user, client.tenant = opened.session.user, opened.session.tenant
    return client


# --- What is taken away -----------------------------------------------------------------------


def group_of(tenant, role):
    from django.contrib.auth.models import Group

    return Group.objects.get(name=group_name(tenant, role))


def suspend(tenant):
    Tenant.objects.filter(pk=tenant.pk).update(is_active=False)


def expire(key):
    past = timezone.now() - timedelta(seconds=1)
    ApiKey.objects.across_tenants().filter(pk=key.pk).update(expires_at=past)


def revoke_jti(token):
    RevokedToken.objects.create(jti=token["jti"], expires_at=timezone.now() + timedelta(hours=1))


def change_password(user):
    user.set_password("another long enough password")
    user.save(update_fields=["password"])


def leave(person):
    Membership.objects.for_tenant(person.tenant.id).filter(user=person.user).delete()


def deactivate(user):
    user.is_active = False
    user.save(update_fields=["is_active"])


TAKEN_FROM_KEYS = {
    "the key is revoked": lambda c: keys.revoke_api_key(c.key),
    "the key has expired": lambda c: expire(c.key),
    "the tenant is suspended": lambda c: suspend(c.key.tenant),
    "the token is revoked": lambda c: revoke_jti(c.token),
}
TAKEN_FROM_PEOPLE = {
    "the session is ended": lambda c: sessions.end_session(
        c.session_row, reason=sessions.Ended.BY_OWNER
    ),
    "the member is removed": leave,
    "the person is deactivated": lambda c: deactivate(c.user),
    "the password is changed": lambda c: change_password(c.user),
    "the tenant is suspended": lambda c: suspend(c.tenant),
    "the token is revoked": lambda c: revoke_jti(c.opened.access),
}


@pytest.mark.parametrize("take", TAKEN_FROM_KEYS.values(), ids=TAKEN_FROM_KEYS)
def test_what_is_taken_from_a_key_is_missed_after_a_second(key_client, clock, take):
    assert key_client.get("/jobs").status_code == 200

    take(key_client)
    clock.now += 1.0

    check_problem(key_client.get("/jobs"), 401, "invalid_token")


@pytest.mark.parametrize("take", TAKEN_FROM_PEOPLE.values(), ids=TAKEN_FROM_PEOPLE)
def test_what_is_taken_from_a_person_is_missed_after_a_second(person, clock, take):
    assert person.get("/jobs").status_code == 200

    take(person)
    clock.now += 1.0

    response = person.get("/jobs")
    check_problem(response, 401, "invalid_token")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="guidepost", error="invalid_token"'


def test_a_role_that_is_lowered_takes_its_scopes_along(person, clock):
    assert person.post("/jobs", {"guideline_text": "x"}, format="json").status_code == 202

    Membership.objects.for_tenant(person.tenant.id).update(role=Role.VIEWER)
    clock.now += 1.0

    assert person.get("/jobs").status_code == 200
    check_problem(
        person.post("/jobs", {"guideline_text": "x"}, format="json"), 403, "insufficient_scope"
    )


def test_a_role_that_is_raised_gives_an_old_token_nothing_more(person, clock):
    Membership.objects.for_tenant(person.tenant.id).update(role=Role.OWNER)

    now = standing.standing_of(person.opened.access)

    assert Scope.MEMBERS_MANAGE in now.granted
    assert Scope.MEMBERS_MANAGE not in person.opened.access["scope"].split()
    check_principal(person, role="owner", scopes=person.opened.access["scope"].split())


def test_a_grant_that_guardian_loses_is_gone_from_tokens_and_back_with_it(key_client, clock):
    group = group_of(key_client.key.tenant, INTEGRATION)

    remove_perm(Scope.JOBS_READ.permission, group, key_client.key.tenant)
    check_problem(key_client.get("/jobs"), 403, "insufficient_scope")
    assign_perm(Scope.JOBS_READ.permission, group, key_client.key.tenant)
    clock.now += 1.0

    assert key_client.get("/jobs").status_code == 200


def test_a_grant_on_another_tenant_counts_for_nothing(key_client):
    group = group_of(key_client.key.tenant, INTEGRATION)
    remove_perm(Scope.JOBS_READ.permission, group, key_client.key.tenant)
    assign_perm(Scope.JOBS_READ.permission, group, TenantFactory())

    check_problem(key_client.get("/jobs"), 403, "insufficient_scope")


def test_a_key_whose_scopes_are_cut_takes_those_of_its_tokens_along(key_client, clock):
    ApiKey.objects.across_tenants().update(scopes=[Scope.USAGE_READ])

    check_problem(key_client.get("/jobs"), 403, "insufficient_scope")


# --- Claims that are signed but not true ------------------------------------------------------


def claim(**claims):
    """A token with our signature that says what no token of ours says."""
    token = issue_access_token(subject="x", tenant="x", scopes=list(Scope))
    for name, value in claims.items():
        token[name] = str(value)
    return with_token(token)


def test_a_key_does_not_act_for_another_tenant_whatever_its_token_says(key_client):
    other = TenantFactory()

    response = claim(sub=key_client.key.client_id, tenant=other.id).get("/jobs")

    check_problem(response, 401, "invalid_token")


def test_a_person_does_not_act_for_a_tenant_the_session_is_not_for(person):
    other = TenantFactory()
    members.add_member(tenant=other, user=person.user, role=Role.OWNER)

    response = claim(sub=person.user.public_id, tenant=other.id, sid=person.session_row.id).get(
        "/jobs"
    )

    check_problem(response, 401, "invalid_token")


def test_a_session_is_of_nobody_else(person):
    colleague = UserFactory()
    members.add_member(tenant=person.tenant, user=colleague, role=Role.OWNER)

    response = claim(
        sub=colleague.public_id, tenant=person.tenant.id, sid=person.session_row.id
    ).get("/jobs")

    check_problem(response, 401, "invalid_token")


def test_a_role_in_the_token_is_not_read(person):
    client = claim(
        sub=person.user.public_id,
        tenant=person.tenant.id,
        sid=person.session_row.id,
        role="owner",
        scope="jobs:read members:manage",
    )

    check_principal(client, role="member", scopes=["jobs:read"])


@pytest.mark.parametrize(
    "claims",
    [
        {"tenant": "nonsense"},
        {"sub": "no uuid", "sid": uuid.uuid4()},
        {"sid": "no uuid"},
        {"sub": "gpc_unknown"},
        {"sub": uuid.uuid4(), "sid": uuid.uuid4()},
        {"sub": uuid.uuid4()},
    ],
    ids=str,
)
def test_claims_that_lead_nowhere_are_refused(tenant, claims):
    response = claim(**{"sub": "gpc_x", "tenant": tenant.id, **claims}).get("/jobs")

    check_problem(response, 401, "invalid_token")


# --- Who the caller is ------------------------------------------------------------------------


def check_principal(client, **expected):
    from rest_framework.test import APIRequestFactory

    from tenants.authentication import TokenAuthentication

    request = APIRequestFactory().get("/jobs", **client._credentials)
    request.query_params = request.GET
    caller, _ = TokenAuthentication().authenticate(request)
    expected["scopes"] = frozenset(expected["scopes"])
    assert {name: getattr(caller, name) for name in expected} == expected


def test_a_persons_token_says_who_it_is(person):
    Membership.objects.for_tenant(person.tenant.id).update(sees_own_only=True)

    check_principal(
        person,
        subject=str(person.user.public_id),
        tenant_id=person.tenant.id,
        kind="person",
        name=person.user.email,
        user_id=person.user.pk,
        role="member",
        sees_own_only=True,
        session=str(person.session_row.id),
        scopes=["jobs:submit", "jobs:read", "jobs:manage", "usage:read"],
    )


def test_a_keys_token_says_which_key_it_is(key_client):
    check_principal(
        key_client,
        subject=key_client.key.client_id,
        tenant_id=key_client.key.tenant_id,
        kind="key",
        name="",
        user_id=None,
        role="",
        sees_own_only=False,
        scopes=key_client.key.scopes,
    )


# --- What it costs ----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_caller_costs_one_statement_more_once_a_second(api, clock, django_assert_num_queries):
    with django_assert_num_queries(2):
        api.get("/jobs")
    with django_assert_num_queries(1):
        api.get("/jobs")
    clock.now += 0.999
    with django_assert_num_queries(1):
        api.get("/jobs")
    clock.now += 0.001
    with django_assert_num_queries(2):
        api.get("/jobs")


@pytest.mark.django_db(transaction=True)
def test_a_persons_standing_is_one_statement_too(tenant, person_client_for, clock):
    client = person_client_for(tenant)

    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as asked:
        client.get("/jobs")

    assert len(asked) == 2
    assert "tenants_apisession" in asked[0]["sql"]


@pytest.mark.django_db(transaction=True)
def test_the_question_leaves_no_role_behind(key_client):
    standing.standing_of(key_client.token)

    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('role')")
        assert cursor.fetchone() == ("none",)


# --- While PostgreSQL is away -----------------------------------------------------------------


def test_without_postgresql_nobody_is_called_a_stranger(key_client, monkeypatch):
    def refuse(*args, **kwargs):
        raise OperationalError("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", refuse)
        response = key_client.get("/jobs")

    check_problem(response, 503, "unavailable")
    assert response.headers["Retry-After"] == "5"
    assert key_client.get("/jobs").status_code == 200


# --- The second, by itself --------------------------------------------------------------------


def test_sixteen_threads_ask_once():
    recent, asked, together = standing.Recent(60, 10), [], threading.Barrier(16)
    answers = []

    def slow():
        asked.append(threading.get_ident())
        time.sleep(0.05)
        return "stands"

    def call():
        together.wait()
        answers.append(recent.get("token", slow))

    threads = [threading.Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(asked) == 1
    assert answers == ["stands"] * 16


def test_a_question_that_failed_fails_for_those_who_waited_and_is_asked_anew():
    recent, failures, together = standing.Recent(60, 10), [], threading.Barrier(4)

    def fail():
        time.sleep(0.05)
        raise OperationalError

    def call():
        together.wait()
        try:
            recent.get("token", fail)
        except OperationalError:
            failures.append(1)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(failures) == 4
    assert recent.get("token", lambda: "stands") == "stands"


def test_the_second_counts_from_before_the_question(clock):
    recent = standing.Recent(1, 10)

    def slow():
        clock.now += 0.9
        return "old"

    recent.get("token", slow)
    clock.now += 0.1

    assert recent.get("token", lambda: "new") == "new"


def test_the_token_not_asked_about_for_longest_is_forgotten_first():
    recent, asked = standing.Recent(60, 2), []

    for key in ("a", "b", "a", "c", "a", "b"):
        recent.get(key, lambda key=key: asked.append(key))

    assert asked == ["a", "b", "c", "b"]


def test_a_token_from_the_wire_is_asked_about_by_its_own_name(key_client):
    other = ApiKeyFactory().key
    token = issue_access_token(
        subject=other.client_id, tenant=str(other.tenant_id), scopes=["jobs:read"]
    )
    standing.standing_of(key_client.token)

    keys.revoke_api_key(other)

    assert standing.standing_of(AccessToken(str(token))) is None
