"""The keys of access tokens: one signs, several may verify. They live in the database.

A key is published at once and signs after a grace, so that whoever keeps our key set for a while
knows it before its first token. Its predecessor verifies until the overlap ends. Web processes
notice a change within FRESH_SECONDS.
"""

import json
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Least
from django.utils import timezone
from jwt.algorithms import OKPAlgorithm
from jwt.utils import base64url_encode

from accounts.models import SigningKey
from config.crypto import seal, unseal
from config.isolation import DatabaseRole, acting_as

ALGORITHM = "EdDSA"
FRESH_SECONDS = 5.0  # a ring is used for so long without looking
UNKNOWN_SECONDS = 1.0  # ... or only so long, if a token names a key that is not in it
GRACE = timedelta(seconds=300)  # what /.well-known/jwks.json may be cached for
OVERLAP = timedelta(seconds=1800)  # twice the life of a token


class NoSigningKey(Exception):
    """The database holds no key that signs now. `manage.py migrate` makes the first one."""


@dataclass(frozen=True)
class KeyRing:
    """The keys that are in force at one moment."""

    signing_kid: str
    sealed: bytes  # the private half; opened by whoever signs
    public_keys: dict[str, Ed25519PublicKey]

    @cached_property
    def signing_key(self) -> Ed25519PrivateKey:
        key = load_pem_private_key(unseal(self.sealed, _context(self.signing_kid)), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError(f"The signing key {self.signing_kid} is not Ed25519.")
        return key

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public halves as a JSON Web Key Set (RFC 7517)."""
        return {
            "keys": [
                {
                    **OKPAlgorithm.to_jwk(key, as_dict=True),
                    "kid": kid,
                    "use": "sig",
                    "alg": ALGORITHM,
                }
                for kid, key in self.public_keys.items()
            ]
        }


def thumbprint(key: Ed25519PublicKey) -> str:
    """The key's name: RFC 7638 section 3, for the members RFC 8037 requires."""
    jwk = OKPAlgorithm.to_jwk(key, as_dict=True)
    required = {name: jwk[name] for name in ("crv", "kty", "x")}
    digest = Hash(SHA256())
    digest.update(json.dumps(required, separators=(",", ":"), sort_keys=True).encode())
    return base64url_encode(digest.finalize()).decode()


def _context(kid: str) -> str:
    return f"accounts_signingkey.private_key:{kid}"


# --- The ring of this process ------------------------------------------------------------------


class _Cached:
    """One ring for all threads; whoever finds it too old reads it anew, the others wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        self._ring: KeyRing | None = None
        self._read_at = float("-inf")

    def ring(self, younger_than: float) -> KeyRing:
        with self._lock:
            if self._ring is None or time.monotonic() - self._read_at > younger_than:
                self._ring = read_ring()
                self._read_at = time.monotonic()
            return self._ring

    def at_hand(self, younger_than: float) -> KeyRing | None:
        """The ring, if nobody has to wait for it."""
        is_young = time.monotonic() - self._read_at <= younger_than
        return self._ring if is_young else None


_cached = _Cached()
forget = _cached.forget


def holds(kid: str) -> bool:
    """Whether the key of that name verifies, as far as that is known without asking."""
    ring = _cached.at_hand(FRESH_SECONDS)
    return ring is not None and kid in ring.public_keys


def key_ring() -> KeyRing:
    """The ring, at most FRESH_SECONDS old. Raises NoSigningKey."""
    return _cached.ring(FRESH_SECONDS)


def verifying_key(kid: object) -> Ed25519PublicKey | None:
    """The key of that name. A name we do not know may be one that was just made: look again."""
    if not isinstance(kid, str):
        return None
    found = key_ring().public_keys.get(kid)
    return found or _cached.ring(UNKNOWN_SECONDS).public_keys.get(kid)


def read_ring() -> KeyRing:
    """The ring as the database has it now. Raises NoSigningKey."""
    now = timezone.now()
    with acting_as(DatabaseRole.DOOR):
        keys = [key for key in SigningKey.objects.order_by("id") if key.verifies(now)]
    signing = [key for key in keys if key.signs_from <= now]  # of these the one made last
    if not signing:
        raise NoSigningKey("No signing key is in force: run manage.py migrate.")
    return KeyRing(
        signing_kid=signing[-1].kid,
        sealed=bytes(signing[-1].private_key),
        public_keys={key.kid: _public(key) for key in keys},
    )


def _public(key: SigningKey) -> Ed25519PublicKey:
    public = load_pem_public_key(key.public_key.encode())
    if not isinstance(public, Ed25519PublicKey):
        raise TypeError(f"The verifying key {key.kid} is not Ed25519.")
    return public


# --- Changes, by the owner of the tables --------------------------------------------------------


@dataclass(frozen=True)
class Rotation:
    old_kid: str
    new_kid: str
    signs_from: datetime
    old_until: datetime


def make_first_key() -> bool:
    """Makes a key if there is none; False if there was one. Two at once make one."""
    with transaction.atomic():
        _one_at_a_time()
        if SigningKey.objects.exists():
            return False
        _make_key(signs_from=timezone.now())
        return True


def rotate(*, grace: timedelta = GRACE, overlap: timedelta = OVERLAP) -> Rotation:
    """A new key signs after the grace; all others verify until the overlap after that is over.

    After a leak, both are zero: then every token that is out ends within FRESH_SECONDS.
    Keys whose time was over before are deleted. Raises NoSigningKey if there is none to replace.
    """
    with transaction.atomic():
        _one_at_a_time()
        now = timezone.now()
        SigningKey.objects.filter(retired_at__lte=now).delete()
        old = SigningKey.objects.filter(signs_from__lte=now).order_by("id").last()
        if old is None:
            raise NoSigningKey("There is no key to replace: run manage.py migrate.")
        signs_from = now + grace
        until = signs_from + overlap
        # An earlier end stands: a rotation never lengthens a key's life.
        SigningKey.objects.update(retired_at=Least(Coalesce(F("retired_at"), until), until))
        new = _make_key(signs_from=signs_from)
        return Rotation(old.kid, new.kid, signs_from, until)


def _one_at_a_time() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('guidepost signing key'))")


def _make_key(*, signs_from: datetime) -> SigningKey:
    private = Ed25519PrivateKey.generate()
    kid = thumbprint(private.public_key())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return SigningKey.objects.create(
        kid=kid,
        private_key=seal(pem, _context(kid)),
        public_key=public.decode(),
        signs_from=signs_from,
    )
