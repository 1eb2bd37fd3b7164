"""docs/permissions.md: who may call what, from the URLconf, the views' scopes and the grants.

Nothing in it is written by hand, except why a public route is public.
"""

from collections.abc import Iterator

from config.staff import StaffRole, acts
from jobs.isolation_proof.routes import PEOPLES_PAGES, STAFF_PAGES, Endpoint, endpoints, row
from tenants.models import Role, Scope
from tenants.permissions import GRANTS, INTEGRATION

HEAD = """# Who may call what

Written by `make permissions` from the code; a test compares it with the code, and another calls
every line as everybody.

A token may be used for what its scopes say. A person's scopes are those of the role in the tenant
that the token is for; an API key has those it was made with, of the ones marked here. Without the
scope the answer is 403 `insufficient_scope`, without a token 401. Where no scope is named any good
token will do. Another tenant's ids are answered like ids that never were: 404.
"""
COLUMNS = [*Role.values, INTEGRATION]
TITLES = [*(role.label for role in Role), "API key"]


def matrix() -> str:
    """The document. Raises KeyError for a route that has no row in isolation_proof/routes.py."""
    known = sorted(endpoints(), key=lambda each: each.pattern)
    return "\n".join(
        [
            HEAD,
            *_behind_scopes([each for each in known if each.required_scopes]),
            "",
            "## Without a token",
            "",
            "| route | methods | why |",
            "| --- | --- | --- |",
            *(_public(each) for each in known if row(each).public and each.has_row),
            "",
            "## In the console",
            "",
            "For members of the tenant that the address names, with a session of the pages; for"
            " everybody else there is no such page. Where a form changes something, it asks for a"
            " sign-in of the last five minutes, unless it is about jobs.",
            "",
            f"| page | scope | {' | '.join(Role.labels)} |",
            f"| --- | --- |{' --- |' * len(Role)}",
            *(_page(each) for each in known if each.for_console),
            "",
            "## People",
            "",
            f"Everything below `/{PEOPLES_PAGES}` is for people with a session, about their own"
            " account: signing in, second factors, sessions, an invitation. Tokens mean nothing"
            " there.",
            "",
            "## Staff",
            "",
            f"Everything below `/{STAFF_PAGES}` is for staff with a session that has shown a second"
            " factor. Tokens mean nothing there; everybody else is sent to the login. All staff"
            " read all pages; each act below asks for a reason and leaves an entry in the audit"
            " log.",
            "",
            *_acts_of_staff(),
            "",
        ]
    )


def _acts_of_staff() -> Iterator[str]:
    yield f"| act | in the audit log | {' | '.join(StaffRole.labels)} |"
    yield f"| --- | --- |{' --- |' * len(StaffRole)}"
    for act in acts():
        marks = ["yes" if role.includes(act.least) else "no" for role in StaffRole]
        yield f"| {act.label} | `{act.code}` | {' | '.join(marks)} |"


def _behind_scopes(known: list[Endpoint]) -> Iterator[str]:
    yield "## With a token"
    yield ""
    yield f"| route | method | scope | {' | '.join(TITLES)} |"
    yield f"| --- | --- | --- |{' --- |' * len(TITLES)}"
    for endpoint in known:
        for method, scope in sorted(endpoint.required_scopes.items()):
            marks = ["yes" if may(column, endpoint, scope) else "no" for column in COLUMNS]
            path, named = readable(endpoint.pattern), f"`{scope}`" if scope else "–"
            yield f"| `{path}` | {method} | {named} | {' | '.join(marks)} |"


def may(holder: str, endpoint: Endpoint, scope: Scope | None) -> bool:
    if scope is None:
        return holder != INTEGRATION or not endpoint.for_people
    return scope in GRANTS[holder]


def _page(endpoint: Endpoint) -> str:
    scope = endpoint.scope
    marks = ["yes" if scope is None or scope in GRANTS[role] else "no" for role in Role]
    named = f"`{scope}`" if scope else "–"
    return f"| `{readable(endpoint.pattern)}` | {named} | {' | '.join(marks)} |"


def _public(endpoint: Endpoint) -> str:
    methods = [each for each in endpoint.allowed if each not in ("HEAD", "OPTIONS")]
    return f"| `{readable(endpoint.pattern)}` | {', '.join(methods)} | {row(endpoint).public} |"


def readable(pattern: str) -> str:
    """jobs/<uuid:event_id> as /jobs/{event_id}."""
    parts = (part.rpartition(":")[2] for part in pattern.replace(">", "}").split("<"))
    return "/" + "{".join(parts)
