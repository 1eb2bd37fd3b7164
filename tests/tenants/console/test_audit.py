"""The audit log in the console: the entries that the API shows, looked for by the same words."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from config.database import TooSlow
from tenants import entries
from tenants.audit import Actor, Outcome, acts_of, record
from tenants.models import ActorKind, Role
from tests.factories import TenantFactory

pytestmark = pytest.mark.django_db
HOSTILE = "<img src=x onerror=alert(1)>"


def write(tenant, action="key.revoked", actor="gpc_x", **what):
    with acts_of(Actor(ActorKind.KEY, actor, "ann@example.com", "192.0.2.7")):
        record(action, tenant_id=tenant.id, **what)


def found(console, **asked):
    answer = console.get("audit", **asked)
    assert answer.status_code == 200
    return [entry.object_id for entry in answer.context["rows"]]


def test_an_entry_says_who_did_what_to_what_and_what_was_refused(console, tenant):
    changed = {"before": {"role": "member"}, "after": {"role": "viewer"}}
    write(tenant, "member.changed", of=("member", "m-1"), **changed)
    write(tenant, "access.refused", of=("route", "GET /audit"), outcome=Outcome.REFUSED)

    shown = console.get("audit").text

    for said in ("gpc_x", "for ann@example.com", "192.0.2.7", "m-1", "role: member", "is-refused"):
        assert said in shown
    assert "<mark>viewer</mark>" in shown


def test_hostile_text_is_text(console, tenant):
    write(tenant, actor=HOSTILE, of=("job", HOSTILE), after={HOSTILE: HOSTILE})

    shown = console.get("audit", actor=HOSTILE).text

    assert HOSTILE not in shown and shown.count("&lt;img") >= 5


def test_entries_are_found_by_whole_values_and_time(console, tenant):
    write(tenant, of=("key", "gpc_1"))
    write(tenant, "member.changed", actor="ben@example.com", of=("member", "m-1"))
    now = timezone.now()

    assert found(console, action="member.changed") == ["m-1"]
    assert found(console, actor="gpc_x") == ["gpc_1"]
    assert found(console, object_id="m-1", action="", actor="") == ["m-1"]
    assert found(console, outcome="refused") == []
    assert found(console, before="2000-01-01T00:00") == []
    later = (now + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    assert found(console, after=later) == []
    assert found(console, after="2000-01-01T00:00", before=later)[0] == "m-1"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"after": "yesterday"}, "Datetime has wrong format"),
        ({"outcome": "maybe"}, "Select a valid choice"),
        ({"acton": "key.revoked"}, "acton: Not known. Known are: action, actor"),
        ({"action": ["a", "b"]}, "Stands more than once"),
        ({"action": "a" * 5}, None),
    ],
)
def test_a_filter_that_is_misspelt_says_so_and_shows_nothing(console, tenant, asked, said):
    write(tenant, of=("key", "gpc_1"))

    answer = console.get("audit", **asked)

    assert answer.status_code == (422 if said else 200)
    assert "gpc_1" not in answer.text
    assert said is None or said in answer.text


def test_pages_follow_each_other_and_keep_the_filter(console, tenant):
    for number in range(5):
        write(tenant, "x.done", of=("x", f"n{number}"))
    write(tenant, of=("key", "gpc_1"))

    seen, url = [], f"{console.url('audit')}?action=x.done&limit=2"
    while url:
        answer = console.browser.get(url)
        seen += [entry.object_id for entry in answer.context["rows"]]
        following = re.search(r'href="(\?[^"]*cursor=[^"]+)"', answer.text)
        url = following and console.url("audit") + following[1].replace("&amp;", "&")

    assert seen == ["n4", "n3", "n2", "n1", "n0"]
    for cursor in ("gpc_of_nobody", "f" * 30 + "-1", "1-ffffff"):
        assert console.get("audit", cursor=cursor).status_code == 404
    assert console.get("audit", actor="a\0").status_code == 400


def test_the_list_asks_as_often_for_many_as_for_one(console, tenant, django_assert_num_queries):
    with CaptureQueriesContext(connection) as asked:
        console.get("audit")
    for number in range(5):
        write(tenant, of=("key", f"gpc_{number}"))

    with django_assert_num_queries(len(asked)):
        console.get("audit")


def test_a_search_that_takes_too_long_is_ended_and_says_so(console, monkeypatch):
    def long(*_):
        raise TooSlow

    monkeypatch.setattr(entries, "page", long)

    assert "That takes too long" in console.get("audit", actor="nobody").text


def test_what_others_did_is_not_seen(console):
    write(TenantFactory(), of=("key", "gpc_elsewhere"))

    assert "gpc_elsewhere" not in console.get("audit").text
    assert found(console, object_id="gpc_elsewhere") == []


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
def test_who_does_not_read_the_log_is_refused(tenant, console_for, role):
    assert console_for(tenant, role).get("audit").status_code == 403
    assert console_for(tenant, Role.ADMIN).get("audit").status_code == 200
