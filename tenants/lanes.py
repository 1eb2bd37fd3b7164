"""Lanes behind a token: what `tenants.scope.TenantView` does, on the event loop."""

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError
from rest_framework_simplejwt.exceptions import TokenError

from accounts import keyring
from accounts.tokens import AccessToken, key_of
from config import loop
from config.addresses import caller_address
from config.lanes import ACCEPTED, Answer, Asked, of_error
from tenants import standing
from tenants.audit import Actor
from tenants.authentication import Principal, principal_of
from tenants.models import RouteClass, Scope
from tenants.standing import Standing
from tenants.throttling import RateLimited, admit_on_loop

Handler = Callable[[Principal, Asked, str], Awaitable[Answer | None]]
TOKENS = 10_000  # whose signatures a process remembers to have verified


@dataclass(frozen=True, slots=True)
class TenantLane:
    """The way to one method of a view.

    methods  of the view
    takes    which requests the lane is for
    handle   is given the caller, the request, and what the group of `path` has found; gives None
             where nothing was done, for the view to answer
    """

    method: str
    path: re.Pattern[str]
    methods: str
    scope: Scope
    kind: RouteClass
    takes: Callable[[Asked], bool]
    handle: Handler
    accepted: frozenset[bytes] = ACCEPTED

    def leads_to(self, asked: Asked) -> re.Match[str] | None:
        return self.path.fullmatch(asked.path) if asked.method == self.method else None

    async def answer(self, asked: Asked, place: re.Match[str]) -> Answer | None:
        caller = await _caller(asked) if self.takes(asked) else None
        if caller is None or self.scope.value not in caller.scopes:
            return None
        try:
            limits = await admit_on_loop(caller.tenant_id, caller.subject, caller.limits, self.kind)
        except RateLimited as error:
            return of_error(error)
        if limits is None:
            return None
        answer = await self._answer(caller, asked, place[1] if place.re.groups else "")
        if answer is not None:
            answer.headers.update(limits)
        return answer

    async def _answer(self, caller: Principal, asked: Asked, found: str) -> Answer | None:
        try:
            return await self.handle(caller, asked, found)
        except Exception as error:  # as Django does around each view
            return of_error(error)


def actor_of(caller: Principal, asked: Asked) -> Actor:
    """Whose act it is, for lanes that change something."""
    forwarded = asked.headers.get(b"x-forwarded-for", b"").decode("latin-1")
    address = caller_address(asked.remote, forwarded)
    return Actor(caller.kind, caller.name or caller.subject, address=address)


# --- Who calls ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verified:
    token: AccessToken
    kid: str


_verified: OrderedDict[bytes, Verified] = OrderedDict()


async def _caller(asked: Asked) -> Principal | None:
    """None for whom the view has to look at: it knows what to say to them."""
    parts = asked.headers.get(b"authorization", b"").split()
    if len(parts) != 2 or parts[0].lower() != b"bearer" or b"access_token" in asked.query:
        return None
    verified = _at_hand(parts[1])
    if verified is None:
        verified = await loop.in_thread(_look_up, parts[1])
        _remember(parts[1], verified)
    return _principal(verified)


async def may_go_on(asked: Asked, scope: Scope) -> bool:
    """Whether the lane would take the same request again, asked anew."""
    bearer = asked.headers[b"authorization"].split()[1]
    verified = await loop.in_thread(_look_up, bearer, anew=True)
    _remember(bearer, verified)
    caller = _principal(verified)
    return caller is not None and scope.value in caller.scopes


def _principal(verified: Verified | None) -> Principal | None:
    now = standing.at_hand(verified.token) if verified else None
    if verified is None or now is None or not _is_plain(now):
        return None
    return principal_of(verified.token, now)


def _is_plain(now: Standing) -> bool:
    """Without what is looked at for each request anew."""
    return not now.ended and not now.networks and not now.sees_own_only


def _at_hand(bearer: bytes) -> Verified | None:
    """A token that was verified before, is in date, and whose key and standing are known."""
    verified = _verified.get(bearer)
    if verified is None or not keyring.holds(verified.kid):
        return None
    try:
        verified.token.check_exp()
    except TokenError:
        return None
    if standing.at_hand(verified.token) is None:
        return None
    return verified


def _look_up(bearer: bytes, *, anew: bool = False) -> Verified | None:
    """Asks what has to be asked. None for a token that is not ours or in force."""
    try:
        token = AccessToken(bearer)  # type: ignore[arg-type]
        if anew:
            standing.forget(token)
        if standing.standing_of(token) is None:
            return None
    except (TokenError, KeyError, ValueError, AttributeError, DatabaseError, InterfaceError):
        return None
    return Verified(token, key_of(bearer))


def _remember(bearer: bytes, verified: Verified | None) -> None:
    """On the loop, which alone changes what is remembered."""
    if verified is None:
        _verified.pop(bearer, None)
        return
    _verified[bearer] = verified
    _verified.move_to_end(bearer)
    if len(_verified) > TOKENS:
        _verified.popitem(last=False)
