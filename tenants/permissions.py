"""What may be done for a tenant. django-guardian holds it: granted on the tenant, to groups.

Every tenant has one group for each role and one for its API keys. A grant is looked up when a
token is issued and travels in it as a scope; whether it is still held is part of the one question
that tenants.standing asks once a second.
"""

from collections.abc import Iterable
from typing import cast

from django.contrib.auth.models import Group, Permission
from guardian.ctypes import get_content_type
from guardian.models import GroupObjectPermission
from guardian.shortcuts import get_group_perms
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from config.problems import InsufficientScope
from tenants.authentication import Principal
from tenants.models import FOR_PEOPLE_ALONE, Membership, Role, Scope, Tenant

INTEGRATION = "integration"

GRANTS: dict[str, list[Scope]] = {
    Role.OWNER: list(Scope),
    Role.ADMIN: list(Scope),
    Role.MEMBER: [Scope.JOBS_SUBMIT, Scope.JOBS_READ, Scope.JOBS_MANAGE, Scope.USAGE_READ],
    Role.VIEWER: [Scope.JOBS_READ],
    INTEGRATION: [scope for scope in Scope if scope not in FOR_PEOPLE_ALONE],
}


def group_name(tenant: Tenant, role: str) -> str:
    return f"{tenant.id}:{role}"


def create_groups(tenant: Tenant) -> None:
    """The tenant's groups with their grants; safe to repeat. Four statements, however many grants:
    `assign_perm` asks four for each."""
    kind = get_content_type(tenant)
    names = {group_name(tenant, role): scopes for role, scopes in GRANTS.items()}
    Group.objects.bulk_create([Group(name=name) for name in names], ignore_conflicts=True)
    ids = dict(Permission.objects.filter(content_type=kind).values_list("codename", "id"))
    grants = [
        GroupObjectPermission(
            group=group,
            permission_id=ids[scope.permission],
            content_type=kind,
            object_pk=str(tenant.pk),
        )
        for group in Group.objects.filter(name__in=names)
        for scope in names[group.name]
    ]
    GroupObjectPermission.objects.bulk_create(grants, ignore_conflicts=True)


def granted_scopes(tenant: Tenant, role: str) -> set[Scope]:
    """The scopes that the role's group holds on the tenant now."""
    group = Group.objects.get(name=group_name(tenant, role))
    held = {str(codename) for codename in get_group_perms(group, tenant)}
    return {scope for scope in Scope if scope.permission in held}


def granted_to(memberships: Iterable[Membership]) -> dict[Membership, list[Scope]]:
    """What `granted_scopes` says of each, asked once for all."""
    groups = {each: group_name(each.tenant, each.role) for each in memberships}
    grants = GroupObjectPermission.objects.filter(group__name__in=groups.values())
    held = set(grants.values_list("group__name", "permission__codename", "object_pk"))
    return {
        each: [s for s in Scope if (name, s.permission, str(each.tenant_id)) in held]
        for each, name in groups.items()
    }


def _who_has(scope: Scope) -> str:
    if scope in FOR_PEOPLE_ALONE:
        return (
            "No API key may have it: an owner or admin lets a program in at /oauth/authorize, and"
            " calls this in person."
        )
    return "Ask for a token of an API key that has it."


class TokenHasScope(BasePermission):
    """A view names its scope by method: `required_scopes = {"GET": Scope.JOBS_READ}`.

    A method that is not named is allowed to nobody.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        if request.user is None:
            return False
        method = "GET" if request.method == "HEAD" else request.method
        scope = view.required_scopes.get(method)  # type: ignore[attr-defined]
        if scope is None:
            return request.method not in view.allowed_methods
        if scope not in cast(Principal, request.user).scopes:
            raise InsufficientScope(f"This needs the scope `{scope}`. {_who_has(scope)}")
        return True
