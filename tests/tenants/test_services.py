import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError
from guardian.shortcuts import remove_perm

from tenants.models import ApiKey, Role, Scope
from tenants.permissions import GRANTS, INTEGRATION, create_groups, granted_scopes, group_name
from tenants.services import members, tokens
from tests.factories import ApiKeyFactory, TenantFactory, UserFactory


@pytest.mark.parametrize("role", list(GRANTS))
def test_guardian_holds_what_each_role_may_do(tenant, role):
    assert granted_scopes(tenant, role) == set(GRANTS[role])


def test_groups_are_made_in_four_statements_and_made_again_are_the_same(
    tenant, django_assert_num_queries
):
    remove_perm(Scope.JOBS_SUBMIT.permission, _group(group_name(tenant, Role.OWNER)), tenant)
    before = Group.objects.count()

    with django_assert_num_queries(4):
        create_groups(tenant)

    assert Group.objects.count() == before
    for role in GRANTS:
        assert granted_scopes(tenant, role) == set(GRANTS[role])


def test_grants_on_one_tenant_say_nothing_of_another(tenant):
    other = TenantFactory()
    user = UserFactory()

    members.add_member(tenant=tenant, user=user, role=Role.OWNER)

    assert user.has_perm("tenants.submit_jobs", tenant)
    assert not user.has_perm("tenants.submit_jobs", other)
    assert not user.has_perm("tenants.submit_jobs")


def test_a_viewer_reads_and_nothing_more(tenant):
    user = UserFactory()

    members.add_member(tenant=tenant, user=user, role=Role.VIEWER)

    assert user.has_perm("tenants.read_jobs", tenant)
    assert not user.has_perm("tenants.submit_jobs", tenant)


def test_a_grant_taken_away_is_missing_from_the_next_token(db):
    key = ApiKeyFactory().key

    remove_perm(
        Scope.JOBS_SUBMIT.permission,
        _group(group_name(key.tenant, INTEGRATION)),
        key.tenant,
    )

    assert "jobs:submit" not in tokens.issue_token(key)["scope"]


def _group(name):
    return Group.objects.get(name=name)


def test_nobody_is_a_member_twice(tenant):
    user = UserFactory()
    members.add_member(tenant=tenant, user=user, role=Role.MEMBER)

    with pytest.raises(IntegrityError, match="membership_once_per_tenant_and_user"):
        members.add_member(tenant=tenant, user=user, role=Role.OWNER)


@pytest.mark.parametrize("scopes", [[], ["jobs:everything"]])
def test_the_database_refuses_a_key_with_unknown_scopes(tenant, scopes):
    with pytest.raises(IntegrityError, match="api_key_scopes_are_known"):
        ApiKey.objects.create(
            tenant=tenant, client_id="gpc_1", digest="0" * 64, name="x", scopes=scopes
        )
