"""Rows for tests, made by the services that make them in the product."""

from dataclasses import dataclass

import factory

from accounts.models import User
from accounts.tokens import AccessToken
from config.isolation import DatabaseRole, acting_as
from config.staff import StaffRole
from jobs import plans
from jobs import services as job_services
from jobs.models import Job
from tenants.models import DEFAULT_PLAN, ApiSession, Membership, Plan, Role, Tenant
from tenants.permissions import GRANTS
from tenants.services import clients, keys, members, sessions


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User

    email = factory.Sequence(lambda n: f"person{n}@example.com")
    password = "correct horse battery staple"

    @classmethod
    def _create(cls, model_class, *args, **kwargs):
        return model_class.objects.create_user(*args, **kwargs)


class StaffFactory(UserFactory):
    staff_role = StaffRole.VIEWER


class TenantFactory(factory.Factory):
    class Meta:
        model = Tenant

    name = factory.Sequence(lambda n: f"Tenant {n}")
    slug = factory.Sequence(lambda n: f"tenant-{n}")

    @classmethod
    def _create(cls, model_class, *, plan=None, **kwargs):
        # A test that commits empties all tables behind it, this migration's row too.
        Plan.objects.get_or_create(code=DEFAULT_PLAN, defaults={"name": "Standard"})
        tenant = members.create_tenant(**kwargs)
        if plan:
            plans.assign_plan(tenant=tenant, plan=PlanFactory(**plan))
        return tenant


class PlanFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Plan

    code = factory.Sequence(lambda n: f"plan-{n}")
    name = factory.Sequence(lambda n: f"Plan {n}")


class ApiKeyFactory(factory.Factory):
    """A `NewApiKey`: the key and its secret."""

    class Meta:
        model = keys.NewApiKey

    tenant = factory.SubFactory(TenantFactory)
    name = "Integration"

    @classmethod
    def _create(cls, model_class, **kwargs):
        return keys.issue_api_key(**kwargs)


@dataclass
class OpenedSession:
    session: ApiSession
    access: AccessToken
    refresh: str


class ApiSessionFactory(factory.Factory):
    """A person, a member in the role, who let the command line in: session and tokens."""

    class Meta:
        model = OpenedSession

    tenant = factory.SubFactory(TenantFactory)
    user = factory.SubFactory(UserFactory)
    role = Role.OWNER
    scopes = None  # all that the role holds

    @classmethod
    def _create(cls, model_class, *, tenant, user, role, scopes):
        membership = Membership.objects.for_tenant(tenant.id).filter(user=user).first()
        membership = membership or members.add_member(tenant=tenant, user=user, role=role)
        verifier, redirect_uri = "v" * 43, "http://127.0.0.1:8400/callback"
        with acting_as(DatabaseRole.DOOR):
            code = sessions.approve(
                membership=membership,
                client=clients.CLI,
                redirect_uri=redirect_uri,
                challenge=sessions.challenge_of(verifier),
                scopes=scopes or GRANTS[membership.role],
            )
            tokens = sessions.open_session(
                code=code,
                client_id=clients.CLI.client_id,
                redirect_uri=redirect_uri,
                verifier=verifier,
                address="192.0.2.1",
            )
        session = ApiSession.objects.for_tenant(tenant.id).get(pk=tokens.access["sid"])
        return OpenedSession(session, tokens.access, tokens.refresh)


class JobFactory(factory.Factory):
    class Meta:
        model = Job

    tenant = factory.SubFactory(TenantFactory)
    submitted_by = "gpc_test"
    guideline_text = "Staff MUST wash their hands."

    @classmethod
    def _create(cls, model_class, *, tenant, **kwargs):
        return job_services.submit_job(tenant_id=tenant.id, **kwargs)
