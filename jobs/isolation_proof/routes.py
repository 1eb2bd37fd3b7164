"""Every route there is, and what the proof has to know of it.

The routes come from the URLconf. What cannot be read from it stands in ROUTES: which ids a route
takes, and why it is public. A route without a row fails the proof, and so does a row without a
route: nobody adds a route without saying whose rows it touches.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern

from jobs.exports import FORMATS
from tenants.models import Scope
from tenants.views.sessions import IsPerson

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@dataclass(frozen=True)
class Id:
    """Stands in a body for an id of this kind (see world.Side.show)."""

    kind: str


@dataclass(frozen=True)
class Route:
    """Where ids go, and what comes back.

    path    parameter of the URL -> kind of id: another tenant's is answered like an unknown one
    body    sent with POST, PUT and PATCH; an Id in it is treated like one in the path
    query   parameter -> kind of id that places a page, such as a cursor: whoever's it is, the
            answer has only the caller's own rows
    names   parameter of the query -> kind of id: of a row, as in the path
    lists   kind of id of which GET shows the caller's own and nobody else's
    whole   query with which GET lists as much as it can
    public  why anybody may call
    guarded  it answers only so many tries at a credential: a refusal for that is an answer too
    echoes  it shows what its callers have said before, such as another tenant's ids: whose a row
            is shows in the canary alone
    is_page  of a tenant's console: people with a session of the pages open it, and send its form
    noted   whoever owns an id in the body learns from its audit log that somebody tried it
    """

    path: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    lists: str = ""
    whole: dict[str, str] = field(default_factory=dict)
    public: str = ""
    guarded: bool = False
    echoes: bool = False
    noted: bool = False
    is_page: bool = False


def page(*, path: dict[str, str] | None = None, **more: Any) -> Route:
    """A page of a tenant's console: its address names the tenant, by its slug."""
    return Route(path={"slug": "slug", **(path or {})}, is_page=True, **more)


KEY_FORM = {"name": "Of the proof", "scopes": ["jobs:read"], "lasts": "30"}
JOB_FORM = {
    "guideline_text": "Staff MUST wash their hands.",
    "title": "Of the proof",
    "priority": "normal",
    "supersedes": Id("completed job"),
}
JOB = {"event_id": "job"}
KEY = {"client_id": "key"}
MEMBER = {"member_id": "member"}

ROUTES: dict[str, Route] = {
    "": Route(public="Leads to the documentation."),
    "docs": Route(public="The documentation of the API."),
    "docs/errors": Route(public="The list of error codes, for people who read one."),
    "openapi.json": Route(public="The description of the API, for programs."),
    "favicon.ico": Route(public="The icon of the pages."),
    "healthz": Route(public="Probes have no credentials; it says only that the process runs."),
    "readyz": Route(public="Probes have no credentials; it says only which server is away."),
    ".well-known/jwks.json": Route(public="Whoever checks our tokens needs the public keys."),
    "oauth/token": Route(
        public="Credentials are shown here first.",
        body={
            "grant_type": "client_credentials",
            "client_id": Id("key"),
            "client_secret": "gps_wrong",
        },
        noted=True,
    ),
    "oauth/revoke": Route(
        public="Whoever gives a token back shows its client's credentials here.",
        body={"client_id": Id("key"), "client_secret": "gps_wrong", "token": "nobodys"},
        noted=True,
    ),
    "oauth/authorize": Route(
        public="People consent here, with a session of the pages; others are sent to the login."
    ),
    ".well-known/oauth-authorization-server": Route(public="Programs look up how to get a token."),
    "me": Route(lists="tenant"),
    "sessions": Route(lists="session"),
    "sessions/<uuid:session_id>": Route(path={"session_id": "session"}),
    "keys": Route(
        lists="key",
        whole={"limit": "100"},
        query={"cursor": "key"},
        body={"name": "Of the proof", "scopes": ["jobs:read"]},
    ),
    "keys/<slug:client_id>": Route(path=KEY, body={"name": "Changed by the proof"}),
    "keys/<slug:client_id>/rotate": Route(path=KEY),
    "keys/<slug:client_id>/revoke": Route(path=KEY),
    "members": Route(lists="member", whole={"limit": "100"}, query={"cursor": "member"}),
    "members/<uuid:member_id>": Route(path=MEMBER, body={"role": "viewer"}),
    "invitations": Route(
        lists="invitation",
        whole={"limit": "100"},
        query={"cursor": "invitation"},
        body={"email": Id("email"), "role": "viewer"},
        echoes=True,
    ),
    "invitations/<uuid:invitation_id>": Route(path={"invitation_id": "invitation"}),
    "settings": Route(body={"language": "de"}),
    "settings/provider": Route(body={"provider": "openai", "api_key": "sk-of-the-isolation-proof"}),
    "audit": Route(lists="canary", whole={"action": "proof.made"}, echoes=True),
    "limits": Route(),
    "usage": Route(lists="canary", whole={"by": "model"}),
    "usage.csv": Route(lists="canary", whole={"by": "model"}),
    "jobs": Route(
        lists="job",
        whole={"limit": "100"},
        query={"cursor": "job"},
        body={
            "guideline_text": "Staff MUST wash their hands.",
            "title": "Of the proof",
            "supersedes": Id("completed job"),
        },
    ),
    "jobs/<uuid:event_id>": Route(path=JOB),
    "jobs/<uuid:event_id>/events": Route(path=JOB),
    "jobs/<uuid:event_id>/cancel": Route(path=JOB),
    "jobs/<uuid:event_id>/retry": Route(path=JOB),
    "jobs/<uuid:event_id>/replay": Route(path={"event_id": "completed job"}),
    "jobs/<uuid:event_id>/diff": Route(
        path={"event_id": "completed job"}, names={"with": "completed job"}
    ),
    **{f"jobs/<uuid:event_id>/checklist.{ending}": Route(path=JOB) for ending in FORMATS},
    "schemas/checklist.v1.json": Route(public="What an exported checklist holds, for programs."),
    "jobs/<uuid:event_id>/shares": Route(path=JOB, body={"member": Id("member")}),
    "jobs/<uuid:event_id>/shares/<uuid:share_id>": Route(path={**JOB, "share_id": "share"}),
    "console/": Route(public="Leads people to their tenant's console; others go to the login."),
    "console/<slug:slug>/": page(),
    # A page holds fifty jobs, and the proof itself makes more, none of which completes.
    "console/<slug:slug>/jobs/": page(
        lists="completed job", whole={"status": "COMPLETED"}, query={"before": "job"}
    ),
    "console/<slug:slug>/jobs/new/": page(body=JOB_FORM, names={"supersedes": "completed job"}),
    "console/<slug:slug>/jobs/<uuid:event_id>/": page(path=JOB),
    **{
        f"console/<slug:slug>/jobs/<uuid:event_id>/checklist.{ending}": page(path=JOB)
        for ending in FORMATS
    },
    "console/<slug:slug>/jobs/<uuid:event_id>/diff/": page(
        path={"event_id": "completed job"}, names={"with": "completed job"}
    ),
    "console/<slug:slug>/jobs/<uuid:event_id>/cancel/": page(path=JOB),
    "console/<slug:slug>/jobs/<uuid:event_id>/retry/": page(path=JOB),
    "console/<slug:slug>/jobs/<uuid:event_id>/replay/": page(path={"event_id": "completed job"}),
    "console/<slug:slug>/jobs/<uuid:event_id>/delete/": page(path=JOB),
    "console/<slug:slug>/keys/": page(lists="key", query={"before": "key"}),
    "console/<slug:slug>/keys/new/": page(body=KEY_FORM),
    "console/<slug:slug>/keys/<slug:client_id>/change/": page(path=KEY, body=KEY_FORM),
    "console/<slug:slug>/keys/<slug:client_id>/rotate/": page(
        path=KEY, body={"overlap_minutes": 0}
    ),
    "console/<slug:slug>/keys/<slug:client_id>/revoke/": page(path=KEY),
    "console/<slug:slug>/members/": page(
        lists="member", query={"before": "member", "invited_before": "invitation"}, echoes=True
    ),
    "console/<slug:slug>/members/invite/": page(body={"email": Id("email"), "role": "viewer"}),
    "console/<slug:slug>/members/<uuid:member_id>/change/": page(
        path=MEMBER, body={"role": "viewer"}
    ),
    "console/<slug:slug>/members/<uuid:member_id>/remove/": page(path=MEMBER),
    "console/<slug:slug>/members/invitations/<uuid:invitation_id>/revoke/": page(
        path={"invitation_id": "invitation"}
    ),
    "console/<slug:slug>/settings/": page(),
    "console/<slug:slug>/settings/change/": page(body={"on_doubt": "flag", "language": "de"}),
    "console/<slug:slug>/settings/provider/": page(
        body={"provider": "openai", "api_key": "sk-of-the-isolation-proof"}
    ),
    "console/<slug:slug>/settings/provider/remove/": page(),
    "console/<slug:slug>/audit/": page(lists="canary", whole={"action": "proof.made"}, echoes=True),
    "console/<slug:slug>/usage/": page(lists="canary", whole={"by": "model"}),
    "console/<slug:slug>/usage.csv": page(lists="canary", whole={"by": "model"}),
    "console/<slug:slug>/limits/": page(),
}

# Whole parts of the site whose pages are for one kind of person, whatever pages there are.
STAFF_PAGES = "admin/"
PEOPLES_PAGES = "accounts/"
OWN_PAGE = Route(
    public="A page of people's own account: whose it is says the session.", guarded=True
)


@dataclass(frozen=True)
class Endpoint:
    """A route of the URLconf, with its view."""

    pattern: str
    view: Any

    @property
    def for_staff(self) -> bool:
        return self.pattern.startswith(STAFF_PAGES)

    @property
    def for_console(self) -> bool:
        """A page of a tenant's own, whose address names the tenant."""
        return self.pattern.startswith("console/<")

    @property
    def scope(self) -> Scope | None:
        """Of a page of the console: None is every member's."""
        return self._class.scope

    @property
    def has_row(self) -> bool:
        """Whether it is none of the pages that a whole part of the site has alike."""
        return not self.pattern.startswith((STAFF_PAGES, PEOPLES_PAGES))

    @property
    def allowed(self) -> list[str]:
        """The methods that the view has a handler for; of a plain function all."""
        view = self._class
        if view is None:
            return METHODS
        return [
            method
            for method in METHODS
            if method.lower() in view.http_method_names and hasattr(view, method.lower())
        ]

    @property
    def required_scopes(self) -> dict[str, Scope | None]:
        """By method; None is any token."""
        return dict(getattr(self._class, "required_scopes", {}))

    @property
    def for_people(self) -> bool:
        return IsPerson in getattr(self._class, "permission_classes", [])

    @property
    def _class(self) -> Any:
        return getattr(self.view, "cls", None) or getattr(self.view, "view_class", None)

    def url(self, values: dict[str, str]) -> str:
        """The path with the values in its parameters' places, and 1 in all others."""

        def value(match: re.Match[str]) -> str:
            return values.get(match["name"], "1")

        path = re.sub(r"<(?:\w+:)?(?P<name>\w+)>", value, _plain(self.pattern))
        return "/" + path


def _plain(pattern: str) -> str:
    """A pattern of re_path as one of path: the admin has a few. `(?P<x>a|b)` becomes its first."""
    pattern = re.sub(r"\(\?P<\w+>(\w+)(?:\|[^)]*)?\)", r"\1", pattern)
    pattern = re.sub(r"\(\?P<\w+>[^)]*\)", "nothing", pattern)
    return pattern.replace("^", "").replace("$", "")


def endpoints() -> list[Endpoint]:
    return list(_walk(get_resolver().url_patterns, ""))


def _walk(patterns: list[Any], prefix: str) -> Iterator[Endpoint]:
    for each in patterns:
        path = prefix + _text(each.pattern)
        if isinstance(each, URLResolver):
            yield from _walk(each.url_patterns, path)
        elif isinstance(each, URLPattern):
            yield Endpoint(path, each.callback)


def _text(pattern: Any) -> str:
    return str(pattern.regex.pattern) if isinstance(pattern, RegexPattern) else str(pattern)


def row(endpoint: Endpoint) -> Route:
    """Raises KeyError for a route without one: see `problems`."""
    if endpoint.has_row:
        return ROUTES[endpoint.pattern]
    return Route() if endpoint.for_staff else OWN_PAGE


def problems() -> list[tuple[str, str]]:
    """Routes without a row, rows without a route, and rows that do not fit: (where, what)."""
    known = {endpoint.pattern: endpoint for endpoint in endpoints() if endpoint.has_row}
    found = [(f"/{each}", "a route without a row in ROUTES") for each in known.keys() - ROUTES]
    found += [(f"/{each}", "a row of ROUTES without a route") for each in ROUTES.keys() - known]
    for pattern in known.keys() & ROUTES.keys():
        named = set(re.findall(r"<(?:\w+:)?(\w+)>", pattern))
        if named != ROUTES[pattern].path.keys():
            found.append((f"/{pattern}", f"its ids are {sorted(named)}, the row says otherwise"))
        if ROUTES[pattern].is_page != known[pattern].for_console:
            found.append((f"/{pattern}", "is a page of the console, and the row says it is none"))
        if known[pattern].for_console:
            continue
        if not known[pattern].required_scopes and not ROUTES[pattern].public:
            found.append((f"/{pattern}", "asks for no scope, and the row does not say why"))
        if known[pattern].required_scopes and ROUTES[pattern].public:
            found.append((f"/{pattern}", "is said to be public, but asks for a scope"))
    return sorted(found)
