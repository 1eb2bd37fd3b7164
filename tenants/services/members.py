"""Tenants and their members."""

from django.contrib.auth.models import Group
from django.db import transaction

from accounts.models import User
from tenants import vault
from tenants.audit import record
from tenants.models import Membership, Role, Tenant
from tenants.permissions import create_groups, group_name


@transaction.atomic
def create_tenant(*, name: str, slug: str) -> Tenant:
    """Raises IntegrityError if the slug is taken."""
    tenant = Tenant.objects.create(name=name, slug=slug)
    vault.make_data_key(tenant.id)
    create_groups(tenant)
    record(
        "tenant.created",
        tenant_id=tenant.id,
        of=("tenant", tenant.id),
        after={"name": name, "slug": slug},
    )
    return tenant


@transaction.atomic
def add_member(*, tenant: Tenant, user: User, role: Role) -> Membership:
    """Raises IntegrityError if the user is a member already."""
    membership = Membership.objects.create(tenant=tenant, user=user, role=role)
    user.groups.add(Group.objects.get(name=group_name(tenant, role)))
    return membership
