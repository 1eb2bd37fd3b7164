"""docs/permissions.md is what the code says, and what the API does."""

from pathlib import Path

import pytest

from jobs.isolation_proof import routes
from jobs.isolation_proof.callers import Kind, everybody, everybody_with_a_browser
from jobs.isolation_proof.doors import InProcess, Request, quiet
from jobs.isolation_proof.routes import endpoints, row
from jobs.isolation_proof.world import world_for_a_while
from jobs.permission_matrix import matrix, readable
from tenants.permissions import GRANTS

COMMITTED = Path(__file__).parent.parent.parent / "docs" / "permissions.md"
BEHIND_SCOPES = [each for each in endpoints() if each.required_scopes]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def test_the_committed_table_is_the_generated_one():
    assert COMMITTED.read_text() == matrix(), "run: make permissions"


def test_every_route_stands_in_it():
    text = COMMITTED.read_text()

    missing = [each.pattern for each in endpoints() if f"`{readable(each.pattern)}`" not in text]

    assert [pattern for pattern in missing if not pattern.startswith(("admin/", "accounts/"))] == []


def test_a_route_without_a_row_has_no_table(monkeypatch):
    monkeypatch.delitem(routes.ROUTES, "healthz")

    with pytest.raises(KeyError, match="healthz"):
        matrix()


def test_every_handler_behind_a_token_names_its_scope():
    for endpoint in BEHIND_SCOPES:
        handled = set(endpoint.allowed) - {"HEAD", "OPTIONS"}
        assert handled == endpoint.required_scopes.keys(), endpoint.pattern


def expected(endpoint, method, caller):
    """What the table says: refused without a token that stands, without the scope, or let in."""
    if caller.kind is not Kind.TENANT:
        return "no token"
    if endpoint.for_people and caller.name.startswith("key "):
        return "not a person"
    if method not in endpoint.required_scopes:
        return "no such method"
    scope = endpoint.required_scopes[method]
    return "in" if scope is None or scope in caller.scopes else "no scope"


def outcome(answer):
    if answer.status == 403 and '"insufficient_scope"' in answer.text:
        return "no scope"
    if answer.status == 403 and "are of people" in answer.text:
        return "not a person"
    return {401: "no token", 405: "no such method"}.get(answer.status, "in")


@pytest.mark.django_db
def test_the_api_does_exactly_what_the_table_says():
    door, wrong, asked = InProcess(), [], 0

    with world_for_a_while() as world, everybody(world) as callers, quiet():
        for endpoint in BEHIND_SCOPES:
            path = endpoint.url({k: world.unknown(v) for k, v in row(endpoint).path.items()})
            for method in METHODS:
                for caller in callers:
                    answer = door.send(Request(method, path, caller.headers, {}, {}))
                    asked += 1
                    if outcome(answer) != expected(endpoint, method, caller):
                        wrong.append((method, path, caller.name, answer.status, answer.text))

    assert wrong == []
    assert asked > 4 * 5 * 10


@pytest.mark.django_db
def test_the_console_opens_exactly_what_the_table_says():
    """Of a page about something that is not there, whoever may open it reads just that."""
    door, wrong, asked = InProcess(), [], 0
    pages = [each for each in endpoints() if each.for_console]

    with world_for_a_while() as world, everybody_with_a_browser(world) as callers, quiet():
        for endpoint in pages:
            ids = {k: world.unknown(v) for k, v in row(endpoint).path.items()}
            path = endpoint.url(ids | {"slug": world.a.tenant.slug})
            for caller in callers:
                answer = door.send(Request("GET", path, caller.headers, {}, {}))
                asked += 1
                if answer.status not in opened(endpoint, caller):
                    wrong.append((path, caller.name, answer.status))

    assert wrong == []
    assert asked >= 6 * 9


def opened(endpoint, caller):
    if caller.kind is Kind.ANONYMOUS:
        return {302}
    if caller.kind is not Kind.TENANT:
        return {404}
    role = caller.name.removesuffix("'s browser")
    held = endpoint.scope is None or endpoint.scope in GRANTS[role]
    about_something = "<" in endpoint.pattern.replace("<slug:slug>", "")
    return {404} if held and about_something else {200} if held else {403}
