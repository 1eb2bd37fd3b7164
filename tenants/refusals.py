"""Refused acts in the audit log.

A refused request leaves nothing of its own transaction, so its entry is written after it, in one
of its own. The answer does not depend on that: an entry that cannot be written is an error event.

What is written: 403 (a scope or role is missing), and a wrong secret for a client that exists. Not
404, since an id of another tenant must look like one that never was; nor 401 for a token or client
that nobody knows, since it is nobody's. The same refusal of the same caller is written once a
minute: a client in a loop, or somebody guessing, is worth an entry and not a million.
"""

import logging
from hashlib import sha256

from django.core.cache import cache
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest
from redis.exceptions import RedisError
from rest_framework.request import Request

from config.addresses import client_address
from config.isolation import DatabaseRole, acting_as
from tenants.audit import Actor, Outcome, acts_of, record
from tenants.authentication import Principal
from tenants.models import ActorKind, ApiKey

logger = logging.getLogger(__name__)

ONCE_IN = 60  # seconds


def actor_of(caller: Principal, request: HttpRequest | Request) -> Actor:
    return Actor(caller.kind, caller.name or caller.subject, address=client_address(request))


def access_refused(caller: Principal, request: HttpRequest, code: str) -> None:
    """A request with a good token that may not do this."""
    route = request.resolver_match.route if request.resolver_match else ""
    what = f"{request.method} /{route}"
    if not _is_first(str(caller.tenant_id), caller.subject, what, code):
        return
    try:
        with acts_of(actor_of(caller, request)), acting_as(DatabaseRole.API, caller.tenant_id):
            record(
                "access.refused",
                tenant_id=caller.tenant_id,
                of=("route", what),
                after={"code": code, "path": request.path[:200]},
                outcome=Outcome.REFUSED,
            )
    except (DatabaseError, InterfaceError):
        _not_written("access.refused")


def client_refused(client_id: str, request: HttpRequest, code: str) -> None:
    """A token request that was refused. Nothing is written for a client that does not exist."""
    address = client_address(request)
    if not _is_first(client_id, address, code):
        return
    try:
        actor = Actor(ActorKind.KEY, client_id, address=address)
        with acts_of(actor), acting_as(DatabaseRole.DOOR):
            key = ApiKey.objects.across_tenants().filter(client_id=client_id).first()
            if key is not None:
                record(
                    "token.refused",
                    tenant_id=key.tenant_id,
                    of=("key", key.client_id),
                    after={"code": code},
                    outcome=Outcome.REFUSED,
                )
    except (DatabaseError, InterfaceError):
        _not_written("token.refused")


def _is_first(*refusal: str) -> bool:
    """Of its kind in this minute. Without Redis each is."""
    digest = sha256("\n".join(refusal).encode()).hexdigest()
    try:
        return bool(cache.add(f"refused:{digest}", True, ONCE_IN))
    except RedisError:
        return True


def _not_written(action: str) -> None:
    logger.error("audit_refusal_not_written", extra={"action": action}, exc_info=True)
