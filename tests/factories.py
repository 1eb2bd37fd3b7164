"""Rows for tests, made by the services that make them in the product."""

import factory

from accounts.models import User
from jobs import plans
from jobs import services as job_services
from jobs.models import Job
from tenants.models import DEFAULT_PLAN, Plan, Tenant
from tenants.services import keys, members


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User

    email = factory.Sequence(lambda n: f"person{n}@example.com")
    password = "correct horse battery staple"

    @classmethod
    def _create(cls, model_class, *args, **kwargs):
        return model_class.objects.create_user(*args, **kwargs)


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


class JobFactory(factory.Factory):
    class Meta:
        model = Job

    tenant = factory.SubFactory(TenantFactory)
    submitted_by = "gpc_test"
    guideline_text = "Staff MUST wash their hands."

    @classmethod
    def _create(cls, model_class, *, tenant, **kwargs):
        return job_services.submit_job(tenant_id=tenant.id, **kwargs)
