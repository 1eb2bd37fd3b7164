"""Does a token that is well signed and in date still stand? PostgreSQL is asked once a second.

A signature says what was true when the token was issued. What is true now (the key, the tenant,
the person, the role, the session, the grants) is one question in one round trip. Its answer is
kept in this process for a second at most, counted from before the question was sent: so a busy
caller costs each process one question a second, and whatever is taken away is gone everywhere
within that second. Nothing is published, so no message can be lost.
"""

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, TypeVar
from uuid import UUID

from accounts.tokens import AccessToken
from config.addresses import is_within
from config.isolation import DatabaseRole, meaning, rows_in_role
from tenants.digests import password_digest
from tenants.limits import COLUMNS, Limits
from tenants.models import ActorKind, Scope
from tenants.preferences import COLUMNS as PREFERENCES
from tenants.preferences import NOTHING_SET, Preferences

SECONDS = 1.0
TOKENS = 10_000  # that a process remembers; the one not asked about for longest goes first


@dataclass(frozen=True, slots=True)
class Standing:
    """What a token's bearer is and holds now."""

    kind: ActorKind
    granted: frozenset[str]  # the most that any of its tokens may be used for
    limits: Limits
    user_id: int | None = None
    name: str = ""
    role: str = ""
    sees_own_only: bool = False
    networks: tuple[str, ...] = ()  # of a key: the only ones it may be used from
    ended: str = ""  # ApiSession.Ended; "" while the session goes on
    preferences: Preferences = NOTHING_SET


# Groups are named by tenants.permissions.group_name.
HELD = """ARRAY(
    SELECT permission.codename
    FROM auth_group AS holder
    JOIN guardian_groupobjectpermission AS held ON held.group_id = holder.id
    JOIN auth_permission AS permission ON permission.id = held.permission_id
    JOIN django_content_type AS kind ON kind.id = held.content_type_id
    WHERE holder.name = {group} AND held.object_pk = tenant.id::text
      AND kind.app_label = 'tenants' AND kind.model = 'tenant'
) AS held"""
NOT_REVOKED = "NOT EXISTS (SELECT FROM tenants_revokedtoken WHERE jti = %(jti)s)"

OF_KEY = f"""
SELECT key.scopes, key.allowed_networks, key.requests_per_minute, {COLUMNS}, {PREFERENCES},
       {HELD.format(group="tenant.id || ':integration'")}
FROM tenants_apikey AS key
JOIN tenants_tenant AS tenant ON tenant.id = key.tenant_id AND tenant.is_active
JOIN tenants_plan AS plan ON plan.code = tenant.plan_id
WHERE key.client_id = %(subject)s AND key.tenant_id = %(tenant)s
  AND key.revoked_at IS NULL
  AND (key.expires_at IS NULL OR key.expires_at > clock_timestamp())
  AND {NOT_REVOKED}
"""  # noqa: S608

OF_PERSON = f"""
SELECT person.id AS user_id, person.email, person.password, membership.role,
       membership.sees_own_only, session.password_digest, session.reason, {COLUMNS},
       {PREFERENCES},
       {HELD.format(group="tenant.id || ':' || membership.role")}
FROM tenants_apisession AS session
JOIN tenants_tenant AS tenant ON tenant.id = session.tenant_id AND tenant.is_active
JOIN tenants_plan AS plan ON plan.code = tenant.plan_id
JOIN accounts_user AS person ON person.id = session.user_id AND person.is_active
JOIN tenants_membership AS membership
  ON membership.tenant_id = session.tenant_id AND membership.user_id = session.user_id
WHERE session.id = %(session)s AND session.tenant_id = %(tenant)s
  AND person.public_id = %(subject)s
  AND {NOT_REVOKED}
"""  # noqa: S608

OF_MEMBER = f"""
SELECT tenant.id AS tenant_id, tenant.name AS tenant_name, person.id AS user_id, person.email,
       membership.role, membership.sees_own_only, {COLUMNS}, {PREFERENCES},
       EXISTS (SELECT FROM mfa_authenticator WHERE user_id = person.id) AS has_second_factor,
       {HELD.format(group="tenant.id || ':' || membership.role")}
FROM tenants_tenant AS tenant
JOIN tenants_plan AS plan ON plan.code = tenant.plan_id
JOIN tenants_membership AS membership ON membership.tenant_id = tenant.id
JOIN accounts_user AS person ON person.id = membership.user_id AND person.is_active
WHERE tenant.slug = %(slug)s AND tenant.is_active AND person.id = %(user)s
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Member:
    """What a person is and holds now in a tenant, whatever tokens they may have."""

    tenant_id: UUID
    tenant_name: str
    has_second_factor: bool
    standing: Standing


def standing_of_member(user_id: int, slug: str) -> Member | None:
    """For a person with a session of the pages, asked anew for each page. None where they are no
    member of such a tenant, or it is suspended."""
    row = _asked(OF_MEMBER, {"user": user_id, "slug": slug})
    if row is None:
        return None
    factor = row["has_second_factor"]
    return Member(row["tenant_id"], row["tenant_name"], factor, _person(row))


def standing_of(token: AccessToken) -> Standing | None:
    """None if the token stands no more.

    Raises KeyError or ValueError for claims that are not as we issue them, and OperationalError
    or InterfaceError where PostgreSQL does not answer: that is no verdict on the token.
    """
    question: dict[str, Any] = {"jti": token["jti"], "tenant": UUID(token["tenant"])}
    session = token.get("sid")
    if session is None:
        question["subject"] = token["sub"]
        return _recent.get(token["jti"], lambda: _of_key(question))
    question |= {"subject": UUID(token["sub"]), "session": UUID(session)}
    return _recent.get(token["jti"], lambda: _of_person(question))


def at_hand(token: AccessToken) -> Standing | None:
    """What is known of a token without asking: None also where it would have to be asked."""
    return _recent.at_hand(token["jti"])


def forget(token: AccessToken) -> None:
    """What is known of it: the next question is asked anew."""
    _recent.forget(token["jti"])


def may_come_from(standing: Standing, address: str) -> bool:
    """Whether this caller may call from there: a key may be bound to networks."""
    return not standing.networks or is_within(address, standing.networks)


def _of_key(question: dict[str, Any]) -> Standing | None:
    row = _asked(OF_KEY, question)
    if row is None:
        return None
    granted = _scopes(row["held"]) & frozenset(row["scopes"])
    networks = tuple(row["allowed_networks"])
    return Standing(
        ActorKind.KEY,
        granted,
        Limits.of(row),
        networks=networks,
        preferences=Preferences.of(row),
    )


def _of_person(question: dict[str, Any]) -> Standing | None:
    row = _asked(OF_PERSON, question)
    if row is None:
        return None
    # Whoever chooses a new password means to be rid of every session there was.
    if not hmac.compare_digest(password_digest(row["password"]), row["password_digest"]):
        return None
    return _person(row, ended=row["reason"])


def _person(row: dict[str, Any], ended: str = "") -> Standing:
    return Standing(
        kind=ActorKind.PERSON,
        granted=_scopes(row["held"]),
        limits=Limits.of(row),
        user_id=row["user_id"],
        name=row["email"],
        role=row["role"],
        sees_own_only=row["sees_own_only"],
        ended=ended,
        preferences=Preferences.of(row),
    )


def _asked(question: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
    with meaning(DatabaseRole.DOOR):  # it comes before a request's own transaction
        return next(iter(rows_in_role(question, parameters)), None)


def _scopes(codenames: list[str]) -> frozenset[str]:
    return frozenset(scope.value for scope in Scope if scope.permission in codenames)


Answer = TypeVar("Answer")


class Recent(Generic[Answer]):
    """Answers to questions that were asked less than `seconds` ago, the last `size` of them.

    Who asks while somebody is asking the same waits for that answer: one question, however many
    threads. A question that fails is not remembered.
    """

    def __init__(self, seconds: float, size: int):
        self.seconds, self.size = seconds, size
        self._lock = Lock()
        self._answers: OrderedDict[str, tuple[float, Future[Answer]]] = OrderedDict()

    def get(self, key: str, ask: Callable[[], Answer]) -> Answer:
        answer, is_mine = self._find(key)
        if is_mine:
            try:
                answer.set_result(ask())
            except BaseException as error:  # whoever waits must hear of it, whatever it is
                self._take_back(key, answer)
                answer.set_exception(error)
        return answer.result()

    def at_hand(self, key: str) -> Answer | None:
        """An answer that is there; nobody waits for one."""
        with self._lock:
            asked_at, answer = self._answers.get(key, (0.0, None))
        if answer is None or not answer.done() or answer.exception():
            return None
        return answer.result() if time.monotonic() - asked_at < self.seconds else None

    def forget(self, key: str) -> None:
        with self._lock:
            self._answers.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._answers.clear()

    def _find(self, key: str) -> tuple[Future[Answer], bool]:
        """The answer, perhaps still to come, and whether the caller is the one to ask."""
        with self._lock:
            now = time.monotonic()
            asked_at, answer = self._answers.get(key, (0.0, None))
            if answer is not None and now - asked_at < self.seconds:
                self._answers.move_to_end(key)
                return answer, False
            mine: Future[Answer] = Future()
            self._answers[key] = (now, mine)
            self._answers.move_to_end(key)
            if len(self._answers) > self.size:
                self._answers.popitem(last=False)
            return mine, True

    def _take_back(self, key: str, answer: "Future[Answer]") -> None:
        with self._lock:
            if self._answers.get(key, (0.0, None))[1] is answer:
                del self._answers[key]


_recent: Recent[Standing | None] = Recent(SECONDS, TOKENS)
