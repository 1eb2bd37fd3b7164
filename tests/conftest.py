import pytest
from django.core.cache import cache
from django.db import connection
from rest_framework.test import APIClient

from accounts.tokens import issue_access_token
from tenants import throttling
from tenants.models import Scope
from tests.factories import TenantFactory


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """After a test that commits, Django truncates all tables, which the audit log refuses.

    Tests of just that put the two triggers back: see `walls` in tests/tenants/sealing.
    """
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE tenants_auditentry DISABLE TRIGGER audit_entries_are_kept;"
            "ALTER TABLE tenants_auditseal DISABLE TRIGGER audit_seals_are_kept"
        )


@pytest.fixture(autouse=True)
def _fresh_counters(request):
    """Rate limits count in the shared Redis: each test starts from none."""
    if "db" in request.fixturenames:
        cache.clear()
    throttling._redis_away_until = 0.0


@pytest.fixture
def tenant(db):
    return TenantFactory()


@pytest.fixture
def client_for():
    """An API client with a token for the tenant."""

    def make(tenant, scopes=tuple(Scope)):
        token = issue_access_token(subject="gpc_test", tenant=str(tenant.id), scopes=list(scopes))
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
        return client

    return make


@pytest.fixture
def api(tenant, client_for):
    return client_for(tenant)
