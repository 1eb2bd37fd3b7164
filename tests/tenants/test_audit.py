"""What stands in the audit log of each act: who, for whom, what, and never a secret or a text."""

import json
import uuid

import pytest
from django.db import connection
from django.urls import reverse

from accounts.services import enrol_totp, register_person
from jobs import breaker, bulk
from jobs.filters import JobFilter
from tenants.audit import SYSTEM, Actor, acts_of, current_actor, record
from tenants.models import ActorKind, AuditEntry
from tenants.services import keys
from tests.accounts.acts import SECRET, give_code, give_password, sign_in
from tests.factories import ApiKeyFactory, JobFactory, UserFactory
from tests.jobs.acts import failed
from tests.tenants.test_token_endpoint import ask

pytestmark = pytest.mark.django_db

TEXT = "CANARY guideline: staff MUST wash their hands."
PASSWORD = "CANARY correct horse battery staple"


@pytest.fixture(autouse=True)
def _settings(client):
    client.defaults["REMOTE_ADDR"] = "203.0.113.7"
    client.defaults["HTTP_X_REQUEST_ID"] = "req-1"


@pytest.fixture
def key(tenant):
    return ApiKeyFactory(tenant=tenant)


@pytest.fixture
def api(client, key):
    """A tenant's own client, with a token from the token endpoint."""
    token = ask(client, key).json()["access_token"]
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


@pytest.fixture
def staff(client):
    person = UserFactory(email="ann@example.com", staff_role="administrator")
    return sign_in(client, person)


def submit(api):
    body = {"guideline_text": TEXT, "title": "CANARY title", "metadata": {"CANARY": "x"}}
    return api.post("/jobs", body, content_type="application/json").json()["event_id"]


def last(action):
    """The entry, which must be the only one of its action."""
    return AuditEntry.objects.across_tenants().get(action=action)


def everything():
    with connection.cursor() as cursor:
        cursor.execute("SELECT entry::text FROM tenants_auditentry AS entry")
        return "\n".join(row[0] for row in cursor.fetchall())


# --- By tenants' keys -----------------------------------------------------------------------


@pytest.mark.parametrize("action", ["job.submitted", "job.cancelled", "job.retried"])
def test_each_act_on_a_job_is_one_entry_by_its_key(api, key, tenant, action):
    event_id = submit(api)
    if action != "job.submitted":
        api.post(f"/jobs/{event_id}/cancel")
        api.post(f"/jobs/{event_id}/cancel")
    if action == "job.retried":
        api.post(f"/jobs/{event_id}/retry")
        api.post(f"/jobs/{event_id}/retry")

    entry = last(action)
    assert (entry.tenant_id, entry.outcome) == (tenant.id, "done")
    assert (entry.actor_kind, entry.actor, entry.on_behalf_of) == ("key", key.key.client_id, "")
    assert (entry.address, entry.request_id) == ("203.0.113.7", "req-1")
    assert (entry.object_type, entry.object_id) == ("job", event_id)
    expected = {
        "job.submitted": (None, {"digest", "bytes", "priority"}),
        "job.cancelled": ({"status": "PENDING"}, {"status", "reason"}),
        "job.retried": ({"status": "CANCELLED"}, {"status", "reason"}),
    }[action]
    assert (entry.before, set(entry.after)) == expected
    assert "CANARY" not in everything()


def test_what_was_not_done_leaves_no_entry(api, tenant):
    event_id = submit(api)
    before = AuditEntry.objects.across_tenants().count()

    api.post("/jobs", {"guideline_text": ""}, content_type="application/json")
    api.post(f"/jobs/{uuid.uuid4()}/cancel")
    api.post(f"/jobs/{event_id}/retry")
    api.get(f"/jobs/{event_id}")

    assert AuditEntry.objects.across_tenants().count() == before


def test_a_token_is_noted_once_a_minute(client, key):
    for _ in range(3):
        assert ask(client, key).status_code == 200

    entry = last("token.issued")
    assert (entry.actor_kind, entry.actor) == ("key", key.key.client_id)
    assert (entry.object_type, entry.object_id) == ("key", key.key.client_id)
    assert set(entry.after) == {"scopes"}
    assert key.client_secret not in everything()
    assert "eyJ" not in everything()


# --- By staff, operators and the system -----------------------------------------------------


def test_staffs_retry_in_the_admin_is_theirs(staff, tenant):
    job = failed(JobFactory(tenant=tenant))

    staff.post(reverse("admin:job_retry", args=[job.event_id]), {"reason": "mended"})

    entry = last("job.retried")
    assert (entry.actor_kind, entry.actor) == ("staff", "ann@example.com")
    assert (entry.tenant_id, entry.object_id) == (tenant.id, str(job.event_id))
    assert (entry.address, entry.request_id) == ("203.0.113.7", "req-1")


def test_closing_the_circuit_is_noted_and_opening_it_once(staff):
    breaker.hold_open("llm_quota")
    breaker.hold_open("llm_quota")
    [circuit] = breaker.Circuit.objects.all()

    staff.post(reverse("admin:circuit_close", args=[circuit.name]), {"reason": "paid"})

    opened, closed = last("circuit.held_open"), last("circuit.closed")
    assert (opened.actor_kind, opened.actor, opened.tenant_id) == ("system", "system", None)
    assert opened.after == {"reason": "llm_quota"}
    assert (closed.actor_kind, closed.actor, closed.tenant_id) == ("staff", "ann@example.com", None)
    assert (closed.object_type, closed.object_id) == ("circuit", circuit.name)


def test_a_bulk_action_is_noted_and_each_job_is_retried_on_behalf_of_its_starter(tenant):
    job = failed(JobFactory(tenant=tenant))
    with acts_of(Actor(ActorKind.STAFF, "ann")):
        action = bulk.start(
            kind="retry",
            chosen=JobFilter(status="FAILED"),
            actor="ann",
            reason="outage",
            rate=1000,
        )
    bulk.BulkAction.objects.update(worked_at=action.worked_at - bulk.timedelta(seconds=1))

    bulk.work()

    started, retried = last("bulk.started"), last("job.retried")
    assert (started.actor, started.object_type, started.object_id) == (
        "ann",
        "bulk_action",
        str(action.pk),
    )
    assert set(started.after) == {"name", "kind", "filter", "rate", "total", "reason"}
    assert (retried.actor_kind, retried.actor, retried.on_behalf_of) == ("system", "pump", "ann")
    assert retried.object_id == str(job.event_id)


def test_a_bulk_action_that_is_aborted_is_noted_once(tenant):
    JobFactory(tenant=tenant)
    action = bulk.start(
        kind="cancel",
        chosen=JobFilter(status="PENDING", tenant=tenant.slug),
        actor="ann",
        reason="x",
        rate=1,
    )

    assert [bulk.abort(action), bulk.abort(action)] == [True, False]

    assert last("bulk.aborted").tenant_id == tenant.id


def test_a_tenant_and_its_keys_are_noted(tenant):
    new = ApiKeyFactory(tenant=tenant, name="CI")
    keys.revoke_api_key(new.key)
    keys.revoke_api_key(new.key)

    made, created, revoked = map(last, ("tenant.created", "key.created", "key.revoked"))
    assert made.after == {"name": tenant.name, "slug": tenant.slug}
    assert (made.tenant_id, made.object_id) == (tenant.id, str(tenant.id))
    assert set(created.after) == {"name", "scopes", "expires_at", "allowed_networks"}
    assert (created.object_id, revoked.object_id) == (new.key.client_id, new.key.client_id)
    assert new.client_secret not in everything()
    assert new.key.digest not in everything()


def test_sessions_begun_ended_and_refused_are_noted(client):
    ann = register_person(
        email="ann@example.com", name="Ann", password=PASSWORD, staff_role="administrator"
    )
    enrol_totp(ann, SECRET)

    give_password(client, "Ann@example.com", "CANARY wrong")
    give_password(client, "canary-typed-here@example.com", "x")
    give_password(client, "ann@example.com", PASSWORD)
    give_code(client, "000000")
    give_code(client)
    client.post(reverse("account_logout"))

    entries = AuditEntry.objects.across_tenants().filter(action__startswith="session.")
    shown = entries.order_by("id").values_list("action", "outcome", "actor_kind", "actor", "after")
    assert list(shown) == [
        ("session.refused", "refused", "staff", "ann@example.com", {"reason": "password"}),
        ("session.refused", "refused", "person", "unknown", {"reason": "password"}),
        ("session.refused", "refused", "staff", "ann@example.com", {"reason": "code"}),
        ("session.started", "done", "staff", "ann@example.com", None),
        ("session.ended", "done", "staff", "ann@example.com", None),
    ]
    named = set(entries.values_list("object_type", "object_id"))
    assert named == {("person", str(ann.public_id)), ("", "")}
    assert {e.address for e in entries} == {"203.0.113.7"}
    assert "CANARY" not in everything()
    assert "canary-typed-here" not in everything()


def test_a_page_that_staff_may_not_see_is_noted(client):
    sign_in(client, UserFactory(email="bob@example.com", staff_role="viewer"))

    job = JobFactory()
    retry = reverse("admin:job_retry", args=[job.event_id])

    assert client.get(retry).status_code == 403

    entry = last("access.refused")
    assert (entry.outcome, entry.actor, entry.object_id) == (
        "refused",
        "bob@example.com",
        retry,
    )


def test_an_act_that_is_rolled_back_leaves_no_entry(tenant):
    from django.db import transaction

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        record("job.submitted", tenant_id=tenant.id)
        raise ZeroDivisionError

    assert not AuditEntry.objects.across_tenants().filter(action="job.submitted").exists()


def test_after_a_request_the_actor_is_forgotten(api):
    submit(api)

    assert current_actor.get() == SYSTEM


def test_values_that_json_has_no_word_for_are_written_as_text(tenant):
    when = tenant.created_at

    record("x.done", tenant_id=tenant.id, after={"at": when, "id": tenant.id, "ü": "漢"})

    assert last("x.done").after == json.loads(
        json.dumps({"at": str(when), "id": str(tenant.id), "ü": "漢"})
    )
