"""What applies and what is left, in the console."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tenants import throttling
from tenants.models import ApiKey, Plan, Role, Usage
from tests.factories import ApiKeyFactory, JobFactory, TenantFactory
from tests.jobs.acts import claimed
from tests.jobs.test_budget import ESTIMATE, TEXT

pytestmark = pytest.mark.django_db
MILLION = 10**6


@pytest.fixture
def tenant(db):
    return TenantFactory(plan={"name": "Ward <b>", "tokens_per_day": MILLION, "max_waiting": 5})


def shown(console):
    return console.get("limits").context


def limited(made, allowed=3, **more):
    ApiKey.objects.across_tenants().filter(pk=made.key.pk).update(
        requests_per_minute=allowed, **more
    )
    return made.key


def test_the_plan_its_budgets_and_when_they_begin_anew(console, tenant):
    JobFactory(tenant=tenant, guideline_text=TEXT)

    answer = console.get("limits")

    assert "Your plan is <strong>Ward &lt;b&gt;</strong>" in answer.text
    assert "another plan" in answer.text
    tokens, money = answer.context["budgets"]
    assert (tokens["reserved"], tokens["left"]) == (ESTIMATE, MILLION - ESTIMATE)
    assert f"{MILLION - ESTIMATE:,} tokens" in answer.text
    tomorrow = timezone.now().date() + timedelta(days=1)
    assert f'<time datetime="{tomorrow}T00:00:00.000+00:00"' in answer.text
    assert money["unit"] == "micro_usd" and "$1,000.00" in answer.text


@pytest.mark.parametrize(
    ("used", "reserved", "percent", "is_close"),
    [
        (0, 0, 0, False),
        (799_999, 0, 79, False),
        (700_000, 100_000, 80, True),
        (999_999, 0, 99, True),
        (MILLION, 0, 100, True),
    ],
)
def test_from_four_fifths_a_budget_warns(console, tenant, used, reserved, percent, is_close):
    Usage.objects.create(
        tenant=tenant,
        kind=Usage.Kind.TOKENS,
        starts_on=timezone.now().date(),
        spent=used,
        reserved=reserved,
    )

    answer = console.get("limits")

    tokens = answer.context["budgets"][0]
    assert (tokens["percent"], tokens["is_close"]) == (percent, is_close)
    assert f'value="{percent}" aria-label="Taken of tokens_per_day"' in answer.text
    assert ('class="is-close"' in answer.text) is is_close


def test_a_budget_of_nothing_is_used_up(console, tenant):
    Plan.objects.filter(pk=tenant.plan_id).update(money_per_month=0)

    assert shown(console)["budgets"][1]["percent"] == 100


def test_jobs_that_run_and_wait_are_counted_against_their_caps(console, tenant):
    for _ in range(5):
        job = JobFactory(tenant=tenant)
    claimed(job.__class__.objects.for_tenant(tenant.id).order_by("pk").first())

    said = shown(console)

    assert (said["running"]["used"], said["running"]["limit"]) == (1, 16)
    assert (said["waiting"]["used"], said["waiting"]["percent"]) == (4, 80)
    assert said["waiting"]["is_close"] and not said["running"]["is_close"]


def test_rates_say_what_counts_and_what_is_left(console, tenant):
    console.get("limits")
    answer = console.get("limits")

    rates = {rate["name"]: rate for rate in answer.context["rates"]}
    assert [(rate["counts"], rate["limit"]) for rate in rates.values()] == [
        ("Submit jobs", 600),
        ("Read", 6000),
        ("Change anything else", 600),
    ]
    assert (rates["read"]["left"], rates["submit"]["left"]) == (5998, 600)
    for code in ("rate_limited", "quota_exceeded", "too_many_waiting"):
        assert f'href="/docs/errors#{code}"' in answer.text


def test_without_redis_nobody_knows_what_is_left(console, monkeypatch):
    monkeypatch.setattr(throttling, "_redis_away_until", float("inf"))

    answer = console.get("limits")

    assert answer.status_code == 200
    assert answer.text.count("not known just now") == 3


def test_keys_with_a_limit_of_their_own_are_named_to_whoever_may_list_keys(
    console, console_for, tenant
):
    limited(ApiKeyFactory(tenant=tenant, name="Slow <b>"))
    ApiKeyFactory(tenant=tenant, name="Free")
    limited(ApiKeyFactory(tenant=tenant, name="Revoked"), revoked_at=timezone.now())
    limited(ApiKeyFactory(tenant=tenant, name="Expired"), expires_at=timezone.now())
    limited(ApiKeyFactory(tenant=TenantFactory(), name="Elsewhere"))

    answer = console.get("limits")

    assert [key.name for key in answer.context["keys"]] == ["Slow <b>"]
    assert "Slow &lt;b&gt;" in answer.text
    assert "Slow" not in console_for(tenant, Role.MEMBER).get("limits").text


def test_models_are_those_of_the_plan_in_the_order_of_the_tenant(console, tenant, settings):
    settings.OPENAI_MODEL, settings.MODELS = "a", ["b", "c"]
    type(tenant).objects.filter(pk=tenant.pk).update(preferred_models=["b", "a"])

    said = shown(console)

    assert (said["models"], said["allowed"]) == (["b", "a"], ["b", "a"])


def test_however_many_keys_it_costs_the_same_queries(console, tenant):
    JobFactory(tenant=tenant)
    limited(ApiKeyFactory(tenant=tenant))
    console.get("limits")
    with CaptureQueriesContext(connection) as one:
        console.get("limits")
    for _ in range(4):
        limited(ApiKeyFactory(tenant=tenant))
    with CaptureQueriesContext(connection) as five:
        console.get("limits")

    assert len(five) == len(one)
