"""Which model is asked: the tenant's choice, the job's, and the next one where one is away."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from jobs import breaker, claims, model_choice, queue, runner, services
from jobs.budget import Asked, price
from jobs.ledger import intend_with_ours
from jobs.models import Circuit, Job, JobAttempt, JobStatus, LLMCall, Reservation
from llm.estimate import estimate
from llm.limits import Tokens
from tenants.models import Tenant, Usage
from tenants.preferences import Preferences
from tests.config.test_problems import check_problem
from tests.factories import JobFactory, TenantFactory
from tests.jobs.provider import asked
from tests.jobs.test_breaker import let_the_wait_pass
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

FIRST, SECOND, THIRD = "first-1", "second-1", "third-1"
TEXT = "Staff MUST wash their hands."
LONG = "\n\n".join(f"# Part {n}\n\nStaff MUST wash hand {n}. {'Soap. ' * 1500}" for n in range(3))
PRICES = {
    FIRST: {"prompt": 1, "completion": 2},
    SECOND: {"prompt": 3, "completion": 5},
    THIRD: {"prompt": 0.1, "completion": 0.1},
}


@pytest.fixture(autouse=True)
def models(settings):
    settings.OPENAI_MODEL, settings.MODELS = FIRST, [SECOND, THIRD]
    settings.MODEL_PRICES = PRICES


def tenant_with(*preferred, **plan):
    tenant = TenantFactory(plan=plan)
    Tenant.objects.filter(pk=tenant.pk).update(preferred_models=list(preferred))
    return tenant


@pytest.fixture
def tenant():
    return tenant_with(FIRST, SECOND)


def run(job):
    runner.run_next_job("w")
    job.refresh_from_db()
    return job


def circuits():
    return dict(Circuit.objects.values_list("name", "state"))


def state(model):
    return circuits().get(breaker.circuit_name(model), "closed")


def calls():
    rows = LLMCall.objects.across_tenants().order_by("id")
    return list(rows.values_list("requested_model", "outcome", "error_code"))


def steps(job):
    return job.result["provenance"]["steps"]


# --- Falling back -----------------------------------------------------------------------------


FAULTS = {
    "llm_unavailable": {"do": "status", "status": 503},
    "llm_auth": {"do": "status", "status": 404, "code": "model_not_found"},
    "llm_quota": {"do": "status", "status": 429, "code": "insufficient_quota"},
    "llm_timeout": {"do": "status", "status": 408},
}


@pytest.mark.parametrize("code", FAULTS)
def test_the_next_model_answers_in_the_same_attempt_and_the_result_says_so(tenant, provider, code):
    provider.script([{**FAULTS[code], "model": FIRST, "times": 9}])
    job = run(JobFactory(tenant=tenant, guideline_text=TEXT))

    assert (job.status, job.attempt, job.failures) == (JobStatus.COMPLETED, 1, 0)
    assert asked(provider)[:2] == [("summary", FIRST), ("summary", SECOND)]
    assert calls()[:2] == [(FIRST, "error", code), (SECOND, "ok", "")]
    summarize = steps(job)["summarize"]
    assert (summarize["fallback_from"], summarize["reason"]) == ([FIRST], code)
    assert job.llm_calls == 2


def test_a_forbidden_model_is_passed_over_and_held_for_staff(tenant, provider):
    provider.script([{"do": "status", "status": 403, "model": FIRST, "times": 9}])
    job = run(JobFactory(tenant=tenant, guideline_text=TEXT))

    assert asked(provider) == [("summary", FIRST), ("summary", SECOND), ("checklist", SECOND)]
    assert steps(job)["checklist"]["reason"] == "circuit_open"
    assert (state(FIRST), state(SECOND)) == ("open", "closed")
    assert Circuit.objects.get(name=breaker.circuit_name(FIRST)).open_until is None


def test_where_the_first_model_answers_nothing_is_said_of_others(tenant, provider):
    job = run(JobFactory(tenant=tenant, guideline_text=TEXT))

    assert asked(provider) == [("summary", FIRST), ("checklist", FIRST)]
    assert not steps(job)["summarize"].keys() & {"fallback_from", "reason", "own_key"}


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"do": "status", "status": 401}, "PENDING"),
        ({"do": "status", "status": 429}, "PENDING"),
        ({"do": "refuse"}, "FAILED"),
        ({"do": "bad_json"}, "PENDING"),
    ],
)
def test_what_another_model_would_not_mend_asks_no_other(tenant, provider, fault, status):
    provider.script([{**fault, "times": 9}])

    job = run(JobFactory(tenant=tenant, guideline_text=TEXT))

    assert asked(provider) == [("summary", FIRST)]
    assert job.status == status


def test_where_all_fail_the_attempt_does_and_each_model_is_told_once(tenant, provider):
    provider.script([{"do": "status", "status": 503, "times": 9}])

    job = run(JobFactory(tenant=tenant, guideline_text=TEXT))

    assert (job.status, job.failures) == (JobStatus.PENDING, 1)
    told = dict(Circuit.objects.values_list("name", "failures"))
    assert told == {breaker.circuit_name(FIRST): 1, breaker.circuit_name(SECOND): 1}


def test_a_failure_that_may_pass_counts_before_one_that_staff_must_mend(tenant, provider):
    provider.script(
        [
            {"do": "status", "status": 503, "model": FIRST, "times": 9},
            {"do": "status", "status": 404, "model": SECOND, "times": 9},
        ]
    )

    job = run(JobFactory(tenant=tenant, guideline_text=TEXT))

    assert (job.status, job.failures, job.ready) == (JobStatus.PENDING, 1, False)
    assert JobAttempt.objects.across_tenants().get().error_code == "llm_unavailable"
    assert (state(FIRST), state(SECOND)) == ("closed", "open")


def test_a_long_guideline_may_be_read_by_two_models_and_counts_one_failure(tenant, provider):
    provider.script([{"do": "status", "status": 503, "model": FIRST, "step": "summary"}])

    job = run(JobFactory(tenant=tenant, guideline_text=LONG))

    assert job.status == JobStatus.COMPLETED
    assert {model for step, model in asked(provider) if step == "summary"} == {FIRST, SECOND}
    assert steps(job)["summarize"]["fallback_from"] == [FIRST]
    assert {model for step, model in asked(provider) if step == "checklist"} == {FIRST}


def test_what_is_in_the_ledger_is_asked_whatever_another_call_has_met(
    tenant, provider, monkeypatch
):
    intended = []

    def slow_but_the_first(*args, **kwargs):
        standing = intend_with_ours(*args, **kwargs)
        intended.append(standing)
        if len(intended) in (2, 3):
            until(Circuit.objects.filter(failures=1).exists)  # the first has left its model
        return standing

    monkeypatch.setattr(model_choice, "intend_with_ours", slow_but_the_first)
    provider.script([{"do": "status", "status": 503, "model": FIRST, "step": "summary"}])

    job = run(JobFactory(tenant=tenant, guideline_text=LONG))

    assert job.status == JobStatus.COMPLETED
    summaries = [model for step, model in asked(provider) if step == "summary"]
    assert sorted(summaries) == [FIRST, FIRST, FIRST, SECOND]
    assert sorted(outcome for _, outcome, _ in calls()) == ["error", *["ok"] * (len(calls()) - 1)]


def test_a_tenant_that_has_not_chosen_has_no_fallback(provider):
    provider.script([{"do": "status", "status": 503, "times": 1}])

    job = run(JobFactory(tenant=TenantFactory(), guideline_text=TEXT))

    assert (asked(provider), job.status) == ([("summary", FIRST)], JobStatus.PENDING)


def test_a_job_that_names_its_model_gets_that_one_or_none(tenant, provider):
    provider.script([{"do": "status", "status": 503, "times": 1}])
    job = JobFactory(tenant=tenant, guideline_text=TEXT, options={"model": SECOND})

    run(job)

    assert (job.options["model"], job.options["fallback_models"]) == (SECOND, [])
    assert (asked(provider), job.status) == ([("summary", SECOND)], JobStatus.PENDING)


# --- Circuits of several models ---------------------------------------------------------------


def trip(model):
    for _ in range(breaker.FAILURES):
        breaker.failed("llm_unavailable", breaker.circuit_name(model))


def test_a_model_whose_circuit_is_open_is_not_asked(tenant, provider):
    trip(FIRST)

    job = run(JobFactory(tenant=tenant, guideline_text=TEXT))

    assert asked(provider) == [("summary", SECOND), ("checklist", SECOND)]
    assert (
        steps(job)["checklist"] | {"reason": "circuit_open", "fallback_from": [FIRST]}
        == (steps(job)["checklist"])
    )
    assert state(FIRST) == "open"


def test_after_the_wait_one_job_tries_the_model_and_its_answer_closes_the_circuit(tenant, provider):
    trip(FIRST)
    let_the_wait_pass()

    run(JobFactory(tenant=tenant, guideline_text=TEXT))

    assert asked(provider)[0] == ("summary", FIRST)
    assert state(FIRST) == "closed"


def test_a_trial_that_fails_opens_the_circuit_again_and_the_job_falls_back(tenant, provider):
    trip(FIRST)
    let_the_wait_pass()
    provider.script([{"do": "status", "status": 503, "model": FIRST, "times": 9}])

    job = run(JobFactory(tenant=tenant, guideline_text=TEXT))

    assert (job.status, state(FIRST)) == (JobStatus.COMPLETED, "open")
    assert asked(provider) == [("summary", FIRST), ("summary", SECOND), ("checklist", SECOND)]
    assert Circuit.objects.get(name=breaker.circuit_name(FIRST)).wait_seconds == 10


def test_a_job_all_of_whose_models_are_away_waits_and_others_go_on(tenant, provider):
    trip(THIRD)
    pinned = JobFactory(
        tenant=tenant_with(FIRST, THIRD), guideline_text=TEXT, options={"model": THIRD}
    )
    assert queue.waiting(pinned).waiting_on == "provider"
    other = JobFactory(tenant=tenant, guideline_text=TEXT)

    run(pinned)
    run(other)

    pinned.refresh_from_db()
    assert (pinned.status, pinned.ready, pinned.failures) == (JobStatus.PENDING, False, 0)
    assert timedelta(seconds=3) < pinned.due_at - timezone.now() < timedelta(seconds=6)
    assert {model for _, model in asked(provider)} == {FIRST}
    assert other.status == JobStatus.COMPLETED


def test_a_job_whose_model_staff_has_to_mend_looks_again_in_five_minutes(tenant, provider):
    breaker.hold_open("llm_quota", breaker.circuit_name(SECOND))
    job = JobFactory(tenant=tenant, guideline_text=TEXT, options={"model": SECOND})

    run(job)

    assert (job.status, job.failures) == (JobStatus.PENDING, 0)
    assert timedelta(seconds=290) < job.due_at - timezone.now() < timedelta(seconds=310)
    assert asked(provider) == []


def test_while_every_circuit_is_open_nothing_is_claimed(tenant):
    job = JobFactory(tenant=tenant)
    for model in (FIRST, SECOND, THIRD):
        trip(model)

    assert services.start_next_job("w") is None

    job.refresh_from_db()
    assert (job.status, job.attempt) == (JobStatus.PENDING, 0)
    breaker.close("mended", breaker.circuit_name(THIRD))
    assert services.start_next_job("w") is not None


def test_a_trial_that_a_job_cannot_make_is_left_to_the_next(tenant, provider):
    for model in (FIRST, SECOND, THIRD):
        trip(model)
    Circuit.objects.exclude(name=breaker.circuit_name(THIRD)).update(
        open_until=timezone.now() + timedelta(minutes=1)
    )
    Circuit.objects.filter(name=breaker.circuit_name(THIRD)).update(open_until=timezone.now())
    job = JobFactory(tenant=tenant, guideline_text=TEXT)

    run(job)

    assert (job.status, job.failures, asked(provider)) == (JobStatus.PENDING, 0, [])
    assert breaker.may_probe(breaker.circuit_name(THIRD))


def test_a_claim_is_one_statement_however_many_models_there_are(tenant, django_assert_num_queries):
    JobFactory(tenant=tenant)
    trip(SECOND)

    with django_assert_num_queries(1):
        assert claims.claim_next("w", circuits=breaker.all_circuits()) is not None


# --- What it costs ----------------------------------------------------------------------------


def money(tenant):
    rows = Usage.objects.for_tenant(tenant.id).filter(kind=Usage.Kind.MONEY)
    return rows.values_list("spent", "reserved").get()


def test_each_call_is_charged_at_the_price_of_the_model_that_was_asked(tenant, provider):
    provider.script([{"do": "status", "status": 503, "model": FIRST, "step": "summary"}])

    job = run(JobFactory(tenant=tenant, guideline_text=TEXT))

    _, summary, checklist = LLMCall.objects.across_tenants().order_by("id")
    assert (summary.requested_model, checklist.requested_model) == (SECOND, FIRST)
    for call, prices in ((summary, PRICES[SECOND]), (checklist, PRICES[FIRST])):
        exact = Decimal(call.prompt_tokens) * prices["prompt"]
        exact += Decimal(call.completion_tokens) * prices["completion"]
        assert call.cost_micros == exact
    assert job.cost_micros == summary.cost_micros + checklist.cost_micros
    assert money(tenant) == (job.cost_micros, 0)


def test_a_job_reserves_for_the_dearest_of_its_models(tenant):
    job = JobFactory(tenant=tenant, guideline_text=TEXT)

    assert Reservation.objects.for_tenant(tenant.id).get(job=job).micros == price(
        estimate(TEXT), Asked(SECOND)
    )
    assert price(Tokens(10, 10), Asked(FIRST)) == 30
    assert price(Tokens(10, 10), Asked(SECOND)) == 80
    assert price(Tokens(10, 10), Asked("unknown")) == 0


def test_a_fallback_that_cannot_be_paid_leaves_the_job_waiting_for_its_first_model(provider):
    tenant = tenant_with(THIRD, SECOND, money_per_month=price(estimate(TEXT), Asked(SECOND)))
    job = JobFactory(tenant=tenant, guideline_text=TEXT)
    Reservation.objects.for_tenant(tenant.id).update(micros=0)
    Usage.objects.for_tenant(tenant.id).filter(kind="money").update(
        reserved=0, spent=price(estimate(TEXT), Asked(SECOND)) - 5_000
    )
    provider.script([{"do": "status", "status": 503, "model": THIRD, "times": 9}])

    run(job)

    assert asked(provider) == [("summary", THIRD)]
    assert (job.status, job.error_code) == (JobStatus.PENDING, "")
    assert calls() == [(THIRD, "error", "llm_unavailable")]


# --- What may be chosen -----------------------------------------------------------------------


def submit(api, **options):
    return api.post("/jobs", {"guideline_text": TEXT, "options": options}, format="json")


def test_a_job_takes_the_tenants_settings_where_it_says_nothing(tenant, client_for):
    Tenant.objects.filter(pk=tenant.pk).update(on_doubt="drop", language="de")
    api = client_for(tenant)

    assert submit(api).json()["options"] == {
        "language": "de",
        "on_doubt": "drop",
        "report": False,
        "model": FIRST,
        "fallback_models": [SECOND],
        "cache": True,
    }
    said = submit(api, language="fr", on_doubt="flag").json()["options"]
    assert (said["language"], said["on_doubt"]) == ("fr", "flag")


@pytest.mark.parametrize("model", [THIRD, "gpt-99", ""])
def test_a_model_that_is_not_ones_own_is_refused_and_names_those_that_are(
    tenant, client_for, model
):
    response = submit(client_for(tenant), model=model)

    assert response.status_code == 422
    body = response.json()
    assert body["errors"][0]["pointer"] == "/options/model"
    if model:
        check_problem(response, 422, "model_not_allowed")
        assert body["allowed"] == [FIRST, SECOND]
        assert f"`{FIRST}`, `{SECOND}`" in body["detail"]
    assert Job.objects.across_tenants().count() == 0


def test_a_plan_allows_some_of_the_models_and_nothing_gets_round_it(client_for):
    tenant = tenant_with(FIRST, SECOND, allowed_models=[SECOND, THIRD])
    api = client_for(tenant)

    assert submit(api).json()["options"]["model"] == SECOND
    check_problem(submit(api, model=FIRST), 422, "model_not_allowed")


def test_a_plan_that_allows_nothing_that_is_there_refuses_and_says_so(client_for):
    api = client_for(tenant_with(allowed_models=["gone-1"]))

    body = check_problem(submit(api), 422, "model_not_allowed")

    assert "ask us" in body["detail"]


def test_the_installations_first_model_is_the_default_of_who_has_not_chosen(settings):
    nobodys = Preferences()

    assert (nobodys.models, nobodys.allowed) == ([FIRST], [FIRST, SECOND, THIRD])
    chosen = Preferences(preferred=(THIRD, "gone-1", FIRST))
    assert chosen.models == chosen.allowed == [THIRD, FIRST]
    assert Preferences(preferred=(FIRST,), of_plan=(SECOND,)).models == [SECOND]
