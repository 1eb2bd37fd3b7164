"""A tenant's own key of a provider: for its jobs alone, at its own cost, and seen by nobody."""

import asyncio
import json
import secrets
from datetime import timedelta

import pytest
from django.db import ProgrammingError, connection
from django.utils import timezone

from config.isolation import DatabaseRole, acting_as
from jobs import breaker, model_loop, providers, queue, retries, runner, services
from jobs.budget import Asked
from jobs.model_loop import Clients
from jobs.models import Circuit, Job, JobAttempt, JobStatus, LLMCall
from jobs.providers import Provider
from jobs.retries import Verdict
from llm.errors import TimedOut, Unavailable
from llm.offline import OfflineServer
from tenants.models import AuditEntry, ProviderKey, Tenant, Usage
from tenants.services import provider_keys
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import in_thread
from tests.jobs.provider import asked, digest_of, keys

pytestmark = pytest.mark.django_db(transaction=True)

KEY = f"sk-canary-{secrets.token_hex(16)}"
TEXT = "Staff MUST wash their hands."
FIRST, SECOND = "first-1", "second-1"
OURS = digest_of("offline")


@pytest.fixture(autouse=True)
def models(settings):
    settings.OPENAI_MODEL, settings.MODELS = FIRST, [SECOND]
    settings.MODEL_PRICES = {FIRST: {"prompt": 1, "completion": 1}}


@pytest.fixture
def theirs(provider, settings):
    """The provider that the tenant has a key of; `provider` is the installation's."""
    server = OfflineServer()
    with server:
        settings.PROVIDERS = {"theirs": server.url}
        yield server.stage


@pytest.fixture
def tenant():
    tenant = TenantFactory()
    Tenant.objects.filter(pk=tenant.pk).update(preferred_models=[FIRST, SECOND])
    return tenant


def put(tenant, key=KEY):
    with acting_as(DatabaseRole.API, tenant.id):
        return provider_keys.put_key(tenant_id=tenant.id, provider="theirs", api_key=key, by=None)


def remove(tenant):
    with acting_as(DatabaseRole.API, tenant.id):
        return provider_keys.remove_key(tenant.id)


def run(job):
    runner.run_next_job("w")
    job.refresh_from_db()
    return job


def submitted(tenant, **kwargs):
    return JobFactory(tenant=tenant, guideline_text=TEXT, **kwargs)


# --- Whose key is used ------------------------------------------------------------------------


def test_a_tenants_jobs_are_run_with_its_own_key_and_nobody_elses_are(tenant, provider, theirs):
    put(tenant)
    other = TenantFactory()

    job, others = run(submitted(tenant)), run(submitted(other))

    assert (job.status, others.status) == (JobStatus.COMPLETED, JobStatus.COMPLETED)
    assert set(keys(theirs)) == {digest_of(KEY)}
    assert set(keys(provider)) == {OURS}
    said = LLMCall.objects.across_tenants().values_list("tenant_id", "own_key").distinct()
    assert set(said) == {(tenant.id, True), (other.id, False)}
    assert job.result["provenance"]["steps"]["summarize"]["own_key"] is True
    assert "own_key" not in others.result["provenance"]["steps"]["summarize"]


def test_a_key_that_is_changed_or_removed_bites_on_the_next_call(tenant, provider, theirs):
    put(tenant)
    theirs.script([{"do": "hold", "step": "summary"}])
    job = submitted(tenant)
    running = in_thread(lambda: runner.run_next_job("w"))
    while not theirs.ledger():
        pass
    put(tenant, f"{KEY}-new")

    theirs.release()
    running.result(20)
    remove(tenant)
    run(submitted(tenant, options={"cache": False}))

    job.refresh_from_db()
    assert job.status == JobStatus.COMPLETED
    assert keys(theirs) == [digest_of(KEY), digest_of(f"{KEY}-new")]
    assert set(keys(provider)) == {OURS}


def test_what_was_meant_for_one_provider_is_not_sent_to_another(tenant, provider, theirs, settings):
    put(tenant)
    settings.PROVIDERS = {}

    job = run(submitted(tenant))

    assert (job.status, job.error_code) == (JobStatus.FAILED, "provider_key_refused")
    assert asked(provider) == asked(theirs) == []


def test_a_provider_that_is_gone_says_nothing_of_the_installations(
    tenant, provider, theirs, settings
):
    put(tenant)
    settings.PROVIDERS = {}
    for model in (FIRST, SECOND):
        for _ in range(breaker.FAILURES):
            breaker.failed("llm_unavailable", breaker.circuit_name(model))

    run(submitted(tenant))

    assert set(Circuit.objects.values_list("state", flat=True)) == {"open"}


def test_an_own_key_neither_waits_for_a_circuit_nor_tries_it_nor_claims_a_fallback(
    tenant, provider, theirs
):
    put(tenant)
    for _ in range(breaker.FAILURES):
        breaker.failed("llm_unavailable", breaker.circuit_name(FIRST))
    Circuit.objects.update(open_until=timezone.now() - timedelta(seconds=1))

    job = run(submitted(tenant))

    step = job.result["provenance"]["steps"]["summarize"]
    assert "fallback_from" not in step
    assert {call["model"] for call in theirs.ledger()} == {FIRST}
    circuit = Circuit.objects.get()
    assert (circuit.state, circuit.probe_until) == ("open", None)


def test_an_own_key_falls_back_among_the_tenants_models_too(tenant, provider, theirs):
    put(tenant)
    theirs.script([{"do": "status", "status": 404, "model": FIRST, "times": 9}])

    job = run(submitted(tenant))

    assert job.status == JobStatus.COMPLETED
    assert asked(theirs) == [
        ("summary", FIRST),
        ("summary", SECOND),
        ("checklist", FIRST),
        ("checklist", SECOND),
    ]
    assert Circuit.objects.count() == 0


# --- Its errors are its own -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code", "advice"),
    [
        ({"status": 401}, "provider_key_refused", "PUT /settings/provider"),
        ({"status": 403}, "provider_key_refused", "PUT /settings/provider"),
        (
            {"status": 429, "code": "insufficient_quota"},
            "provider_quota_exhausted",
            "no credit left",
        ),
    ],
)
def test_a_key_that_is_refused_fails_the_job_says_what_to_do_and_touches_no_circuit(
    tenant, provider, theirs, fault, code, advice
):
    put(tenant)
    theirs.script([{"do": "status", "times": 2, **fault}])

    job = run(submitted(tenant))

    assert (job.status, job.error_code) == (JobStatus.FAILED, code)
    assert advice in job.error_detail
    assert Circuit.objects.count() == 0
    assert asked(provider) == []
    services.retry_job(tenant_id=tenant.id, event_id=job.event_id, actor="ann")
    theirs.reset()
    assert run(job).status == JobStatus.COMPLETED


def test_a_provider_of_their_own_that_is_away_is_waited_for_and_touches_no_circuit(
    tenant, provider, theirs
):
    put(tenant)
    theirs.script([{"do": "status", "status": 503, "times": 99}])
    waiting = Job.objects.across_tenants().filter(status=JobStatus.PENDING)

    job = submitted(tenant)
    for _ in range(retries.MAX_FAILURES + 1):
        waiting.update(ready=True)
        assert (run(job).status, job.failures) == (JobStatus.PENDING, 0)

    assert Circuit.objects.count() == 0
    assert run(submitted(TenantFactory())).status == JobStatus.COMPLETED
    theirs.reset()
    waiting.update(ready=True)
    assert run(job).status == JobStatus.COMPLETED


def test_whoever_does_not_answer_in_time_may_have_taken_money_and_is_asked_five_times_in_all():
    late, away = TimedOut(), Unavailable()
    late.asked = away.asked = Asked("m", own_key=True)

    def decided(error):
        return retries.decide(error, failures=4, attempt=5, seconds_left=9999).verdict

    assert decided(late) is Verdict.FAIL
    assert decided(away) is Verdict.AGAIN
    away.asked = Asked("m")
    assert decided(away) is Verdict.FAIL


def test_while_the_installations_models_are_away_tenants_with_own_keys_go_on(
    tenant, provider, theirs
):
    put(tenant)
    for name in breaker.all_circuits():
        breaker.hold_open("llm_quota", name)
    others = submitted(TenantFactory())
    own = submitted(tenant)
    assert queue.waiting(own).waiting_on == "worker"
    assert queue.waiting(others).waiting_on == "provider"

    assert runner.run_next_job("w") == str(own.event_id)
    assert runner.run_next_job("w") is None

    own.refresh_from_db()
    assert own.status == JobStatus.COMPLETED
    assert set(Circuit.objects.values_list("state", flat=True)) == {"open"}


def test_a_trial_won_by_a_job_with_an_own_key_is_left_to_another(tenant, provider, theirs):
    put(tenant)
    name = breaker.circuit_name(FIRST)
    Circuit.objects.create(name=name, state="open", open_until=timezone.now())
    calls = runner.ModelCalls(services.start_next_job("w") or _claimed(tenant))
    calls.circuits._may_try(name)

    calls.circuits.leave_trials()

    assert breaker.may_probe(name)


def _claimed(tenant):
    submitted(tenant)
    return services.start_next_job("w")


# --- Who pays ---------------------------------------------------------------------------------


def usage(tenant, kind):
    """(spent, reserved); nothing is written where nothing was."""
    rows = Usage.objects.for_tenant(tenant.id).filter(kind=kind)
    return rows.values_list("spent", "reserved").first() or (0, 0)


def test_the_budget_of_money_is_not_charged_and_the_one_of_tokens_is(provider, theirs):
    tenant = TenantFactory(plan={"money_per_month": 0})
    put(tenant)

    job = run(submitted(tenant))

    calls = LLMCall.objects.across_tenants()
    assert job.status == JobStatus.COMPLETED
    assert {(call.bound_micros, call.cost_micros) for call in calls} == {(0, 0)}
    used = sum(call.prompt_tokens + call.completion_tokens for call in calls)
    assert usage(tenant, "tokens") == (used, 0)
    assert usage(tenant, "money") == (0, 0)


def test_a_job_whose_key_is_removed_meanwhile_is_paid_for_by_the_budget_or_not_run(
    provider, theirs
):
    tenant = TenantFactory(plan={"money_per_month": 0})
    put(tenant)
    job = submitted(tenant)
    remove(tenant)

    run(job)

    assert (job.status, job.error_code) == (JobStatus.FAILED, "budget_exhausted")
    assert asked(provider) == asked(theirs) == []


def test_a_retry_reserves_no_money_for_an_own_key(provider, theirs):
    tenant = TenantFactory(plan={"money_per_month": 0})
    put(tenant)
    theirs.script([{"do": "status", "status": 401}])
    job = run(submitted(tenant))

    with acting_as(DatabaseRole.API, tenant.id):
        services.retry_job(tenant_id=tenant.id, event_id=job.event_id, actor="ann")

    assert usage(tenant, "money") == (0, 0)
    assert run(job).status == JobStatus.COMPLETED


# --- Nobody sees it ---------------------------------------------------------------------------


def test_the_role_of_requests_writes_the_sealed_key_and_cannot_read_it(tenant, theirs):
    put(tenant)

    for role in (DatabaseRole.API, DatabaseRole.DOOR, DatabaseRole.STAFF):
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            acting_as(role, tenant.id),
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT sealed_key FROM tenants_providerkey")
    with acting_as(DatabaseRole.WORKER):
        assert providers.standing(tenant.id, []).provider.api_key == KEY


def test_another_tenants_row_cannot_be_opened_or_reached(tenant, theirs):
    put(tenant)
    other = TenantFactory()
    sealed = ProviderKey.objects.for_tenant(tenant.id).get().sealed_key

    with pytest.raises(Exception, match="not"):
        provider_keys.opened(other.id, "theirs", sealed)
    with acting_as(DatabaseRole.API, other.id):
        assert ProviderKey.objects.across_tenants().count() == 0


def everything_written():
    """Every row of every table, as text."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT string_agg(each::text, '|') FROM {table} AS each")
            yield table, cursor.fetchone()[0] or ""


@pytest.mark.parametrize("status", [401, 503, 400])
def test_a_key_that_the_provider_repeats_is_found_nowhere(
    tenant, provider, theirs, status, person_client_for, caplog, capfd
):
    owner = person_client_for(tenant)
    body = {"provider": "theirs", "api_key": KEY}
    said = [owner.put("/settings/provider", body, format="json")]
    theirs.script([{"do": "status", "status": status, "gossip": True, "times": 9}])
    job = run(submitted(tenant))
    said += [
        owner.get("/settings/provider"),
        owner.get(f"/jobs/{job.event_id}"),
        owner.get("/audit"),
        owner.put("/settings/provider", {**body, "colour": 1}, format="json"),
        owner.put("/settings/provider", {"provider": KEY, "api_key": f"{KEY} "}, format="json"),
    ]

    attempt = JobAttempt.objects.across_tenants().get()

    assert [answer.status_code for answer in said] == [200, 200, 200, 200, 422, 422]
    assert "[the key]" in attempt.error
    places = {
        "answers": " ".join(answer.content.decode() for answer in said),
        "error": attempt.error,
        "log": " ".join(json.dumps(record.__dict__, default=str) for record in caplog.records),
        "output": "".join(capfd.readouterr()),
        **dict(everything_written()),
    }
    secret = KEY.removeprefix("sk-canary-")
    assert [place for place, text in places.items() if secret in text] == []
    assert [place for place, text in places.items() if KEY.encode().hex() in text] == []
    assert len(places["tenants_providerkey"]) > 50
    assert AuditEntry.objects.for_tenant(tenant.id).filter(action="provider_key.set").count() == 1


def test_what_holds_a_key_does_not_show_it():
    held = (Provider("https://x", KEY), provider_keys.OwnKey("theirs", KEY))

    assert KEY not in repr(held)


# --- Clients ----------------------------------------------------------------------------------


def test_clients_are_shared_by_key_and_model_and_closed_when_pushed_out_and_unused():
    async def act():
        clients = Clients(size=2)
        a, b, c = (Provider("http://127.0.0.1:1/v1", f"key-{n}") for n in "abc")
        async with clients.of(a, "m") as first:
            async with clients.of(a, "m") as again, clients.of(a, "n") as other:
                assert again is first
                assert other is not first
            async with clients.of(b, "m"), clients.of(c, "m"):
                assert not first._http.is_closed  # in use, although it is pushed out
                assert other._http.is_closed
        assert first._http.is_closed
        async with clients.of(a, "m") as anew:
            assert anew is not first
        assert len(clients._kept) == 2

    asyncio.run(act())


def test_the_worker_keeps_no_more_clients_than_it_should():
    assert model_loop.ModelLoop().clients._size == model_loop.MAX_CLIENTS
