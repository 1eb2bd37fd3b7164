"""Jobs that supersede, replay and are compared with others."""

import json
import uuid
from functools import partial

import pytest
from django.db import connection

from config.isolation import DatabaseRole, acting_as
from jobs import deletion, runner, services
from jobs.models import Document, Job
from llm.estimate import estimate
from tenants.models import AuditEntry, Role, Scope
from tests.callers import client_of, member_of
from tests.config.test_problems import check_problem
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import at_once, completed, failed

pytestmark = pytest.mark.django_db(transaction=True)

OLD = """# Hands

Staff must wash their hands for 20 seconds.

Visitors must leave by noon.

Nurses should rest daily.
"""
NEW = OLD.replace("20 seconds", "40 seconds")


@pytest.fixture(autouse=True)
def another_model(settings):
    settings.MODELS = ["gpt-other"]


@pytest.fixture
def other(db):
    return TenantFactory()


def submit(api, text, **fields):
    return api.post("/jobs", {"guideline_text": text} | fields, format="json")


def run(api, text, **fields):
    """Submits and works on it; the body of the job."""
    event_id = submit(api, text, **fields).json()["event_id"]
    return work(api, event_id)


def work(api, event_id):
    assert runner.run_next_job("w") == event_id
    body = api.get(f"/jobs/{event_id}").json()
    assert body["status"] == "COMPLETED", body
    return body


def job_of(body):
    return Job.objects.across_tenants().get(event_id=body["event_id"])


def replay(api, event_id, **fields):
    return api.post(f"/jobs/{event_id}/replay", fields, format="json")


def diff(api, before, after):
    return api.get(f"/jobs/{after}/diff", {"with": str(before)})


# --- supersedes -------------------------------------------------------------------------------


def test_a_revision_asks_the_model_about_changed_passages_only(api, provider):
    first = run(api, OLD)
    provider.heard.clear()

    second = run(api, NEW, supersedes=first["event_id"])

    changed = "Staff must wash their hands for 40 seconds."
    assert provider.heard == [("summary", changed), ("checklist", changed)]
    assert second["usage"]["llm_calls"] == 2
    assert second["supersedes"] == first["event_id"]
    assert second["result"]["provenance"]["revision"] == {
        "supersedes": first["event_id"],
        "passages_kept": 2,
        "passages_asked": 1,
    }
    found = diff(api, first["event_id"], second["event_id"]).json()
    assert found["items"]["counts"] == {"added": 0, "removed": 0, "changed": 1, "same": 2}


def test_a_revision_without_a_change_costs_no_call(api, provider):
    first = run(api, OLD)
    provider.reset()

    second = run(api, OLD, supersedes=first["event_id"])

    assert provider.ledger() == []
    assert second["result"]["checklist"] == first["result"]["checklist"]
    assert (second["usage"]["llm_calls"], second["cache"]) == (0, None)


@pytest.mark.parametrize("options", [{}, {"on_doubt": "drop"}, {"model": "gpt-other"}])
def test_everything_is_asked_where_the_earlier_job_is_of_no_use(options, api, provider):
    first = run(api, OLD, options=options)
    event_id = submit(api, NEW, supersedes=first["event_id"]).json()["event_id"]
    if not options:
        assert api.delete(f"/jobs/{first['event_id']}").status_code == 204
    provider.heard.clear()

    second = work(api, event_id)

    assert len(provider.heard) == 6
    assert second["result"]["provenance"]["revision"] == {
        "supersedes": first["event_id"],
        "passages_kept": 0,
        "passages_asked": 3,
    }


def test_another_report_or_cache_is_no_reason_to_ask_again(api, provider):
    first = run(api, OLD, options={"cache": False})
    provider.reset()

    run(api, OLD, supersedes=first["event_id"], options={"report": True})

    assert provider.ledger() == []


def test_other_prompts_than_the_earlier_job_s_are_asked_everything(api, provider, monkeypatch):
    first = run(api, OLD)
    pinned = {"summarize": 1, "checklist": 1, "repair": 2}
    monkeypatch.setattr(services, "current_prompts", lambda: pinned)
    provider.heard.clear()

    run(api, OLD, supersedes=first["event_id"])

    assert len(provider.heard) == 6


def test_every_job_that_cannot_be_superseded_is_answered_alike(api, tenant, other, client_for):
    foreign = completed(JobFactory(tenant=other))
    waiting = JobFactory(tenant=tenant)
    deleted = failed(JobFactory(tenant=tenant, guideline_text="Other.", priority=1))
    deletion.delete_job(tenant_id=tenant.id, event_id=deleted.event_id)
    before = Job.objects.across_tenants().count()

    answers = [
        submit(api, NEW, supersedes=str(event_id))
        for event_id in (foreign.event_id, waiting.event_id, deleted.event_id, uuid.uuid4())
    ]

    bodies = [check_problem(answer, 422, "unknown_earlier_job") for answer in answers]
    assert [body["errors"][0]["pointer"] for body in bodies] == ["/supersedes"] * 4
    assert len({json.dumps({**body, "request_id": ""}) for body in bodies}) == 1
    assert Job.objects.across_tenants().count() == before


def test_whoever_sees_only_own_jobs_supersedes_and_compares_and_replays_only_these(tenant, api):
    theirs = completed(JobFactory(tenant=tenant))
    confined = client_of(member_of(tenant, Role.MEMBER, sees_own_only=True))

    check_problem(
        submit(confined, NEW, supersedes=str(theirs.event_id)), 422, "unknown_earlier_job"
    )
    check_problem(replay(confined, theirs.event_id), 404, "not_found")
    check_problem(diff(confined, theirs.event_id, theirs.event_id), 404, "not_found")

    assert submit(api, NEW, supersedes=str(theirs.event_id)).status_code == 202


def test_what_is_no_id_is_named(api):
    body = check_problem(submit(api, NEW, supersedes="the last one"), 422, "invalid_fields")

    assert [error["pointer"] for error in body["errors"]] == ["/supersedes"]


# --- Replay -----------------------------------------------------------------------------------


def test_a_replay_is_a_new_job_on_the_same_document_that_asks_again(api, provider):
    first = run(api, OLD, title="Hands", metadata={"ward": "7b"}, options={"on_doubt": "drop"})
    provider.reset()

    answer = replay(api, first["event_id"], options={"on_doubt": "flag"}, reason="Compare.")

    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/jobs/{body['event_id']}"
    assert body["replay_of"] == first["event_id"]
    assert (body["title"], body["metadata"]) == ("Hands", {"ward": "7b"})
    assert body["options"] == first["options"] | {"on_doubt": "flag", "cache": False}
    assert job_of(body).document_id == job_of(first).document_id
    again = work(api, body["event_id"])
    assert len(provider.ledger()) == 2
    assert again["result"]["checklist"] == first["result"]["checklist"]
    assert (first["cache"], again["cache"]) == ("miss", None)
    entry = AuditEntry.objects.across_tenants().get(action="job.replayed")
    assert entry.object_id == body["event_id"]
    assert entry.after["replay_of"] == first["event_id"]
    assert entry.after["reason"] == "Compare."


def test_a_replay_is_pinned_to_the_versions_it_names_and_else_to_the_first_job_s(
    api, tenant, monkeypatch
):
    monkeypatch.setattr(services, "current_prompts", lambda: {"summarize": 7, "checklist": 7})
    job = completed(JobFactory(tenant=tenant))

    body = replay(api, job.event_id, prompts={"summarize": 1}, model="gpt-other").json()

    again = job_of(body)
    assert again.prompts == {"summarize": 1, "checklist": 7, "repair": 1}
    assert again.options["model"] == "gpt-other"


def test_a_replay_asks_no_model_that_the_tenant_may_not_use_any_more(api, tenant):
    options = {"fallback_models": ["gpt-other", "gone-1"]}
    job = completed(JobFactory(tenant=tenant, options=options))

    again = job_of(replay(api, job.event_id).json())

    assert again.options["fallback_models"] == ["gpt-other"]


def test_a_replay_takes_an_earlier_result_if_it_is_asked_to(api, provider):
    first = run(api, OLD)
    provider.reset()

    body = replay(api, first["event_id"], options={"cache": True}).json()

    assert work(api, body["event_id"])["cache"] == "hit"
    assert provider.ledger() == []


@pytest.mark.parametrize("prompt", [{"summarize": 99}, {"../summarize": 1}, {"schemas": 1}])
def test_a_version_that_there_is_none_of_is_refused(api, tenant, prompt):
    job = completed(JobFactory(tenant=tenant))

    body = check_problem(replay(api, job.event_id, prompts=prompt), 422, "unknown_prompt")

    assert body["errors"][0]["pointer"] == f"/prompts/{next(iter(prompt))}"
    assert Job.objects.across_tenants().count() == 1


def test_two_models_in_one_request_are_refused(api, tenant):
    job = completed(JobFactory(tenant=tenant))

    answer = replay(api, job.event_id, model="a", options={"model": "b"})

    assert check_problem(answer, 422, "invalid_fields")["errors"][0]["pointer"] == "/model"


def test_whatever_has_ended_is_replayed_and_nothing_else(api, tenant):
    waiting = JobFactory(tenant=tenant)
    check_problem(replay(api, waiting.event_id), 409, "invalid_transition")
    lost = failed(waiting)

    assert replay(api, lost.event_id).status_code == 202
    deletion.delete_job(tenant_id=tenant.id, event_id=lost.event_id)

    check_problem(replay(api, lost.event_id), 404, "not_found")
    check_problem(replay(api, uuid.uuid4()), 404, "not_found")


def test_a_replay_needs_the_scope_to_submit(client_for, tenant):
    job = completed(JobFactory(tenant=tenant))
    reader = client_for(tenant, scopes=(Scope.JOBS_READ, Scope.JOBS_MANAGE))

    check_problem(replay(reader, job.event_id), 403, "insufficient_scope")


def test_a_replay_with_its_key_is_made_once(api, tenant):
    job = completed(JobFactory(tenant=tenant))
    path = f"/jobs/{job.event_id}/replay"

    first, second = (
        api.post(path, {}, format="json", headers={"Idempotency-Key": "k"}) for _ in range(2)
    )

    assert first.json() == second.json()
    assert Job.objects.across_tenants().count() == 2


def test_replays_wait_within_the_cap(client_for):
    tenant = TenantFactory(plan={"max_waiting": 1})
    api, job = client_for(tenant), completed(JobFactory(tenant=tenant))
    assert replay(api, job.event_id).status_code == 202

    check_problem(replay(api, job.event_id), 429, "too_many_waiting")

    assert Job.objects.for_tenant(tenant.id).count() == 2


def test_replays_reserve_what_they_may_cost(client_for):
    tenant = TenantFactory(plan={"tokens_per_day": estimate(OLD).total})
    api, job = client_for(tenant), completed(JobFactory(tenant=tenant, guideline_text=OLD))
    assert replay(api, job.event_id).status_code == 202

    check_problem(replay(api, job.event_id), 429, "quota_exceeded")

    assert Job.objects.for_tenant(tenant.id).count() == 2


# --- One document, several jobs -----------------------------------------------------------------


def replayed(tenant, api):
    first = completed(JobFactory(tenant=tenant))
    second = completed(job_of(replay(api, first.event_id).json()))
    return first, second


def delete(job):
    with acting_as(DatabaseRole.API, job.tenant_id):
        return deletion.delete_job(tenant_id=job.tenant_id, event_id=job.event_id)


def texts():
    return [document.text for document in Document.objects.across_tenants()]


def test_the_document_goes_with_the_last_of_its_jobs(api, tenant):
    first, second = replayed(tenant, api)

    assert delete(first)
    assert texts() == ["Staff MUST wash their hands."]

    assert delete(second)
    assert texts() == [None]


def test_two_jobs_of_one_document_that_are_deleted_at_once_leave_no_text(api, tenant):
    for _ in range(5):
        first, second = replayed(tenant, api)

        assert at_once(partial(delete, first), partial(delete, second)) == [True, True]

        assert set(texts()) == {None}


def test_retention_keeps_a_document_until_its_last_job_is_old(api, tenant):
    first, second = replayed(tenant, api)
    tenant.retention_days = 30
    tenant.save()
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        older = "UPDATE jobs_job SET ended_at = ended_at - interval '31 days'"
        cursor.execute(f"{older} WHERE id = %s", [first.pk])
        cursor.execute("SET session_replication_role = DEFAULT")

    assert deletion.purge() == 1
    assert texts() == ["Staff MUST wash their hands."]

    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(f"{older} WHERE id = %s", [second.pk])
        cursor.execute("SET session_replication_role = DEFAULT")
    assert deletion.purge() == 1
    assert texts() == [None]


# --- Comparing --------------------------------------------------------------------------------


def test_two_jobs_are_compared_from_the_one_named_to_the_one_in_the_path(api, provider):
    old, new = run(api, OLD), run(api, NEW + "\nPorters must wear gloves.\n")

    found = diff(api, old["event_id"], new["event_id"]).json()

    assert found["before"] == {
        "event_id": old["event_id"],
        "completed_at": old["completed_at"],
    }
    assert found["items"]["counts"] == {"added": 1, "removed": 0, "changed": 1, "same": 2}
    assert found["items"]["added"][0]["citations"][0]["quote"] == "Porters must wear gloves."
    assert found["items"]["changed"][0]["fields"]["quotes"] == {
        "before": ["Staff must wash their hands for 20 seconds."],
        "after": ["Staff must wash their hands for 40 seconds."],
    }
    assert found["statements"]["counts"] == {"added": 1, "removed": 0, "changed": 1, "same": 2}
    back = diff(api, new["event_id"], old["event_id"]).json()
    assert back["items"]["counts"] == {"added": 0, "removed": 1, "changed": 1, "same": 2}
    same = diff(api, old["event_id"], old["event_id"]).json()
    assert same["items"]["counts"] == {"added": 0, "removed": 0, "changed": 0, "same": 3}


def test_only_results_are_compared_and_only_one_s_own(api, tenant, other):
    foreign = completed(JobFactory(tenant=other))
    waiting = JobFactory(tenant=tenant)

    for with_ in (foreign.event_id, uuid.uuid4()):
        check_problem(diff(api, with_, waiting.event_id), 404, "not_found")
        check_problem(diff(api, waiting.event_id, with_), 404, "not_found")
    body = check_problem(diff(api, waiting.event_id, waiting.event_id), 409, "no_result")
    assert body["job_status"] == "PENDING"


@pytest.mark.parametrize("query", [{}, {"with": "x"}, {"with": ""}, {"width": "1"}])
def test_a_comparison_says_with_what(api, tenant, query):
    job = JobFactory(tenant=tenant)

    check_problem(api.get(f"/jobs/{job.event_id}/diff", query), 422, "invalid_fields")


# --- What a job says of the others ----------------------------------------------------------------


def test_lists_name_the_jobs_that_a_job_follows_at_no_further_cost(
    api, tenant, known, django_assert_num_queries
):
    first = completed(JobFactory(tenant=tenant))
    submit(api, NEW, supersedes=str(first.event_id))
    replay(api, first.event_id)

    with django_assert_num_queries(1):
        listed = api.get("/jobs").json()["data"]

    named = [(job["supersedes"], job["replay_of"]) for job in listed]
    assert named == [(None, str(first.event_id)), (str(first.event_id), None), (None, None)]
