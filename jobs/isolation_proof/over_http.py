"""Every route, every method, everybody: with ids of B, and with ids that never were.

Both have to be answered alike, word for word but for the request's id. B's rows stay as they are,
and nothing of B's stands in any answer.
"""

import json
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jobs.isolation_proof.callers import Caller, Kind
from jobs.isolation_proof.doors import UNSAFE, Answer, Door, Request
from jobs.isolation_proof.report import Report
from jobs.isolation_proof.routes import METHODS, Endpoint, Id, Route, row
from jobs.isolation_proof.world import MADE_AGAIN, Checksum, Side, World, owned_tables

# A tenant is what the token says: names under which somebody might hope to say another.
SAID_ELSEWHERE = ("tenant", "tenant_id")
# Public routes read no token, and pages for staff know sessions only: one caller of each kind
# stands for the others.
A_FEW = ("anonymous", "owner", "key with every scope", "owner's browser")
# Seals follow each entry of the audit log about a second later, whoever asks for what meanwhile.
FOLLOWS_BY_ITSELF = "tenants_auditseal"
WHERE_IT_IS_NOTED = "tenants_auditentry"
# The id and the times of what a request has made.
NEW_EACH_TIME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z")
# Of a form: the same secret looks otherwise on each page.
MASKED = re.compile(r'name="(csrfmiddlewaretoken|once)" value="[\w-]+"')
PATIENCE = 61.0  # seconds: a limit by the minute is waited for, once


class RateLimited(Exception):
    """The server refuses to be asked so much: nothing would be proven."""


@dataclass(frozen=True)
class Slot:
    """A place for an id: in the path, the query or the body of a route."""

    place: str  # "path", "query" or "body"
    name: str
    kind: str


@dataclass
class HTTPProof:
    world: World
    report: Report
    door: Door

    def run(self, endpoints: list[Endpoint], callers: list[Caller]) -> None:
        owned = owned_tables()
        del owned[FOLLOWS_BY_ITSELF]
        self.checksum = Checksum(self.world.b, owned)
        self.before, self.may_have_written = self.checksum(), False
        few = [caller for caller in callers if caller.name in A_FEW]
        for endpoint in endpoints:
            unread = endpoint.for_staff or row(endpoint).public
            for method in METHODS:
                # A page has GET and perhaps POST: HEAD is GET without its body.
                other = endpoint.for_console and method not in {*endpoint.allowed} - {"HEAD"}
                for caller in few if unread or other else callers:
                    self._attempt(endpoint, method, caller)
            if not endpoint.for_staff:
                self._own_rows_are_there(endpoint, callers)

    # --- One route, one method, one caller ------------------------------------------------------

    def _attempt(self, endpoint: Endpoint, method: str, caller: Caller) -> None:
        """All that is asked, and then a look at B's rows: that is dearer than most requests."""
        route = row(endpoint)
        where = f"{method} /{endpoint.pattern}"
        self._ask(endpoint, route, method, where, caller)
        self._nothing_moved(where, caller, route)

    def _ask(
        self, endpoint: Endpoint, route: Route, method: str, where: str, caller: Caller
    ) -> None:
        own = self._request(endpoint, route, method, caller)
        if endpoint.for_staff:
            self._staff_page(where, caller, self._send(own, where, caller, route))
            return
        for slot in _slots(route, method):
            self._slot(endpoint, route, where, caller, own, slot)
        if not route.path:
            answer = self._send(own, where, caller, route)
            self._nobody_gets_in(route, where, caller, answer)
        if method == "GET":
            for name, kind in route.query.items():
                for theirs in self.world.b.ids[kind]:
                    self._send(_with(own, query={name: theirs}), where, caller, route)
        if method in endpoint.allowed and caller.name in A_FEW:
            self._tenant_said_elsewhere(own, where, caller, route)

    def _slot(
        self, endpoint: Endpoint, route: Route, where: str, caller: Caller, own: Request, slot: Slot
    ) -> None:
        """B's id in one place and the caller's own in all others."""
        unknown_id = self.world.unknown(slot.kind)
        asked = self._put(endpoint, own, route, slot, unknown_id)
        unknown = self._send(asked, where, caller, route)
        self._nobody_gets_in(route, where, caller, unknown)
        # Pages ask as the API does, at ten times its cost: two ids of each kind are tried there.
        theirs = self.world.b.ids[slot.kind][: 2 if route.is_page else None]
        may_work = own.method in endpoint.allowed and caller.kind is Kind.TENANT
        for their_id in theirs if may_work else theirs[:1]:
            asked = self._put(endpoint, own, route, slot, their_id)
            answer = self._send(asked, where, caller, route)
            self.report.check(
                _words(answer, their_id) == _words(unknown, unknown_id),
                where,
                caller.name,
                f"another tenant's {slot.kind} in the {slot.place} is answered {answer.status},"
                f" an unknown one {unknown.status}, or in other words",
            )

    def _tenant_said_elsewhere(
        self, own: Request, where: str, caller: Caller, route: Route
    ) -> None:
        tenant = str(self.world.b.tenant.id)
        for name in SAID_ELSEWHERE:
            header = {f"X-{name.replace('_', '-')}": tenant}
            self._send(_with(own, query={name: tenant}, headers=header), where, caller, route)

    def _send(self, request: Request, where: str, caller: Caller, route: Route) -> Answer:
        """Asks, and looks whether the answer shows anything of B."""
        answer = self.door.send(request)
        if answer.status == 429 and not route.guarded:
            time.sleep(min(float(_header(answer, "Retry-After") or PATIENCE), PATIENCE))
            answer = self.door.send(request)
        if answer.status == 429 and not route.guarded:
            raise RateLimited(f"{where} as {caller.name}: {answer.text}")
        self.report.check(answer.status < 500, where, caller.name, f"answered {answer.status}")
        given = {*request.query.values(), *request.path.split("/"), *_texts(request.body)}
        marks = {self.world.b.canary} if route.echoes else self.world.b.marks() - given
        shown = [mark for mark in marks if mark in answer.whole]
        self.report.check(not shown, where, caller.name, f"the answer shows {shown}")
        self.may_have_written |= request.method in UNSAFE or answer.status < 400
        if request.is_form and answer.status == 302 and not _leads_to_login(answer):
            # As browsers do: what is said there would else be said on whichever page is next.
            self.door.send(Request("GET", _header(answer, "Location"), caller.headers, {}, {}))
        return answer

    def _nothing_moved(self, where: str, caller: Caller, route: Route) -> None:
        if not self.may_have_written:
            return
        after = self.checksum()
        changed = set(after.splitlines()) ^ set(self.before.splitlines())
        but = {WHERE_IT_IS_NOTED} if route.noted else set()
        tables = sorted({line.partition(":")[0] for line in changed} - but)
        self.report.check(not tables, where, caller.name, f"rows of another tenant: {tables}")
        self.before, self.may_have_written = after, False

    # --- Who gets in at all ---------------------------------------------------------------------

    def _nobody_gets_in(self, route: Route, where: str, caller: Caller, answer: Answer) -> None:
        if route.public or caller.kind is Kind.TENANT:
            return
        if route.is_page:
            passes = _leads_to_login(answer) or answer.status in (403, 404)
            text = f"answered {answer.status}, neither sent to the login nor refused"
            self.report.check(passes, where, caller.name, text)
            return
        self.report.check(
            answer.status == 401, where, caller.name, f"answered {answer.status}, not 401"
        )

    def _staff_page(self, where: str, caller: Caller, answer: Answer) -> None:
        """Sent to the login, where the method is one for pages at all."""
        to_login = _leads_to_login(answer)
        is_login = "/login/" in where or "/logout/" in where
        if where.startswith(("GET", "HEAD")) and not is_login:
            text = f"answered {answer.status}, not sent to the login"
            self.report.check(to_login, where, caller.name, text)
        else:
            text = f"answered {answer.status}"
            passes = to_login or is_login or answer.status in (403, 404, 405)
            self.report.check(passes, where, caller.name, text)

    # --- That the proof asks the right thing ----------------------------------------------------

    def _own_rows_are_there(self, endpoint: Endpoint, callers: list[Caller]) -> None:
        """With the caller's own ids the route works: else 404 for B's would prove nothing."""
        route = row(endpoint)
        owner = next(caller for caller in callers if caller.name in ("owner", "owner's browser"))
        name = f"/{endpoint.pattern}"
        if route.lists:
            own = self._request(endpoint, route, "GET", owner)
            answer = self._send(_with(own, query=route.whole), name, owner, route)
            mine = [each for each in self.world.a.ids[route.lists] if each in answer.text]
            self.report.check(bool(mine), f"GET {name}", owner.name, "does not list its own rows")
        if route.path:
            self._works_with_its_own(endpoint, route, name, owner)
        self._nothing_moved(name, owner, route)

    def _works_with_its_own(
        self, endpoint: Endpoint, route: Route, name: str, owner: Caller
    ) -> None:
        statuses = {}
        for method in endpoint.allowed:
            if method not in ("HEAD", "OPTIONS"):
                own = self._request(endpoint, route, method, owner)
                statuses[method] = self._send(own, name, owner, route).status
        worked = [status for status in statuses.values() if status not in (401, 403, 404)]
        self.report.check(
            bool(worked), name, owner.name, f"does not work with the tenant's own ids: {statuses}"
        )

    # --- Requests -------------------------------------------------------------------------------

    def _request(self, endpoint: Endpoint, route: Route, method: str, caller: Caller) -> Request:
        """With A's own ids in all places."""
        own = self.world.a
        if method == "DELETE":
            for kind in MADE_AGAIN.keys() & route.path.values():
                MADE_AGAIN[kind](own)
        values = {name: own.ids[kind][0] for name, kind in route.path.items()}
        body = {
            name: own.ids[value.kind][0] if isinstance(value, Id) else value
            for name, value in route.body.items()
        }
        if route.is_page:
            body["once"] = str(uuid.uuid4())
        query = {name: own.ids[kind][0] for name, kind in route.names.items()}
        return Request(method, endpoint.url(values), caller.headers, query, body, route.is_page)

    def _put(
        self, endpoint: Endpoint, own: Request, route: Route, slot: Slot, value: str
    ) -> Request:
        if slot.place == "body":
            return _with(own, body={**own.body, slot.name: value})
        if slot.place == "query":
            return _with(own, query={**own.query, slot.name: value})
        ids = {name: self.world.a.ids[kind][0] for name, kind in route.path.items()}
        return _with(own, path=endpoint.url({**ids, slot.name: value}))


def _slots(route: Route, method: str) -> Iterator[Slot]:
    yield from (Slot("path", name, kind) for name, kind in route.path.items())
    yield from (Slot("query", name, kind) for name, kind in route.names.items())
    for name, value in route.body.items():
        if isinstance(value, Id) and method in UNSAFE:
            yield Slot("body", name, value.kind)


def _with(request: Request, **changes: Any) -> Request:
    values = vars(request) | changes
    values["headers"] = request.headers | changes.get("headers", {})
    return Request(**values)


def _words(answer: Answer, asked_for: str) -> tuple[int, str]:
    """Status and body without what differs between any two requests."""
    try:
        body = json.loads(answer.text)
    except ValueError:
        text = answer.text.replace(_header(answer, "X-Request-ID"), "<request>")
        return answer.status, MASKED.sub("", text).replace(asked_for, "<id>")
    if isinstance(body, dict):
        body.pop("request_id", None)
    text = json.dumps(body, sort_keys=True).replace(asked_for, "<id>")
    if answer.status == 201:
        text = NEW_EACH_TIME.sub("<new>", text)
    return answer.status, text


def _leads_to_login(answer: Answer) -> bool:
    return answer.status == 302 and "/login" in _header(answer, "Location")


def _header(answer: Answer, name: str) -> str:
    return next((v for k, v in answer.headers.items() if k.lower() == name.lower()), "")


def _texts(body: dict[str, Any]) -> set[str]:
    return {value for value in body.values() if isinstance(value, str)}


def others_cursor_in_b(proof: HTTPProof, endpoints: list[Endpoint], b_owner: Caller) -> None:
    """The other way round: B with a cursor of A's gets rows of B only."""
    side: Side = proof.world.a
    for endpoint in endpoints:
        route = Route() if endpoint.for_staff else row(endpoint)
        for name, kind in route.query.items():
            for theirs in side.ids[kind]:
                request = Request("GET", endpoint.url({}), b_owner.headers, {name: theirs}, {})
                answer = proof.door.send(request)
                shown = [mark for mark in side.marks() - {theirs} if mark in answer.whole]
                proof.report.check(
                    not shown, f"GET /{endpoint.pattern}", "B's owner", f"shows A's {shown}"
                )
