"""Everybody who may call, with the headers that say so."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from importlib import import_module

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

from accounts.models import User
from accounts.tokens import AccessToken, issue_access_token
from jobs.isolation_proof.world import Side, World
from tenants.models import Role
from tenants.permissions import INTEGRATION, granted_scopes
from tenants.services.tokens import issue_session_token


class Kind(Enum):
    ANONYMOUS = auto()
    TENANT = auto()  # a person, or a key
    ENDED = auto()  # was one: a revoked key, somebody who left, a suspended tenant
    STAFF = auto()


@dataclass(frozen=True)
class Caller:
    name: str
    kind: Kind
    headers: dict[str, str] = field(default_factory=dict)
    scopes: frozenset[str] = frozenset()


ANONYMOUS = Caller("anonymous", Kind.ANONYMOUS)


def person(side: Side, role: Role) -> Caller:
    return _bearer(role.value, Kind.TENANT, issue_session_token(side.sessions[role], role))


def former(side: Side, name: str) -> Caller:
    """Somebody whose session or membership has ended, with a token from before."""
    return _bearer(name, Kind.ENDED, issue_session_token(side.sessions[name], Role.ADMIN))


def key(side: Side, name: str = "key with every scope", *, kind: Kind = Kind.TENANT) -> Caller:
    found = side.keys[name]
    scopes = granted_scopes(side.tenant, INTEGRATION) & set(found.scopes)
    token = issue_access_token(
        subject=found.client_id, tenant=str(side.tenant.id), scopes=sorted(scopes)
    )
    return _bearer(name, kind, token)


def _bearer(name: str, kind: Kind, token: AccessToken) -> Caller:
    headers = {"Authorization": f"Bearer {token}"}
    return Caller(name, kind, headers, frozenset(token["scope"].split()))


@contextmanager
def everybody(world: World) -> Iterator[list[Caller]]:
    """Nobody, everybody of tenant A, those whose time is over, and staff with a session."""
    a = world.a
    suspended = key(world.suspended, kind=Kind.ENDED)
    live_keys = [name for name in a.keys if name != "revoked key"]
    with _browser(world.staff) as staff:
        yield [
            ANONYMOUS,
            *(person(a, role) for role in Role),
            *(key(a, name) for name in live_keys),
            key(a, "revoked key", kind=Kind.ENDED),
            former(a, "ended session"),
            former(a, "removed member"),
            Caller("suspended tenant", Kind.ENDED, suspended.headers, suspended.scopes),
            Caller("staff session", Kind.STAFF, staff),
        ]


@contextmanager
def everybody_with_a_browser(world: World) -> Iterator[list[Caller]]:
    """Whom pages of a tenant's console may let in, those whose time is over, and who has no session
    of the pages."""
    a = world.a
    with ExitStack() as stack:

        def of(name: str, kind: Kind, user: User) -> Caller:
            return Caller(f"{name}'s browser", kind, stack.enter_context(_browser(user)))

        yield [
            ANONYMOUS,
            *(of(role.value, Kind.TENANT, a.people[role].user) for role in Role),
            of("removed member", Kind.ENDED, a.sessions["removed member"].user),
            of("suspended owner", Kind.ENDED, world.suspended.people[Role.OWNER].user),
            of("staff", Kind.STAFF, world.staff),
            Caller("owner's token", Kind.ANONYMOUS, person(a, Role.OWNER).headers),
        ]


CSRF = "c" * 32  # any secret will do, where cookie and header have the same
A_DAY = 86_400  # seconds: forms ask for a sign-in of the last minutes, and a proof takes longer


@contextmanager
def _browser(user: User) -> Iterator[dict[str, str]]:
    """The headers of a browser in which somebody has signed in: cookies, and a form's token."""
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    # As allauth notes it: a password and a second factor, just now (see config.reauthentication).
    at = time.time() + A_DAY
    session["account_authentication_methods_user"] = str(user.pk)
    session["account_authentication_methods"] = [
        {"method": "password", "at": at, "email": user.email},
        {"method": "mfa", "at": at, "type": "totp", "id": 1},
    ]
    session.save()
    cookies = {settings.SESSION_COOKIE_NAME: session.session_key, settings.CSRF_COOKIE_NAME: CSRF}
    try:
        yield {
            "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
            "X-CSRFToken": CSRF,
            "Referer": settings.PUBLIC_URL,
        }
    finally:
        session.delete()
