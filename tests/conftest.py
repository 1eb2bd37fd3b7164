from functools import cache
from uuid import uuid4

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.models.signals import post_migrate
from django.test import Client, TransactionTestCase
from django.urls import reverse
from redis import Redis
from rest_framework.test import APIClient
from whitenoise.middleware import WhiteNoiseMiddleware

from accounts import keyring
from accounts.tokens import issue_access_token
from config.isolation import after_migrate
from config.staff import StaffRole
from tenants import standing, throttling
from tenants.models import FOR_PEOPLE_ALONE, ApiKey, Role, Scope
from tenants.services import members
from tests.accounts.acts import sign_in
from tests.emptying import empty
from tests.factories import ApiSessionFactory, StaffFactory, TenantFactory, UserFactory
from tests.live.whole_stack import live, live_stack  # noqa: F401  (one stack for live/ and e2e/)

_find_files, _static_files = WhiteNoiseMiddleware.add_files_from_finders, {}


def _find_files_once(middleware):
    """Every browser of a test makes the middleware anew, which takes it longer than most pages."""
    if not _static_files:
        _find_files(middleware)
        _static_files.update(middleware.files)
    middleware.files.update(_static_files)


WhiteNoiseMiddleware.add_files_from_finders = _find_files_once

IN_PRODUCTION = throttling.TIMEOUT
throttling.TIMEOUT = 5  # see tests/settings.py: what waits here is no server that is away


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """After a test that commits all tables are emptied, which the audit log refuses.

    Tests of just that put the two triggers back: see `walls` in tests/tenants/sealing. Then it
    says that it has migrated; the policies and privileges of each table are still there, and are
    not made anew a thousand times.
    """
    TransactionTestCase._fixture_teardown = empty
    post_migrate.disconnect(after_migrate, sender=apps.get_app_config("config"))
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE tenants_auditentry DISABLE TRIGGER audit_entries_are_kept;"
            "ALTER TABLE tenants_auditseal DISABLE TRIGGER audit_seals_are_kept"
        )


@cache
def _counters(url):
    return Redis.from_url(url, socket_timeout=30)


@pytest.fixture(autouse=True)
def _fresh_counters(request):
    """Rate limits count in the shared Redis: each test starts from none."""
    if "db" in request.fixturenames or request.node.get_closest_marker("django_db"):
        # Not by Django's cache, which gives Redis a twentieth of a second, as requests do.
        _counters(settings.REDIS_URL).flushdb()
    throttling._redis_away_until = 0.0


@pytest.fixture(autouse=True)
def _nothing_remembered():
    """What tokens stood for in the last second, in another test's database."""
    standing._recent.clear()
    keyring.forget()  # a test before may have emptied the database, and so replaced the key


@pytest.fixture
def tenant(db):
    return TenantFactory()


@pytest.fixture
def known(api, monkeypatch):
    """What `api` stands for has been asked and is not asked again: for tests that count."""
    monkeypatch.setattr(standing._recent, "seconds", 3600)
    api.get("/jobs")


def with_token(token):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


@pytest.fixture
def client_for():
    """An API client with a token of an API key of the tenant."""

    def make(tenant, scopes=tuple(Scope), subject="gpc_test"):
        held = [scope for scope in Scope if scope not in FOR_PEOPLE_ALONE]
        taken = ApiKey.objects.across_tenants().filter(client_id=subject).exclude(tenant=tenant)
        key, _ = ApiKey.objects.across_tenants().get_or_create(
            client_id=f"{subject}_{tenant.slug}" if taken.exists() else subject,
            defaults={"tenant": tenant, "digest": "0" * 64, "name": "Test", "scopes": held},
        )
        token = issue_access_token(
            subject=key.client_id, tenant=str(tenant.id), scopes=list(scopes)
        )
        return with_token(token)

    return make


@pytest.fixture
def person_client_for():
    """An API client with a token of a person who has the role, and the person's session."""

    def make(tenant, role=Role.OWNER, **session):
        opened = ApiSessionFactory(tenant=tenant, role=role, **session)
        client = with_token(opened.access)
        client.session_row = opened.session
        return client

    return make


@pytest.fixture
def api(tenant, client_for):
    return client_for(tenant)


@pytest.fixture
def admin_client(admin_user, client):
    """A browser of staff, who come in with a second factor only."""
    return sign_in(client, admin_user)


@pytest.fixture
def console_for():
    """A browser of somebody new, who is a member in the role and just came in."""

    def make(tenant, role=Role.OWNER, **membership):
        user = UserFactory()
        members.add_member(tenant=tenant, user=user, role=role, **membership)
        return Console(sign_in(Client(), user), user, tenant.slug)

    return make


@pytest.fixture
def console(tenant, console_for):
    return console_for(tenant)


class Console:
    """Asks for pages below /console/<slug>/ by their names, and sends their forms as shown."""

    def __init__(self, browser, user, slug):
        self.browser, self.user, self.slug = browser, user, slug

    def url(self, page, /, *ids, slug=None):
        return reverse(f"console:{page}", args=[slug or self.slug, *ids])

    def get(self, page, /, *ids, **query):
        return self.browser.get(self.url(page, *ids), query)

    def send(self, page, /, *ids, **typed):
        """The form of that page, filled in; follows to where it leads."""
        return self.browser.post(self.url(page, *ids), {"once": uuid4(), **typed}, follow=True)


@pytest.fixture
def staff_client():
    """A browser of somebody new, who is staff in the role and just came in."""

    def make(role=StaffRole.OPERATOR, **person):
        user = StaffFactory(staff_role=role, **person)
        browser = sign_in(Client(), user)
        browser.user = user
        return browser

    return make
