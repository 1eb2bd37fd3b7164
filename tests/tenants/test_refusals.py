"""Refused acts are in the log, and the answer does not depend on the log."""

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import override_settings

from tenants.models import AuditEntry, Scope
from tenants.services import keys
from tests.config.caches import NOWHERE
from tests.config.test_problems import check_problem
from tests.factories import ApiKeyFactory, JobFactory, TenantFactory
from tests.tenants.test_token_endpoint import ask, basic
from tests.tenants.test_token_endpoint import post as token_request

pytestmark = pytest.mark.django_db(transaction=True)


def refused():
    entries = AuditEntry.objects.across_tenants().filter(outcome="refused").order_by("id")
    return [(e.action, e.tenant_id, e.actor, e.object_id, e.after) for e in entries]


def post(client, key, secret, **fields):
    return ask(client, key, client_secret=secret, **fields)


def test_a_call_without_its_scope_is_noted_after_its_transaction(tenant, client_for):
    job = JobFactory(tenant=tenant)
    path = f"/jobs/{job.event_id}/cancel"

    check_problem(client_for(tenant, [Scope.JOBS_READ]).post(path), 403, "insufficient_scope")

    route = "POST /jobs/<uuid:event_id>/cancel"
    after = {"code": "insufficient_scope", "path": path}
    assert refused() == [("access.refused", tenant.id, "gpc_test", route, after)]


def test_the_same_refusal_is_noted_once_a_minute_and_another_at_once(tenant, client_for):
    api = client_for(tenant, [Scope.JOBS_SUBMIT])
    for _ in range(3):
        api.get("/jobs")
        api.get("/audit")
    assert [entry[3] for entry in refused()] == ["GET /jobs", "GET /audit"]

    cache.clear()  # as a minute does
    api.get("/jobs")

    assert len(refused()) == 3


@override_settings(CACHES=NOWHERE)
def test_without_redis_every_refusal_is_noted(tenant, client_for):
    api = client_for(tenant, [Scope.JOBS_SUBMIT])
    api.get("/jobs")
    api.get("/jobs")

    assert len(refused()) == 2


def test_a_job_of_another_tenant_is_noted_no_more_than_one_that_never_was(tenant, client_for):
    theirs = JobFactory(tenant=TenantFactory())
    before = AuditEntry.objects.across_tenants().count()

    check_problem(client_for(tenant).post(f"/jobs/{theirs.event_id}/cancel"), 404, "not_found")

    assert AuditEntry.objects.across_tenants().count() == before


def test_a_token_that_nobody_knows_is_nobodys_entry(client, db):
    client.get("/jobs", HTTP_AUTHORIZATION="Bearer x")
    client.get("/jobs")

    assert refused() == []


def test_a_wrong_secret_of_a_client_that_exists_is_in_its_tenants_log(client):
    key = ApiKeyFactory()

    response = post(client, key, "gps_CANARY_wrong")

    check_problem(response, 401, "invalid_client")
    client_id = key.key.client_id
    assert refused() == [
        ("token.refused", key.key.tenant_id, client_id, client_id, {"code": "invalid_client"})
    ]


def test_a_scope_that_the_key_lacks_is_noted(client):
    key = ApiKeyFactory(scopes=[Scope.JOBS_READ])

    check_problem(post(client, key, key.client_secret, scope="jobs:submit"), 400, "invalid_scope")

    assert [entry[4] for entry in refused()] == [{"code": "invalid_scope"}]


def test_a_client_that_does_not_exist_leaves_no_trace(client):
    key = ApiKeyFactory()

    response = post(client, key, "x", client_id="gpc_unknown\n")

    check_problem(response, 401, "invalid_client")
    assert refused() == []


@pytest.mark.parametrize("whose", ["its own", "wrong"])
@pytest.mark.parametrize("where", ["id", "secret"])
def test_a_nul_in_the_header_is_refused_and_no_error_of_ours(client, caplog, where, whose):
    key = ApiKeyFactory()
    secret = key.client_secret if whose == "its own" else keys.new_secret()
    nul = {"id": "", "secret": ""} | {where: "%00"}
    header = basic(key.key.client_id + nul["id"], secret + nul["secret"])

    fields = {"grant_type": "client_credentials"}
    response = token_request(client, fields, HTTP_AUTHORIZATION=header)

    check_problem(response, 401, "invalid_client")
    assert refused() == []
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == []


@pytest.mark.parametrize("what", ["call", "token"])
def test_an_answer_does_not_wait_for_a_log_that_cannot_be_written(
    tenant, client, client_for, caplog, what
):
    key = ApiKeyFactory(tenant=tenant)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE tenants_auditentry RENAME TO away")
    try:
        if what == "call":
            response = client_for(tenant, [Scope.JOBS_SUBMIT]).get("/jobs")
            check_problem(response, 403, "insufficient_scope")
        else:
            check_problem(post(client, key, "wrong"), 401, "invalid_client")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO tenants_auditentry")

    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == [
        "audit_refusal_not_written"
    ]


def test_a_refusal_is_written_in_no_other_tenants_name(tenant, client_for):
    """The tenant is that of the token, and PostgreSQL holds the entry to it."""
    api = client_for(tenant, [Scope.USAGE_READ])

    api.get("/jobs", HTTP_X_TENANT=str(TenantFactory().id))

    assert [entry[1] for entry in refused()] == [tenant.id]
