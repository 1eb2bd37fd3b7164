"""What was used, in the console: the numbers of GET /usage, and whose names stand beside them."""

import re
from datetime import date, timedelta
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from config import replica
from config.isolation import DatabaseRole
from jobs import usage
from jobs.console import usage as usage_page
from jobs.models import LLMCall
from tenants.models import Membership, Role
from tests.factories import ApiKeyFactory, JobFactory, TenantFactory, UserFactory
from tests.jobs.acts import claimed
from tests.jobs.test_budget import PRICES, TEXT, reply
from tests.jobs.test_usage import call

pytestmark = pytest.mark.django_db


def calls_of(tenant, submitted_by, *used):
    """A job of theirs, with a call for each reply."""
    job = JobFactory(tenant=tenant, submitted_by=submitted_by, guideline_text=TEXT)
    claim = claimed(job)
    for number, each in enumerate(used):
        call(job, f"{job.pk}.{number}", each, claim)
    return job


def yesterdays(job):
    day = timezone.now().date() - timedelta(days=1)
    LLMCall.objects.for_tenant(job.tenant_id).filter(label=f"{job.pk}.0").update(day=day)
    return day


@pytest.fixture
def prices(settings):
    settings.MODEL_PRICES = PRICES


def rows_of(answer):
    return [(row["label"], row["name"], row["charged_tokens"]) for row in answer.context["rows"]]


def test_days_are_added_up_and_a_job_of_two_days_is_one_job(console, tenant, prices):
    before = yesterdays(calls_of(tenant, "gpc_a", reply(100, 50), reply(10, 5)))
    calls_of(tenant, "gpc_b", reply(1000, 500))
    calls_of(TenantFactory(), "gpc_c", reply(7, 7))

    answer = console.get("usage")

    today = before + timedelta(days=1)
    assert rows_of(answer) == [(str(today), "", 1515), (str(before), "", 150)]
    assert answer.context["total"] == {
        "jobs": 2,
        "calls": 3,
        "prompt_tokens": 1110,
        "completion_tokens": 555,
        "charged_tokens": 1665,
        "cost_micro_usd": 120 + 12 + 1200,
    }
    assert "$0.0013" in answer.text and "with 3 calls of a model" in answer.text


def test_the_plot_is_of_money_and_has_each_day(console, tenant, prices):
    before = yesterdays(calls_of(tenant, "gpc_a", reply(100, 50)))

    answer = console.get("usage", by="model", **{"from": before - timedelta(days=1), "to": before})

    columns = [(column.label, column.value) for column in answer.context["plot"].columns]
    assert columns == [(str(before - timedelta(days=1)), 0), (str(before), 120)]
    assert "Cost by day: $0.0001 in all" in answer.text
    assert rows_of(answer) == [("m", "", 150)]


def test_where_nothing_costs_money_the_plot_is_of_tokens(console, tenant, settings):
    settings.MODEL_PRICES = {}
    calls_of(tenant, "gpc_a", reply(1000, 500))

    answer = console.get("usage")

    assert "Charged tokens by day: 1,500 tokens in all" in answer.text


def test_keys_and_people_have_their_names_and_what_used_most_stands_first(console, tenant):
    key = ApiKeyFactory(tenant=tenant, name="Ward <b>7</b>").key
    left = UserFactory()
    calls_of(tenant, key.client_id, reply(1, 1))
    calls_of(tenant, str(console.user.public_id), reply(100, 50))
    calls_of(tenant, str(left.public_id), reply(10, 5))

    answer = console.get("usage", by="key")

    assert rows_of(answer) == [
        (str(console.user.public_id), console.user.email, 150),
        (str(left.public_id), "", 15),
        (key.client_id, "Ward <b>7</b>", 2),
    ]
    assert "Ward &lt;b&gt;7&lt;/b&gt;" in answer.text
    assert left.email not in answer.text


def test_who_may_list_neither_keys_nor_members_learns_no_names_here(console_for, tenant):
    """A member reads usage; whose keys and which people there are is told to admins and owners."""
    colleague = console_for(tenant)
    console = console_for(tenant, Role.MEMBER, sees_own_only=True)
    key = ApiKeyFactory(tenant=tenant, name="Ward 7").key
    for number, who in enumerate([key.client_id, colleague.user.public_id, console.user.public_id]):
        calls_of(tenant, str(who), reply(10 - number, 0))

    answer = console.get("usage", by="key")

    assert [name for _, name, _ in rows_of(answer)] == ["", "", console.user.email]
    assert "Ward 7" not in answer.text and colleague.user.email not in answer.text


def test_a_viewer_reads_neither_usage_nor_limits(console_for, tenant):
    console = console_for(tenant, Role.VIEWER)

    for name in ("usage", "usage-table", "limits"):
        assert console.get(name).status_code == 403


@pytest.mark.parametrize("by", ["day", "key", "model"])
def test_the_file_is_the_one_of_the_api(console, tenant, client_for, by):
    calls_of(tenant, "gpc_a", reply(100, 50))
    LLMCall.objects.for_tenant(tenant.id).update(model='=HYPERLINK("http://evil")')

    ours = console.get("usage-table", by=by)
    theirs = client_for(tenant).get(f"/usage.csv?by={by}")

    assert ours.content == theirs.content and ours.content.count(b"\r\n") == 2
    for header in ("Content-Type", "Content-Disposition"):
        assert ours[header] == theirs[header]
    link = unescape(re.search(r'href="([^"]+usage.csv[^"]+)"', console.get("usage", by=by).text)[1])
    assert console.browser.get(link).content == ours.content


def test_what_was_left_empty_is_what_the_api_takes_for_it(console, tenant):
    today = timezone.now().date()

    answer = console.get("usage", **{"from": "", "to": "", "by": ""})

    assert answer.status_code == 200
    assert f'name="from" value="{today - timedelta(days=29)}"' in answer.text
    assert f'name="to" value="{today}"' in answer.text
    assert "Nothing was used from" in answer.text and "CSV" not in answer.text


@pytest.mark.parametrize(
    ("typed", "beside", "said"),
    [
        ({"from": "2026-02-01", "to": "2026-01-01"}, "from", "It is later than `to`."),
        ({"from": "2020-01-01", "to": "2026-01-01"}, "from", "Ask for at most 366 days."),
        ({"from": "yesterday"}, "from", "Date has wrong format."),
        ({"to": ["2026-01-01", "2026-01-02"]}, "to", "Stands more than once."),
        ({"by": "<b>tenant"}, "by", "One of day, key, model."),
    ],
)
@pytest.mark.parametrize("name", ["usage", "usage-table"])
def test_what_is_wrong_is_said_beside_its_field(console, tenant, name, typed, beside, said):
    calls_of(tenant, "gpc_a", reply(1, 1))

    answer = console.get(name, **typed)

    assert answer.status_code == 422
    assert said in answer.context["form"].errors[beside][0]
    assert "rows" not in answer.context and "<b>tenant" not in answer.text


@pytest.mark.parametrize("query", [{"to": "0001-01-05"}, {"from": "9999-12-31"}])
def test_the_first_days_there_are_and_the_last_may_be_asked_for(console, tenant, query):
    assert console.get("usage", **query).status_code == 200


@pytest.mark.parametrize(
    ("now", "spans"),
    [
        (
            date(2026, 3, 31),
            [(25, 3, 31, 3), (2, 3, 31, 3), (1, 3, 31, 3), (1, 2, 28, 2)],
        ),
        (
            date(2026, 1, 1),
            [(26, 12, 1, 1), (3, 12, 1, 1), (1, 1, 1, 1), (1, 12, 31, 12)],
        ),
    ],
)
def test_spans_that_people_ask_for_most(now, spans):
    made = usage_page._spans(now)

    assert [(a.day, a.month, b.day, b.month) for _, a, b in made] == spans


def test_a_span_keeps_what_is_added_up_and_says_that_it_is_shown(console):
    text = console.get("usage", by="model").text

    assert text.count("&amp;by=model") == 4
    assert 'aria-current="true">Last 30 days' in text and '"true">Last 7 days' not in text


def test_many_keys_cost_no_more_queries_than_one_and_the_rest_is_in_the_file(
    console, tenant, monkeypatch
):
    def asked():
        with CaptureQueriesContext(connection) as queries:
            answer = console.get("usage", by="key")
        return answer, len(queries)

    calls_of(tenant, ApiKeyFactory(tenant=tenant).key.client_id, reply(1, 1))
    calls_of(tenant, str(console.user.public_id), reply(1, 1))
    console.get("usage", by="key")
    _, few = asked()
    for _ in range(3):
        calls_of(tenant, ApiKeyFactory(tenant=tenant).key.client_id, reply(1, 1))
        member = Membership.objects.create(tenant=tenant, user=UserFactory(), role=Role.VIEWER)
        calls_of(tenant, str(member.user.public_id), reply(1, 1))
    answer, many = asked()
    assert many == few

    monkeypatch.setattr(usage_page, "SHOWN", 3)
    answer, _ = asked()
    assert len(answer.context["rows"]) == 3 and "the other 5 are in the" in answer.text


def test_usage_is_read_from_the_replica_as_the_api_does(console, tenant, monkeypatch):
    read = []

    def note(ask, *whose):
        read.append(whose)
        return ask()

    monkeypatch.setattr(replica, "read", note)

    console.get("usage")
    console.get("usage-table")

    assert read == [(DatabaseRole.API, tenant.id)] * 2


def test_of_nothing_the_sum_is_nothing(tenant):
    day = timezone.now().date()

    assert set(usage.used_in_all(tenant.id, first=day, last=day).values()) == {0}
