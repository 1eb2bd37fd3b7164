"""API clients of people and keys, as they look once their token has been checked."""

from rest_framework.test import APIClient

from tenants.authentication import Principal
from tenants.limits import Limits
from tenants.models import ActorKind, Role
from tenants.permissions import GRANTS, INTEGRATION
from tenants.services import members
from tests.factories import UserFactory


def member_of(tenant, role=Role.OWNER, **fields):
    """A new person's membership."""
    membership = members.add_member(tenant=tenant, user=UserFactory(), role=role)
    for name, value in fields.items():
        setattr(membership, name, value)
    membership.save()
    return membership


def person(membership):
    return Principal(
        subject=str(membership.user.public_id),
        tenant_id=membership.tenant_id,
        scopes=frozenset(scope.value for scope in GRANTS[membership.role]),
        limits=limits_of(membership.tenant),
        kind=ActorKind.PERSON,
        name=membership.user.email,
        user_id=membership.user_id,
        role=membership.role,
        sees_own_only=membership.sees_own_only,
    )


def key(tenant, scopes=tuple(GRANTS[INTEGRATION])):
    held = frozenset(str(scope) for scope in scopes)
    return Principal(subject="gpc_test", tenant_id=tenant.id, scopes=held, limits=limits_of(tenant))


def limits_of(tenant):
    plan = tenant.plan
    return Limits.of(vars(plan) | {"plan": plan.code})


def client_as(principal):
    client = APIClient()
    client.force_authenticate(user=principal)
    return client


def client_of(membership):
    return client_as(person(membership))


def at_once(*calls):
    """Runs the calls in threads that start together; what each returned or raised, in order."""
    import threading

    from django.db import connection

    start, outcomes = threading.Barrier(len(calls)), [None] * len(calls)

    def run(number, call):
        start.wait()
        try:
            outcomes[number] = call()
        except Exception as error:
            outcomes[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
