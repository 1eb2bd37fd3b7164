"""API keys: made, checked, changed, rotated, ended.

A key is a client id, which stays, and a secret, which is rotated. Nobody gives a key, or gets the
secret of one, that may do more than they may themselves; nor does a key that expires, or is bound
to networks, give one that is good for longer or from elsewhere.
"""

import hmac
import re
import secrets
import string
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from config.addresses import are_within, is_within
from config.errors import DomainError
from tenants import audit
from tenants.digests import secret_digest
from tenants.models import FOR_PEOPLE_ALONE, ApiKey, Scope, Tenant
from tenants.permissions import GRANTS, INTEGRATION

CLIENT_PREFIX = "gpc_"
SECRET_PREFIX = "gps_"  # noqa: S105  (what scanners look for)
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM, CHECKSUM = 43, 6  # characters: 256 bits, and a CRC-32
WELL_FORMED = re.compile(rf"{SECRET_PREFIX}[0-9A-Za-z]{{{RANDOM + CHECKSUM}}}")
NO_DIGEST = "0" * 64  # the digest of no secret

USE_IS_NOTED_EVERY = timedelta(minutes=1)
WARN_DAYS = (14, 3)  # before a key's end, its tenant's owners get a mail
OTHERS_MAY = "People who manage keys may give more, and so may keys that are not bound."
CHANGEABLE = ("name", "scopes", "expires_at", "allowed_networks")


class InvalidClient(DomainError):
    code = "invalid_client"
    title = "The client could not be authenticated"
    status = 401
    detail = (
        "Check client_id and client_secret; the key may also be revoked, expired, rotated, or not"
        " allowed from your network."
    )


class ScopeNotHeld(DomainError):
    code = "insufficient_scope"
    title = "The token lacks a scope"
    status = 403


class KeyBound(DomainError):
    code = "bound_key"
    title = "A key gives no key more room than it has"
    status = 403


class KeyEnded(DomainError):
    code = "key_ended"
    title = "The key is revoked or has expired"
    detail = "It cannot come back. Make a new key."


@dataclass(frozen=True)
class NewApiKey:
    """The only time the secret is known."""

    key: ApiKey
    client_secret: str


# --- Made -------------------------------------------------------------------------------------


@transaction.atomic
def issue_api_key(
    *,
    tenant: Tenant,
    name: str,
    scopes: Iterable[Scope] = tuple(GRANTS[INTEGRATION]),
    expires_at: datetime | None = None,
    allowed_networks: Iterable[str] = (),
    created_by_id: int | None = None,
    held: Collection[str] = tuple(GRANTS[INTEGRATION]),
    by_key: ApiKey | None = None,
) -> NewApiKey:
    """A key, and its secret for the only time.

    allowed_networks  CIDRs as config.addresses writes them; none: from anywhere
    held              scopes of whoever asks. Raises ScopeNotHeld for a key with more
    by_key            the key that asks, if it is one. Raises KeyBound for a key that is bound less
    """
    refuse_beyond(held, scopes)
    allowed_networks = sorted(set(allowed_networks))
    refuse_bound_less(by_key, expires_at, allowed_networks)
    secret = new_secret()
    key = ApiKey.objects.create(
        tenant=tenant,
        client_id=CLIENT_PREFIX + secrets.token_hex(12),
        digest=secret_digest(secret),
        name=name,
        scopes=sorted(set(scopes)),
        expires_at=expires_at,
        allowed_networks=allowed_networks,
        created_by_id=created_by_id,
        warned_days=_passed_warning(expires_at),
    )
    _record("key.created", key, after=_described(key))
    return NewApiKey(key, secret)


def refuse_beyond(held: Collection[str], scopes: Iterable[str]) -> None:
    """Raises ScopeNotHeld unless all scopes are held, and are such as a key may have."""
    wanted = set(scopes)
    if refused := sorted(wanted.intersection(FOR_PEOPLE_ALONE)):
        named = " or ".join(f"`{scope}`" for scope in refused)
        raise ScopeNotHeld(f"No API key may have {named}: that is for people alone.")
    if missing := wanted - set(held):
        names = ", ".join(sorted(missing))
        raise ScopeNotHeld(f"The key has, or would have, scopes that you do not hold: {names}.")


def refuse_bound_less(
    by_key: ApiKey | None, expires_at: datetime | None, networks: Collection[str]
) -> None:
    """Raises KeyBound for a key that is good for longer than `by_key`, or from elsewhere."""
    if by_key is None:
        return
    until, there = by_key.expires_at, by_key.allowed_networks
    if until is not None and (expires_at is None or expires_at > until):
        raise KeyBound(
            f"The calling key expires at {until.isoformat()}, so `expires_at` of the key has to be"
            f" that time or an earlier one. {OTHERS_MAY}"
        )
    if there and not (networks and are_within(networks, there)):
        raise KeyBound(
            f"The calling key may be used from {', '.join(there)}, so `allowed_networks` of the key"
            f" has to name networks within these. {OTHERS_MAY}"
        )


def new_secret() -> str:
    """`gps_`, 43 random characters, 6 of a checksum: a typing error is known without a query.

    Source: GitHub's token format (2021), https://github.blog/engineering/platform-security/
    behind-githubs-new-authentication-token-formats/
    """
    text = SECRET_PREFIX + "".join(secrets.choice(BASE62) for _ in range(RANDOM))
    return text + checksum(text)


def checksum(text: str) -> str:
    """CRC-32 in base 62, with leading zeros."""
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(CHECKSUM):
        number, digit = divmod(number, len(BASE62))
        digits = BASE62[digit] + digits
    return digits


def is_well_formed(secret: str) -> bool:
    whole = WELL_FORMED.fullmatch(secret) is not None
    return whole and checksum(secret[:-CHECKSUM]) == secret[-CHECKSUM:]


# --- Checked ----------------------------------------------------------------------------------


def authenticate_client(client_id: str, client_secret: str, *, address: str) -> ApiKey:
    """The key that these two belong to, if it may be used from the address.

    Raises InvalidClient, the same for every reason. A secret with a wrong checksum is nobody's
    and costs no query; for any other, the work is the same whether or not the client exists.
    """
    if not is_well_formed(client_secret):
        raise InvalidClient
    keys = ApiKey.objects.across_tenants().select_related("tenant")
    key = keys.filter(client_id=client_id.replace("\x00", "")).first()  # no text of PostgreSQL's
    digest = secret_digest(client_secret)
    matches = [hmac.compare_digest(digest, accepted) for accepted in _accepted_digests(key)]
    if key is None or not any(matches) or not key.is_usable or not key.tenant.is_active:
        raise InvalidClient
    if not may_come_from(key, address):
        raise InvalidClient
    note_use(key, address)
    return key


def _accepted_digests(key: ApiKey | None) -> tuple[str, str]:
    """Of the secret and of the one before it: always two, so that it takes as long."""
    if key is None:
        return NO_DIGEST, NO_DIGEST
    overlaps = key.previous_until is not None and key.previous_until > timezone.now()
    return key.digest, key.previous_digest if overlaps else NO_DIGEST


def may_come_from(key: ApiKey, address: str) -> bool:
    """Whether the key may be used from the address. One without networks may from anywhere."""
    return not key.allowed_networks or is_within(address, key.allowed_networks)


def note_use(key: ApiKey, address: str) -> None:
    """Keeps when, and from where, the key was last used, to a minute.

    Uses within that minute cost nothing; of those at its end one writes and none waits.
    """
    before = timezone.now() - USE_IS_NOTED_EVERY
    if key.last_used_at is not None and key.last_used_at > before:
        return
    mine = ApiKey.objects.for_tenant(key.tenant_id)
    due = mine.filter(Q(last_used_at=None) | Q(last_used_at__lte=before), pk=key.pk)
    unlocked = due.select_for_update(skip_locked=True, no_key=True).values("pk")
    mine.filter(pk__in=unlocked).update(last_used_at=timezone.now(), last_used_address=address)


# --- Changed ----------------------------------------------------------------------------------


@transaction.atomic
def change_key(
    *,
    tenant_id: UUID,
    client_id: str,
    held: Collection[str],
    by_key: ApiKey | None = None,
    **changes: Any,
) -> ApiKey | None:
    """Changes name, scopes, expires_at or allowed_networks; None if the tenant has no such key.

    Raises KeyEnded; ScopeNotHeld where the key has, or would have, more than `held`; or KeyBound
    where it is, or would be, bound less than `by_key`, the key that asks.
    """
    key = _locked(tenant_id, client_id)
    if key is None:
        return None
    _refuse_ended(key)
    refuse_beyond(held, {*key.scopes, *changes.get("scopes", ())})
    refuse_bound_less(by_key, key.expires_at, key.allowed_networks)
    before = _described(key)
    for field in CHANGEABLE:
        if field in changes:
            setattr(key, field, changes[field])
    key.scopes, key.allowed_networks = sorted(set(key.scopes)), sorted(set(key.allowed_networks))
    refuse_bound_less(by_key, key.expires_at, key.allowed_networks)
    if "expires_at" in changes:
        key.warned_days = _passed_warning(key.expires_at)
    key.save(update_fields=[*CHANGEABLE, "warned_days"])
    after = _described(key)
    changed = [field for field in CHANGEABLE if before[field] != after[field]]
    if changed:
        _record(
            "key.changed",
            key,
            before={field: before[field] for field in changed},
            after={field: after[field] for field in changed},
        )
    return key


@transaction.atomic
def rotate_key(
    *,
    tenant_id: UUID,
    client_id: str,
    held: Collection[str],
    by_key: ApiKey | None = None,
    overlap: timedelta = timedelta(),
) -> NewApiKey | None:
    """Gives the key a new secret; None if the tenant has no such key.

    overlap  for so long the secret before it is good too. The one before that is not.

    Raises KeyEnded; ScopeNotHeld, for the new secret may do all that the key may; or KeyBound, for
    it may do so for as long, and from where, the key may: see change_key.
    """
    key = _locked(tenant_id, client_id)
    if key is None:
        return None
    _refuse_ended(key)
    refuse_beyond(held, key.scopes)
    refuse_bound_less(by_key, key.expires_at, key.allowed_networks)
    secret, now = new_secret(), timezone.now()
    key.previous_digest = key.digest if overlap else ""
    key.previous_until = now + overlap if overlap else None
    key.digest, key.rotated_at = secret_digest(secret), now
    key.save(update_fields=["previous_digest", "previous_until", "digest", "rotated_at"])
    _record("key.rotated", key, after={"previous_until": _text(key.previous_until)})
    return NewApiKey(key, secret)


@transaction.atomic
def revoke_key(*, tenant_id: UUID, client_id: str) -> ApiKey | None:
    """Ends the key; None if the tenant has no such key. One that has ended stays as it is.

    Anybody who manages keys may end any: a leak is no time to look for somebody with more scopes.
    """
    key = _locked(tenant_id, client_id)
    if key is not None:
        revoke_api_key(key)
        key.refresh_from_db()
    return key


@transaction.atomic
def revoke_api_key(key: ApiKey) -> bool:
    """Ends the key; False if it had ended before. Its tokens end within a second."""
    mine = ApiKey.objects.for_tenant(key.tenant_id).filter(pk=key.pk, revoked_at=None)
    ended = mine.update(revoked_at=timezone.now()) == 1
    if ended:
        _record("key.revoked", key)
    return ended


def _locked(tenant_id: UUID, client_id: str) -> ApiKey | None:
    keys = ApiKey.objects.for_tenant(tenant_id).select_for_update(no_key=True)
    return keys.filter(client_id=client_id).first()


def _refuse_ended(key: ApiKey) -> None:
    if not key.is_usable:
        raise KeyEnded


def _passed_warning(expires_at: datetime | None) -> int | None:
    """The last warning that comes too late: nobody is told that a key ends in less time than it
    was made for."""
    left = expires_at - timezone.now() if expires_at else None
    passed = [days for days in WARN_DAYS if left is not None and left <= timedelta(days=days)]
    return min(passed, default=None)


def _record(action: str, key: ApiKey, **change: Any) -> None:
    audit.record(action, tenant_id=key.tenant_id, of=("key", key.client_id), **change)


def _described(key: ApiKey) -> dict[str, Any]:
    values = {field: getattr(key, field) for field in CHANGEABLE}
    return values | {"expires_at": _text(key.expires_at)}


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
