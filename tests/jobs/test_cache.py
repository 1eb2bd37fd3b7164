"""The same text again: the earlier result, at no cost, and never another tenant's."""

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from config.crypto import CannotUnseal
from config.isolation import DatabaseRole, acting_as
from jobs import breaker, cache, deletion, runner, services
from jobs.models import Circuit, Job, LLMCall, Reservation
from jobs.persistence import LeaseLost
from llm import version
from llm.calls import unspent
from tenants import standing
from tenants.models import Role, Tenant
from tests.callers import client_of, member_of
from tests.factories import TenantFactory
from tests.jobs.acts import claimed
from tests.jobs.test_breaker import let_the_wait_pass, state, trip
from tests.jobs.test_fairness import fill
from tests.jobs.test_revisions import OLD, job_of, run, submit, work

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def other(db):
    return TenantFactory()


@pytest.fixture
def first(api, provider):
    """A completed job, after which the model was asked nothing."""
    body = run(api, OLD)
    assert body["cache"] == "miss"
    provider.reset()
    return body


def past_triggers(statement, parameters):
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(statement, parameters)
        cursor.execute("SET session_replication_role = DEFAULT")


def test_the_same_text_again_gets_the_same_result_at_no_cost(api, tenant, first, provider):
    second = run(api, OLD, title="Another title", metadata={"ward": "8"}, priority="high")

    assert provider.ledger() == []
    assert second["cache"] == "hit"
    assert second["step"] == "checklist"
    assert second["progress"] == {"steps_done": 2, "steps": 2, "passages_done": 0, "passages": 0}
    assert api.get("/jobs").json()["data"][0]["step"] == "checklist"
    assert second["usage"]["llm_calls"] == 0
    assert LLMCall.objects.across_tenants().filter(job=job_of(second)).count() == 0
    assert job_of(second).cost_micros == 0
    assert Reservation.objects.across_tenants().count() == 0
    provenance = second["result"].pop("provenance")
    made_at = provenance.pop("cache")["made_at"]
    assert made_at == first["completed_at"]
    assert provenance == first["result"].pop("provenance")
    assert second["result"] == first["result"]
    third = run(api, OLD)
    assert third["result"]["provenance"]["cache"] == {"made_at": made_at}


@pytest.mark.parametrize(
    "change",
    [
        {"text": OLD + "\n"},
        {"options": {"on_doubt": "drop"}},
        {"options": {"language": "de"}},
        {"options": {"report": True}},
        {"options": {"model": "gpt-other"}},
    ],
)
def test_another_text_or_option_asks_the_model(change, api, settings, first, provider):
    settings.MODELS = ["gpt-other"]
    second = run(api, change.pop("text", OLD), **change)

    assert second["cache"] == "miss"
    assert len(provider.ledger()) == 2


def test_other_versions_ask_the_model(api, first, provider, monkeypatch):
    monkeypatch.setattr(cache, "CHAIN_VERSION", version.CHAIN_VERSION + 1)
    assert run(api, OLD)["cache"] == "miss"
    monkeypatch.undo()

    pinned = {"summarize": 1, "checklist": 1, "repair": 2}
    monkeypatch.setattr(services, "current_prompts", lambda: pinned)
    assert run(api, OLD)["cache"] == "miss"


def test_who_refuses_an_earlier_result_has_a_new_one_which_others_may_have(
    api,
    first,
    provider,
):
    second = run(api, OLD, options={"cache": False})

    assert second["cache"] is None
    assert len(provider.ledger()) == 2
    third = run(api, OLD)
    assert third["result"]["provenance"]["cache"]["made_at"] == second["completed_at"]


def test_a_result_that_is_deleted_is_none(api, tenant, first, provider):
    event_id = submit(api, OLD).json()["event_id"]
    deletion.delete_job(tenant_id=tenant.id, event_id=uuid.UUID(first["event_id"]))

    assert work(api, event_id)["cache"] == "miss"
    assert len(provider.ledger()) == 2


def test_two_equal_jobs_that_run_at_once_both_ask(api, provider):
    one, two = (job_of(submit(api, OLD).json()) for _ in range(2))
    claimed(one)

    assert cache.earlier_result(two) is None


def test_whoever_sees_only_own_jobs_is_not_told_whose_result_it_was(tenant, first, provider):
    confined = client_of(member_of(tenant, Role.MEMBER, sees_own_only=True))

    second = run(confined, OLD)

    assert second["cache"] == "hit"
    assert first["event_id"] not in str(second)


def test_the_earlier_result_is_found_in_an_index(api, first):
    job = job_of(submit(api, OLD).json())
    fill(job.tenant, 300)  # so that one index is better than another

    with CaptureQueriesContext(connection) as asked:
        cache.earlier_result(job)

    [query] = [each["sql"] for each in asked if "fingerprint" in each["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job")
        cursor.execute(f"EXPLAIN {query}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "job_same_result" in plan


# --- Never another tenant's ---------------------------------------------------------------------


def test_another_tenant_s_equal_text_never_hits(other, first, provider, client_for):
    second = run(client_for(other), OLD)

    assert second["cache"] == "miss"
    assert len(provider.ledger()) == 2
    assert job_of(first).fingerprint != job_of(second).fingerprint


def test_even_an_equal_fingerprint_of_another_tenant_is_none(other, first, client_for, monkeypatch):
    mine, theirs = job_of(submit(client_for(other), OLD).json()), job_of(first)
    mine.fingerprint = theirs.fingerprint

    assert cache.earlier_result(mine) is None

    # Without the filter: PostgreSQL keeps it from requests, the tenant's own keys from workers.
    unfiltered = cache.EARLIER.replace("tenant_id = %s", "%s::uuid IS NOT NULL")
    monkeypatch.setattr(cache, "EARLIER", unfiltered)
    with acting_as(DatabaseRole.API, other.id):
        assert cache.earlier_result(mine) is None
    with pytest.raises(CannotUnseal):
        cache.earlier_result(mine)


# --- As every other end -------------------------------------------------------------------------


def test_a_job_that_is_cancelled_meanwhile_takes_no_result(api, tenant, first, monkeypatch):
    event_id = submit(api, OLD).json()["event_id"]
    found = cache.earlier_result

    def cancel_then_find(job):
        assert api.post(f"/jobs/{event_id}/cancel").status_code == 202
        return found(job)

    monkeypatch.setattr(cache, "earlier_result", cancel_then_find)

    assert runner.run_next_job("w") == event_id

    body = api.get(f"/jobs/{event_id}").json()
    assert (body["status"], body["result"], body["cache"]) == ("CANCELLED", None, None)


def test_staff_see_that_no_step_was_made(api, first, staff_client):
    second = run(api, OLD)

    viewer = staff_client("viewer")
    assert "none: an earlier result" in viewer.get("/admin/jobs/job/").text
    assert (
        "an earlier result was taken" in viewer.get(f"/admin/jobs/job/{second['event_id']}/").text
    )
    assert "earlier result" not in viewer.get(f"/admin/jobs/job/{first['event_id']}/").text


def test_a_worker_that_lost_its_job_writes_no_result(api, first):
    job = job_of(submit(api, OLD).json())
    claim = claimed(job)
    past_triggers("UPDATE jobs_job SET attempt = attempt + 1 WHERE id = %s", [job.pk])

    with pytest.raises(LeaseLost):
        services.complete_job(claim, cache.earlier_result(job), unspent(), cache_hit=True)

    assert Job.objects.across_tenants().get(pk=job.pk).sealed_result is None


def test_a_job_that_was_to_try_the_provider_leaves_that_to_the_next(api, first):
    event_id = submit(api, OLD).json()["event_id"]
    trip()
    let_the_wait_pass()

    assert work(api, event_id)["cache"] == "hit"

    assert state() == "half_open"
    assert breaker.may_probe()


def test_a_result_that_was_made_while_something_was_away_is_not_offered_again(
    api, tenant, settings, provider
):
    settings.MODELS = ["gpt-other"]
    models = [settings.OPENAI_MODEL, "gpt-other"]
    Tenant.objects.filter(pk=tenant.pk).update(preferred_models=models)
    standing._recent.clear()
    provider.script([{"do": "status", "status": 404, "model": models[0], "times": 9}])
    first = run(api, OLD)
    assert first["result"]["provenance"]["steps"]["summarize"]["fallback_from"] == models[:1]
    provider.reset()
    Circuit.objects.all().delete()

    second = run(api, OLD)

    assert (second["cache"], bool(provider.ledger())) == ("miss", True)


def test_another_order_of_fallbacks_makes_no_other_result(api, tenant, settings, first, provider):
    settings.MODELS = ["gpt-other"]
    models = [settings.OPENAI_MODEL, "gpt-other"]
    Tenant.objects.filter(pk=tenant.pk).update(preferred_models=models)
    standing._recent.clear()

    assert run(api, OLD)["cache"] == "hit"
