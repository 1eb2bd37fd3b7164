"""Budgets: promised before anything is paid for, never overshot, settled by what it did cost."""

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from config.isolation import DatabaseRole, acting_as
from jobs import budget, claims, ledger, runner, services, tasks
from jobs.errors import BudgetExhausted, QuotaExceeded
from jobs.models import Job, JobStatus, LLMCall, Reservation
from jobs.persistence import LeaseLost
from llm import bounds, limits, prompts
from llm.completer import Reply
from llm.estimate import estimate
from llm.limits import Tokens
from llm.schemas import Summary
from tenants.models import IdempotencyRecord, Usage
from tests.config.test_problems import check_problem
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import claimed, completed, fail, failed

pytestmark = pytest.mark.django_db(transaction=True)  # much of it happens at the commit

TEXT = "Staff MUST wash their hands."
ESTIMATE = estimate(TEXT).total
UNFINISHED = (JobStatus.PENDING, JobStatus.PROCESSING)
PRICES = {"guidepost-offline-1": {"prompt": 0.40, "completion": 1.60}}


def tenant_with(**plan):
    return TenantFactory(plan=plan)


def tokens(tenant):
    """(spent, reserved) today."""
    rows = Usage.objects.for_tenant(tenant.id).filter(kind=Usage.Kind.TOKENS)
    return rows.values_list("spent", "reserved").get()


def money(tenant):
    rows = Usage.objects.for_tenant(tenant.id).filter(kind=Usage.Kind.MONEY)
    return rows.values_list("spent", "reserved").get()


def submit(api, text=TEXT):
    return api.post("/jobs", {"guideline_text": text}, format="json")


def all_at_once(times, work):
    """What `work(number)` returns or raises, each in a thread and a connection of its own."""
    barrier = threading.Barrier(times)

    def run(number):
        barrier.wait()
        try:
            return work(number)
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(run, range(times)))


def run_until_none_is_left(worker):
    while Job.objects.across_tenants().filter(status__in=UNFINISHED).exists():
        if runner.run_next_job(worker) is None:
            services.stand_in_for_pump()  # on a busy machine an attempt may fail, and waits
            time.sleep(0.1)


def reply(prompt_tokens, completion_tokens):
    return Reply(
        value=None,
        model="m",
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        seconds=0.1,
        request_id="r",
    )


def calls():
    return LLMCall.objects.across_tenants().order_by("id")


# --- Never overshot -------------------------------------------------------------------------


@pytest.mark.parametrize("time", range(20))
def test_of_fifty_calls_at_once_a_budget_for_ten_lets_ten_start(time):
    bound = Tokens(700, 300)
    tenant = tenant_with(tokens_per_day=ESTIMATE + 9 * bound.total + bound.total - 1)
    claim = claimed(JobFactory(tenant=tenant, guideline_text=TEXT))
    Reservation.objects.across_tenants().update(tokens=0)  # what was promised up front is elsewhere

    outcomes = all_at_once(50, lambda n: ledger.intend(claim, f"call.{n}", bound))

    started = outcomes.count(None)
    assert started == 9  # with ESTIMATE in somebody else's hands
    assert sum(isinstance(outcome, BudgetExhausted) for outcome in outcomes) == 50 - started
    assert calls().count() == started
    assert tokens(tenant) == (0, ESTIMATE + started * bound.total)


@pytest.mark.parametrize("time", range(5))
def test_of_fifty_submissions_at_once_a_budget_for_ten_accepts_ten(client_for, time):
    tenant = tenant_with(tokens_per_day=10 * ESTIMATE + ESTIMATE - 1)

    answers = all_at_once(50, lambda n: submit(client_for(tenant)))

    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(202), statuses.count(429)) == (10, 40)
    assert tokens(tenant) == (0, 10 * ESTIMATE)
    assert Job.objects.for_tenant(tenant.id).count() == 10


def test_fifty_jobs_on_a_budget_for_a_few_stop_before_it_is_overshot(provider):
    """The plan was made smaller after they were accepted: their calls have to stop."""
    tenant = tenant_with(tokens_per_day=10**9, max_running=50)
    for _ in range(50):
        JobFactory(tenant=tenant, guideline_text=TEXT, options={"cache": False})
    Reservation.objects.across_tenants().delete()
    Usage.objects.across_tenants().update(reserved=0)
    tenant.plan.tokens_per_day = 2 * ESTIMATE
    tenant.plan.save()

    assert all_at_once(8, lambda n: run_until_none_is_left(f"w{n}")) == [None] * 8

    spent, reserved = tokens(tenant)
    asked = provider.ledger()
    paid = sum(call["prompt_tokens"] + call["completion_tokens"] for call in asked)
    assert len(asked) == calls().exclude(outcome="error").count() > 0
    assert paid == spent <= 2 * ESTIMATE
    assert reserved == 0
    ends = Job.objects.for_tenant(tenant.id).values_list("status", "error_code")
    assert set(ends) == {("COMPLETED", ""), ("FAILED", "budget_exhausted")}


@pytest.mark.parametrize("time", range(5))
def test_of_ten_submissions_at_once_a_queue_with_room_for_three_takes_three(client_for, time):
    tenant = tenant_with(max_waiting=3)

    answers = all_at_once(10, lambda n: submit(client_for(tenant)))

    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(202), statuses.count(429)) == (3, 7)
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert check_problem(refused, 429, "too_many_waiting")["allowed"] == 3
    assert tokens(tenant) == (0, 3 * ESTIMATE)


# --- Submitting -----------------------------------------------------------------------------


def test_a_refusal_names_the_quota_and_when_it_begins_anew(client_for):
    tenant = tenant_with(tokens_per_day=ESTIMATE + 1)
    api = client_for(tenant)
    assert submit(api).status_code == 202

    response = submit(api)

    body = check_problem(response, 429, "quota_exceeded")
    assert body["quota"] == "tokens_per_day"
    assert (body["limit"], body["used"], body["reserved"]) == (ESTIMATE + 1, 0, ESTIMATE)
    tomorrow = timezone.now().date() + timedelta(days=1)
    assert body["resets_at"] == f"{tomorrow}T00:00:00Z"
    assert 0 < int(response.headers["Retry-After"]) <= 86_400
    assert Job.objects.for_tenant(tenant.id).count() == 1


def test_money_is_a_budget_of_its_own(client_for, settings):
    settings.MODEL_PRICES = PRICES
    both = budget.price(estimate(TEXT))
    tenant = tenant_with(money_per_month=both)
    api = client_for(tenant)
    assert submit(api).status_code == 202

    body = check_problem(submit(api), 429, "quota_exceeded")

    assert body["quota"] == "money_per_month"
    assert body["resets_at"].endswith("-01T00:00:00Z")
    assert (money(tenant), tokens(tenant)) == ((0, both), (0, ESTIMATE))


def test_a_model_without_a_price_costs_no_money(client_for):
    tenant = tenant_with(money_per_month=0)

    assert submit(client_for(tenant)).status_code == 202
    assert not Usage.objects.for_tenant(tenant.id).filter(kind=Usage.Kind.MONEY).exists()


def test_a_price_is_dollars_per_million_tokens_rounded_up(settings):
    settings.MODEL_PRICES = PRICES

    assert budget.price(Tokens(1_000_000, 0)) == 400_000
    assert budget.price(Tokens(0, 1_000_000)) == 1_600_000
    assert budget.price(Tokens(1, 0)) == 1


# --- Calls ----------------------------------------------------------------------------------


@pytest.fixture
def claim():
    return claimed(JobFactory(tenant=TenantFactory(), guideline_text=TEXT))


def tenant_of(claim):
    return Job.objects.for_tenant(claim.tenant_id).get(pk=claim.id).tenant


def test_a_call_takes_its_bound_out_of_the_reservation_and_is_charged_what_it_used(claim, settings):
    settings.MODEL_PRICES = PRICES
    tenant = tenant_of(claim)

    ledger.intend(claim, "a.1", Tokens(1000, 500))
    assert tokens(tenant) == (0, ESTIMATE)
    ledger.close(claim, "a.1", reply=reply(70, 30))

    assert tokens(tenant) == (100, ESTIMATE - 1500)
    call = calls().get()
    cost = math.ceil(70 * 0.4 + 30 * 1.6)
    assert (call.bound_tokens, call.charged_tokens, call.cost_micros) == (1500, 100, cost)
    assert Job.objects.across_tenants().get().cost_micros == cost
    assert money(tenant)[0] == cost


def test_a_call_that_needs_more_than_is_left_of_the_reservation_takes_it_from_the_budget(claim):
    tenant = tenant_of(claim)

    ledger.intend(claim, "a.1", Tokens(ESTIMATE, 100))

    assert tokens(tenant) == (0, ESTIMATE + 100)
    assert Reservation.objects.across_tenants().get().tokens == 0


def allow(tenant, **caps):
    for name, cap in caps.items():
        setattr(tenant.plan, name, cap)
    tenant.plan.save()


def test_a_call_that_one_budget_cannot_pay_leaves_the_other_as_it_was(claim, settings):
    settings.MODEL_PRICES = PRICES
    tenant = tenant_of(claim)
    allow(tenant, tokens_per_day=ESTIMATE, money_per_month=10**9)

    with pytest.raises(BudgetExhausted, match="tokens_per_day"):
        ledger.intend(claim, "a.1", Tokens(ESTIMATE, 1), progress=(1, 2))

    assert tokens(tenant) == (0, ESTIMATE)
    assert money(tenant) == (0, 0)
    held, job = Reservation.objects.across_tenants().get(), Job.objects.across_tenants().get()
    assert (held.tokens, held.micros, job.passages, calls().count()) == (ESTIMATE, 0, 0, 0)
    ledger.intend(claim, "a.1", Tokens(ESTIMATE - 1, 1))  # a smaller one may start


def test_a_call_that_cannot_be_paid_today_gives_back_what_was_reserved_yesterday(claim):
    tenant, yesterday = tenant_of(claim), timezone.now().date() - timedelta(days=1)
    Usage.objects.across_tenants().update(starts_on=yesterday)
    Reservation.objects.across_tenants().update(day=yesterday)
    allow(tenant, tokens_per_day=1)

    with pytest.raises(BudgetExhausted):
        ledger.intend(claim, "a.1", Tokens(1, 1))

    assert tokens(tenant) == (0, 0)
    held = Reservation.objects.across_tenants().get()
    assert (held.day, held.tokens) == (timezone.now().date(), 0)


def test_an_intent_whose_answer_was_lost_sets_nothing_aside_twice(claim):
    ledger.intend(claim, "a.1", Tokens(ESTIMATE, 100))
    ledger.intend(claim, "a.1", Tokens(ESTIMATE, 100))

    assert tokens(tenant_of(claim)) == (0, ESTIMATE + 100)


@pytest.mark.parametrize(
    ("used", "charged"),
    [(Tokens(0, 0), 0), (Tokens(70, 30), 100), (None, 1500)],
)
def test_a_call_that_failed_is_charged_what_it_used_or_all_that_it_may_have(claim, used, charged):
    ledger.intend(claim, "a.1", Tokens(1000, 500))
    ledger.close(claim, "a.1", error_code="llm_timeout", used=used)

    budget.charge_unanswered()
    budget.charge_unanswered()

    assert tokens(tenant_of(claim)) == (charged, ESTIMATE - 1500)
    assert calls().get().charged_tokens == charged


def test_a_reply_that_names_no_tokens_is_charged_at_its_bound(claim):
    ledger.intend(claim, "a.1", Tokens(1000, 500))
    ledger.close(claim, "a.1", reply=reply(0, 0))

    budget.charge_unanswered()

    assert calls().get().charged_tokens == 1500


def test_a_call_of_a_worker_that_died_is_charged_at_its_bound(claim):
    ledger.intend(claim, "a.1", Tokens(1000, 500))
    Job.objects.across_tenants().update(lease_expires_at=timezone.now() - timedelta(seconds=1))

    claims.reap("lost")
    claims.sweep()
    with acting_as(DatabaseRole.WORKER):
        budget.charge_unanswered()

    assert calls().get().outcome == "unknown"
    assert tokens(tenant_of(claim)) == (1500, ESTIMATE - 1500)
    ledger.close(claim, "a.1", reply=reply(1, 1))  # the lost worker comes back
    assert tokens(tenant_of(claim)) == (1500, ESTIMATE - 1500)


def test_a_call_belongs_to_the_day_on_which_it_starts(claim):
    tenant, yesterday = tenant_of(claim), timezone.now().date() - timedelta(days=1)
    Usage.objects.across_tenants().update(starts_on=yesterday)
    Reservation.objects.across_tenants().update(day=yesterday)

    ledger.intend(claim, "a.1", Tokens(1000, 500))
    ledger.close(claim, "a.1", reply=reply(70, 30))

    days = Usage.objects.for_tenant(tenant.id).order_by("starts_on")
    assert list(days.values_list("spent", "reserved")) == [(0, 0), (100, 0)]


def test_a_job_whose_budget_is_used_up_fails_before_it_asks_the_model(provider):
    tenant = tenant_with(tokens_per_day=10**9)
    job = JobFactory(tenant=tenant, guideline_text=TEXT)
    Reservation.objects.across_tenants().update(tokens=0)
    plan = tenant.plan
    plan.tokens_per_day = 0
    plan.save()

    runner.run_next_job("w")

    job.refresh_from_db()
    assert (job.status, job.error_code) == (JobStatus.FAILED, "budget_exhausted")
    assert "GET /limits" in job.error_detail
    assert (provider.ledger(), calls().count()) == ([], 0)


def test_a_whole_job_costs_less_than_was_promised_and_gives_the_rest_back(provider, settings):
    settings.MODEL_PRICES = PRICES
    job = JobFactory(tenant=TenantFactory(), guideline_text=TEXT * 40)
    promised = tokens(job.tenant)[1]

    runner.run_next_job("w")

    job.refresh_from_db()
    assert job.status == JobStatus.COMPLETED
    used = job.prompt_tokens + job.completion_tokens
    assert tokens(job.tenant) == (used, 0)
    assert money(job.tenant) == (job.cost_micros, 0)
    assert job.cost_micros > 0
    assert all(call.charged_tokens <= call.bound_tokens for call in calls())
    assert sum(call.bound_tokens for call in calls()) <= promised
    assert not Reservation.objects.across_tenants().exists()


# --- However a job ends ---------------------------------------------------------------------


def cancel(job):
    with acting_as(DatabaseRole.API, job.tenant_id):
        services.cancel_job(tenant_id=job.tenant_id, event_id=job.event_id, actor="ann")


def expire(job):
    Job.objects.across_tenants().update(deadline_at=timezone.now() - timedelta(seconds=1))
    with acting_as(DatabaseRole.WORKER):
        claims.sweep()


def reap(job):
    for _ in range(claims.MAX_CRASHES):
        claimed(job)
        past = timezone.now() - timedelta(seconds=1)
        Job.objects.across_tenants().update(lease_expires_at=past)
        with acting_as(DatabaseRole.WORKER):
            claims.reap("poison")


@pytest.mark.parametrize("end", [completed, failed, cancel, expire, reap])
def test_what_is_left_of_a_reservation_is_free_when_the_job_is_over(end):
    job = JobFactory(tenant=TenantFactory(), guideline_text=TEXT)
    assert tokens(job.tenant) == (0, ESTIMATE)

    end(job)

    job.refresh_from_db()
    assert job.is_over
    assert tokens(job.tenant) == (0, 0)
    assert not Reservation.objects.across_tenants().exists()


def test_a_call_that_was_under_way_when_its_job_was_cancelled_is_charged(claim):
    ledger.intend(claim, "a.1", Tokens(1000, 500))

    cancel(Job.objects.across_tenants().get())

    assert tokens(tenant_of(claim)) == (0, 1500)
    budget.charge_unanswered()
    assert tokens(tenant_of(claim)) == (1500, 0)


def test_a_job_that_will_be_tried_again_keeps_its_reservation():
    job = JobFactory(tenant=TenantFactory(), guideline_text=TEXT)
    fail(claimed(job), ConnectionError())

    assert Job.objects.across_tenants().get().status == JobStatus.PENDING
    assert tokens(job.tenant) == (0, ESTIMATE)


def test_a_new_run_reserves_anew_or_is_refused(client_for):
    tenant = tenant_with(tokens_per_day=2 * ESTIMATE - 1)
    job = failed(JobFactory(tenant=tenant, guideline_text=TEXT))
    api = client_for(tenant)

    assert api.post(f"/jobs/{job.event_id}/retry").status_code == 202
    assert tokens(tenant) == (0, ESTIMATE)
    cancel(job)
    JobFactory(tenant=tenant, guideline_text=TEXT)
    check_problem(api.post(f"/jobs/{job.event_id}/retry"), 429, "quota_exceeded")

    job.refresh_from_db()
    assert (job.status, job.run) == (JobStatus.CANCELLED, 2)


def test_a_recount_puts_right_what_should_never_be_wrong(claim):
    tenant = tenant_of(claim)
    ledger.intend(claim, "a.1", Tokens(1000, 500))
    right = tokens(tenant)
    with acting_as(DatabaseRole.WORKER):
        assert budget.recount() == 0

    Usage.objects.across_tenants().update(reserved=5)
    with acting_as(DatabaseRole.WORKER):
        assert budget.recount() == 1

    assert tokens(tenant) == right == (0, ESTIMATE)


def test_a_reservation_of_a_job_that_is_over_is_found_by_the_recount():
    job = JobFactory(tenant=TenantFactory(), guideline_text=TEXT)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE jobs_job DISABLE TRIGGER reservation_ends")
        failed(job)
        cursor.execute("ALTER TABLE jobs_job ENABLE TRIGGER reservation_ends")
    assert tokens(job.tenant) == (0, ESTIMATE)

    with acting_as(DatabaseRole.WORKER):
        budget.recount()

    assert tokens(job.tenant) == (0, 0)


def test_the_minutes_sweep_forgets_old_keys_and_says_when_sums_were_wrong(client_for, caplog):
    tenant = TenantFactory()
    api = client_for(tenant)
    body = {"guideline_text": TEXT}
    api.post("/jobs", body, format="json", headers={"Idempotency-Key": "k"})
    past = timezone.now() - timedelta(seconds=1)
    IdempotencyRecord.objects.across_tenants().update(expires_at=past)
    Usage.objects.across_tenants().update(reserved=5)

    with acting_as(DatabaseRole.WORKER):
        tasks.tidy()

    assert not IdempotencyRecord.objects.across_tenants().exists()
    assert tokens(tenant) == (0, ESTIMATE)
    assert "reservations_corrected" in [record.message for record in caplog.records]


@pytest.mark.parametrize("round_", range(3))
def test_whatever_happens_at_once_the_sums_come_out(round_):
    tenant = tenant_with(tokens_per_day=10**9)
    jobs = [JobFactory(tenant=tenant, guideline_text=TEXT) for _ in range(8)]
    services.set_queue(tenant.id, max_running=8)
    held = [claims.claim_next("w") for _ in jobs]

    def live(number):
        job, claim = jobs[number // 2], held[number // 2]
        if number % 2:
            with acting_as(DatabaseRole.API, tenant.id):
                services.cancel_job(tenant_id=tenant.id, event_id=claim.event_id, actor="ann")
            return
        for call in range(3):
            ledger.intend(claim, f"{job.pk}.{call}", Tokens(10_000, 5_000))
            ledger.close(claim, f"{job.pk}.{call}", reply=reply(10, 5))
        return

    outcomes = all_at_once(16, live)
    claims.sweep()
    budget.charge_unanswered()

    assert {type(outcome) for outcome in outcomes} <= {type(None), LeaseLost}  # no deadlock
    charged = sum(call.charged_tokens for call in calls())
    assert tokens(tenant) == (charged, 0)
    assert budget.recount() == 0


# --- Bounds ---------------------------------------------------------------------------------


def test_the_bound_of_a_call_holds_for_any_text():
    prompt = prompts.load("summarize", 1)
    data = {"passages": ["漢字 👩‍⚕️ \x01" * 50]}

    bound = bounds.of_call(prompt, data, Summary)

    said = len(prompt.text.encode()) + len(bounds.user_message(data).encode())
    assert bound.prompt > said
    assert bound.completion == limits.max_output(len(bounds.user_message(data).encode()))
    assert limits.max_output(10**9) == limits.MAX_OUTPUT


def test_the_role_of_requests_cannot_write_what_was_spent(tenant):
    JobFactory(tenant=tenant)

    with (
        pytest.raises(Exception, match="permission denied"),
        acting_as(DatabaseRole.API, tenant.id),
    ):
        Usage.objects.for_tenant(tenant.id).update(spent=0)


def test_services_refuse_as_the_api_does():
    tenant = tenant_with(tokens_per_day=1)

    with pytest.raises(QuotaExceeded):
        JobFactory(tenant=tenant)

    assert Job.objects.across_tenants().count() == 0
