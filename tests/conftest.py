import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from accounts import keyring
from accounts.tokens import issue_access_token
from tenants import throttling
from tenants.models import Scope
from tests.accounts.acts import sign_in
from tests.factories import TenantFactory


@pytest.fixture(autouse=True)
def _fresh_counters(request):
    """Rate limits count in the shared Redis: each test starts from none."""
    if "db" in request.fixturenames or request.node.get_closest_marker("django_db"):
        cache.clear()
    throttling._redis_away_until = 0.0
    keyring.forget()  # a test before may have emptied the database, and so replaced the key


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


@pytest.fixture
def admin_client(admin_user, client):
    """A browser of staff, who come in with a second factor only."""
    return sign_in(client, admin_user)
