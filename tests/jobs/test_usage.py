"""GET /limits and GET /usage."""

import csv
import io
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import ledger, usage_views
from jobs.models import LLMCall
from llm.limits import Tokens
from tenants import standing, throttling
from tenants.models import ApiKey, Scope
from tests.config.test_problems import check_problem
from tests.factories import ApiKeyFactory, JobFactory, TenantFactory
from tests.jobs.acts import claimed
from tests.jobs.test_budget import ESTIMATE, PRICES, TEXT, reply

pytestmark = pytest.mark.django_db


def call(job, label, used, claim=None):
    claim = claim or claimed(job)
    ledger.intend(claim, label, Tokens(1000, 500))
    ledger.close(claim, label, reply=used)
    return claim


# --- /limits --------------------------------------------------------------------------------


def test_limits_say_what_applies_and_what_is_left(client_for):
    tenant = TenantFactory(
        plan={"submits_per_minute": 5, "tokens_per_day": 10**6, "max_waiting": 9}
    )
    new = ApiKeyFactory(tenant=tenant)
    ApiKey.objects.for_tenant(tenant.id).update(requests_per_minute=3)
    api = client_for(tenant, subject=new.key.client_id)
    api.post("/jobs", {"guideline_text": TEXT}, format="json")

    body = api.get("/limits").json()

    assert body["plan"] == tenant.plan_id
    rates = {rate["name"]: rate for rate in body["rates"]}
    assert list(rates) == ["submit", "submit-key", "read", "read-key", "manage", "manage-key"]
    assert rates["submit"] == {
        "name": "submit",
        "scope": "tenant",
        "limit": 5,
        "window_seconds": 60,
        "left": 4,
        "resets_in_seconds": 60,
    }
    assert (rates["submit-key"]["left"], rates["read-key"]["left"]) == (2, 2)
    assert body["jobs"] == {
        "running": {"limit": 16, "used": 0, "left": 16},
        "waiting": {"limit": 9, "used": 1, "left": 8},
    }
    budgets = {each["name"]: each for each in body["budgets"]}
    tomorrow = timezone.now().date() + timedelta(days=1)
    assert budgets["tokens_per_day"] == {
        "name": "tokens_per_day",
        "unit": "tokens",
        "limit": 10**6,
        "used": 0,
        "reserved": ESTIMATE,
        "left": 10**6 - ESTIMATE,
        "resets_at": f"{tomorrow}T00:00:00Z",
    }
    assert budgets["money_per_month"]["left"] == budgets["money_per_month"]["limit"]


def test_looking_at_the_limits_costs_no_more_than_any_request(api):
    left = [api.get("/limits").json()["rates"][1]["left"] for _ in range(3)]

    assert left == [5999, 5998, 5997]


def test_without_redis_nobody_knows_what_is_left(api, monkeypatch):
    monkeypatch.setattr(throttling, "_redis_away_until", float("inf"))

    response = api.get("/limits")

    assert response.status_code == 200
    assert {rate["left"] for rate in response.json()["rates"]} == {None}


# --- /usage ---------------------------------------------------------------------------------


@pytest.fixture
def spent(tenant, settings):
    """Two jobs of two keys: three calls today, one of them yesterday's."""
    settings.MODEL_PRICES = PRICES
    first = JobFactory(tenant=tenant, submitted_by="gpc_a", guideline_text=TEXT)
    second = JobFactory(tenant=tenant, submitted_by="gpc_b", guideline_text=TEXT)
    claim = call(first, "a.1", reply(100, 50))
    call(first, "a.2", reply(10, 5), claim)
    call(second, "b.1", reply(1000, 500))
    other = JobFactory(tenant=TenantFactory(), guideline_text=TEXT)
    call(other, "c.1", reply(7, 7))
    yesterday = timezone.now().date() - timedelta(days=1)
    LLMCall.objects.across_tenants().filter(label="a.1").update(day=yesterday)
    return yesterday


def test_usage_adds_up_by_day(api, spent):
    body = api.get("/usage").json()

    today = spent + timedelta(days=1)
    assert (body["by"], body["to"]) == ("day", str(today))
    assert body["data"] == [
        {
            "day": str(spent),
            "jobs": 1,
            "calls": 1,
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "charged_tokens": 150,
            "cost_micro_usd": 120,
        },
        {
            "day": str(today),
            "jobs": 2,
            "calls": 2,
            "prompt_tokens": 1010,
            "completion_tokens": 505,
            "charged_tokens": 1515,
            "cost_micro_usd": 12 + 1200,
        },
    ]


def test_usage_adds_up_by_key_and_by_model_within_its_days(api, spent):
    by_key = api.get(f"/usage?by=key&from={spent}").json()["data"]
    by_model = api.get(f"/usage?by=model&to={spent}").json()["data"]

    assert [(row["key"], row["jobs"], row["calls"]) for row in by_key] == [
        ("gpc_a", 1, 2),
        ("gpc_b", 1, 1),
    ]
    assert [(row["model"], row["charged_tokens"]) for row in by_model] == [("m", 150)]


@pytest.mark.parametrize(
    ("path", "headers"), [("/usage.csv", {}), ("/usage", {"Accept": "text/csv"})]
)
def test_usage_comes_as_a_table_too(api, spent, path, headers):
    response = api.get(f"{path}?by=key", headers=headers)

    table = list(csv.reader(io.StringIO(response.text)))
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment; filename=" in response.headers["Content-Disposition"]
    assert table[0] == [
        "key",
        "jobs",
        "calls",
        "prompt_tokens",
        "completion_tokens",
        "charged_tokens",
        "cost_micro_usd",
    ]
    assert table[1] == ["gpc_a", "1", "2", "110", "55", "165", "132"]


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t=", "\r=", "\uff1d"])
def test_no_cell_of_the_table_is_a_formula(api, spent, first):
    LLMCall.objects.across_tenants().update(model=f'{first}HYPERLINK("http://evil","x")')

    response = api.get("/usage.csv?by=model")

    table = list(csv.reader(io.StringIO(response.text, newline="")))
    assert table[1][0] == f'\'{first.strip()}HYPERLINK("http://evil","x")'


@pytest.mark.parametrize(
    "query",
    [
        "by=tenant",
        "from=yesterday",
        "from=2026-02-01&to=2026-01-01",
        "from=2020-01-01&to=2026-01-01",
        "tenant=x",
        "by=day&by=key",
    ],
)
@pytest.mark.parametrize("path", ["/usage", "/usage.csv"])
def test_a_query_that_will_not_do_is_refused(api, path, query):
    check_problem(api.get(f"{path}?{query}"), 422, "invalid_fields")


def test_the_first_days_there_are_may_be_asked_for(api):
    assert api.get("/usage?to=0001-01-05").json()["from"] == "0001-01-01"
    assert api.get("/usage?from=9999-12-31").json()["to"] == "9999-12-31"


@pytest.mark.parametrize("path", ["/limits", "/usage", "/usage.csv"])
def test_both_need_their_scope(client_for, tenant, path):
    others = [scope for scope in Scope if scope != Scope.USAGE_READ]

    check_problem(client_for(tenant, others).get(path), 403, "insufficient_scope")


def test_what_a_plan_allows_is_read_again_after_a_second(api, tenant, monkeypatch):
    def policy():
        return api.get("/limits").headers["RateLimit-Policy"]

    clock = [1000.0]
    monkeypatch.setattr(standing.time, "monotonic", lambda: clock[0])
    first = policy()
    type(tenant.plan).objects.update(reads_per_minute=7)

    clock[0] += 0.9
    assert policy() == first
    clock[0] += 0.2
    assert policy() == '"read";q=7;w=60'


def test_the_days_of_a_report_are_those_of_utc():
    assert usage_views.today() == timezone.now().date()
