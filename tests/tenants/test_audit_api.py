"""GET /audit: a tenant's own entries, newest first."""

from datetime import timedelta

import pytest

from tenants.audit import Actor, Outcome, acts_of, record
from tenants.models import ActorKind, AuditEntry, Scope
from tests.config.test_problems import check_problem
from tests.factories import TenantFactory
from tests.tenants.sealing.conftest import seal_all, sql, walls  # noqa: F401
from tests.test_openapi import check, document  # noqa: F401

SCOPE = 3


@pytest.fixture
def entries(tenant):
    """Entries of the tenant, after its first: of making it."""
    for number in range(1, 6):
        record("job.submitted", tenant_id=tenant.id, of=("job", f"j{number}"))
    return ["j5", "j4", "j3", "j2", "j1"]


def objects(page):
    return [entry["object"]["id"] for entry in page["data"]]


def test_entries_come_newest_first_on_pages_that_follow_each_other(api, tenant, entries):
    seen, path = [], "/audit?limit=2"
    while path:
        page = api.get(path).json()
        assert len(page["data"]) <= 2
        seen += objects(page)
        path = page["next"]

    assert seen == [*entries, str(tenant.id)]


@pytest.mark.django_db(transaction=True)
def test_entries_of_one_instant_are_each_shown_once(api, tenant, walls):  # noqa: F811
    for number in range(7):
        record("x.done", tenant_id=tenant.id, of=("x", number))
    sql("ALTER TABLE tenants_auditentry DISABLE TRIGGER USER")
    sql("UPDATE tenants_auditentry SET at = '2026-11-24 10:00:00+00' WHERE action = 'x.done'")
    sql("ALTER TABLE tenants_auditentry ENABLE ALWAYS TRIGGER audit_entry_is_kept")

    seen, path = [], "/audit?limit=2&action=x.done"
    while path:
        page = api.get(path).json()
        seen += objects(page)
        path = page["next"]

    assert seen == [str(number) for number in reversed(range(7))]


@pytest.mark.django_db(transaction=True)
def test_a_page_costs_one_statement(api, tenant, entries, known, django_assert_num_queries):
    with django_assert_num_queries(SCOPE + 1):
        api.get("/audit?limit=2")


@pytest.mark.django_db(transaction=True)
def test_an_entry_has_its_place_in_the_chain_once_it_is_sealed(api, tenant, entries, walls):  # noqa: F811
    before = api.get("/audit").json()["data"]
    seal_all()
    after = api.get("/audit").json()["data"]

    assert {(e["seq"], e["hash"]) for e in before} == {(None, None)}
    assert [e["seq"] for e in after] == [6, 5, 4, 3, 2, 1]
    stored = sql("SELECT encode(hash, 'hex') FROM tenants_auditseal ORDER BY seq DESC")
    assert [e["hash"] for e in after] == [row[0] for row in stored]


def test_an_entry_says_who_did_what_to_which_object(api, tenant):
    ann = Actor(ActorKind.PERSON, "ann@example.com", on_behalf_of="bob", address="203.0.113.7")
    with acts_of(ann):
        record(
            "key.revoked",
            tenant_id=tenant.id,
            of=("key", "gpc_1"),
            before={"a": 1},
            after={"a": 2},
            outcome=Outcome.REFUSED,
        )

    entry = api.get("/audit?limit=1").json()["data"][0]

    assert entry.pop("at")
    assert entry == {
        "seq": None,
        "hash": None,
        "actor": {"kind": "person", "name": "ann@example.com"},
        "on_behalf_of": "bob",
        "address": "203.0.113.7",
        "request_id": "",
        "action": "key.revoked",
        "outcome": "refused",
        "object": {"type": "key", "id": "gpc_1"},
        "before": {"a": 1},
        "after": {"a": 2},
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"action": "x.done"}, ["x1", "x0"]),
        ({"actor": "gpc_a"}, ["x1"]),
        ({"object_type": "x", "object_id": "x0"}, ["x0"]),
        ({"object_type": "x"}, ["x1", "x0"]),
        ({"outcome": "refused"}, ["x1"]),
        ({"action": "x.done", "outcome": "done"}, ["x0"]),
        ({"action": "x.doneX"}, []),
    ],
)
def test_entries_may_be_narrowed(api, tenant, entries, query, found):
    record("x.done", tenant_id=tenant.id, of=("x", "x0"))
    with acts_of(Actor(ActorKind.KEY, "gpc_a")):
        record("x.done", tenant_id=tenant.id, of=("x", "x1"), outcome=Outcome.REFUSED)

    assert objects(api.get("/audit", query).json()) == found


def test_a_filter_holds_on_every_page(api, tenant, entries):
    record("x.done", tenant_id=tenant.id, of=("x", "x0"))

    first = api.get("/audit", {"action": "job.submitted", "limit": 3}).json()
    second = api.get(first["next"]).json()

    assert objects(first) + objects(second) == entries
    assert second["next"] is None


def test_entries_may_be_narrowed_to_a_time(api, tenant, entries):
    at = {e.object_id: e.at for e in AuditEntry.objects.for_tenant(tenant.id)}

    page = api.get("/audit", {"after": at["j2"].isoformat(), "before": at["j4"].isoformat()})

    assert objects(page.json()) == ["j3", "j2"]
    later = (at["j5"] + timedelta(microseconds=1)).isoformat()
    assert api.get("/audit", {"after": later}).json() == {"data": [], "next": None}


def test_a_tenant_sees_its_own_entries_alone(api, tenant, client_for, entries):
    other = TenantFactory()
    record("x.done", tenant_id=None, of=("x", "everybody's"))
    mine = api.get("/audit?limit=2").json()

    theirs = client_for(other).get(mine["next"]).json()

    assert objects(client_for(other).get("/audit").json()) == [str(other.id)]
    assert theirs == {"data": [], "next": None}
    assert "everybody's" not in objects(api.get("/audit").json())


def test_a_cursor_does_not_tell_how_many_entries_others_have(api, tenant, entries):
    cursor = api.get("/audit?limit=2").json()["next"].partition("cursor=")[2]

    _, skip = cursor.split("-")

    assert skip == "1"
    ids = AuditEntry.objects.for_tenant(tenant.id).values_list("id", flat=True)
    assert not {f"{pk:x}" for pk in ids} & set(cursor.split("-")) - {"1"}


@pytest.mark.parametrize("cursor", ["yesterday", "1", "1-2-3", "z-1", "1--1", "f" * 400 + "-1"])
def test_a_cursor_that_is_not_ours_is_refused(api, cursor):
    check_problem(api.get("/audit", {"cursor": cursor}), 400, "invalid_cursor")


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 201},
        {"outcome": "x"},
        {"after": "yesterday"},
        {"action": "a\x00b"},
    ],
)
def test_a_query_that_will_not_do_is_refused(api, query):
    check_problem(api.get("/audit", query), 422, "invalid_fields")


def test_the_scope_is_needed(tenant, client_for):
    others = [scope for scope in Scope if scope != Scope.AUDIT_READ]

    body = check_problem(client_for(tenant, others).get("/audit"), 403, "insufficient_scope")

    assert "`audit:read`" in body["detail"]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nobody_writes_the_log_by_http(api, method):
    check_problem(getattr(api, method)("/audit"), 405, "method_not_allowed")


def test_entries_look_as_the_document_says(api, tenant, entries, document):  # noqa: F811
    record("x.done", tenant_id=tenant.id, before={"a": {"b": [1]}})

    check(document, "AuditPage", api.get("/audit").json())
