"""A tenant's content is sealed with a key of its own: what opens is of this tenant, of this place.

Each tenant has data keys, which the key-encryption keys seal (`config.crypto`, `tenants_datakey`).
The latest seals; each opens what it has sealed. They are kept, opened, in the process for some
minutes, so that a request asks the database for none.

A sealed value is: format, flags (one byte each), version of the data key (two), nonce, ciphertext.
"""

import hmac
import os
import struct
import threading
import time
import zlib
from collections import OrderedDict
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.db.models import Max

from config import crypto
from config.crypto import NONCE_BYTES, TAG_BYTES, Box, CannotUnseal
from config.isolation import in_role
from tenants.models import DataKey

WRAPPED = "tenants_datakey.wrapped:{}:{}"  # the context of a data key: its tenant and version

_HEADER = struct.Struct(">BBH")
FORMAT, PLAIN, COMPRESSED = 1, 0, 1
OVERHEAD = _HEADER.size + NONCE_BYTES + TAG_BYTES  # bytes that a sealed value has more
WORTH_COMPRESSING = 1024  # bytes; below it nothing is won, and no length is given away either
LEVEL = 1  # of zlib: the higher ones take several times as long for a tenth less

CACHED_TENANTS = 1_000
CACHED_SECONDS = 300.0


class TenantKeys:
    """The data keys of one tenant, opened."""

    def __init__(self, tenant_id: UUID, keys: dict[int, bytes]) -> None:
        """keys: by version. Raises CannotUnseal if there are none."""
        if not keys:
            raise CannotUnseal(
                f"The tenant {tenant_id} has no data key, or this role may not see it."
            )
        self._tenant = tenant_id.bytes
        self._boxes = {version: Box(key) for version, key in keys.items()}
        self.current = max(keys)
        # Of the first version for good: what is indexed must be found again after a new one.
        self._index_key = HKDF(SHA256(), 32, salt=None, info=b"guidepost index").derive(
            keys[min(keys)]
        )

    def __contains__(self, version: int) -> bool:
        return version in self._boxes

    def seal(self, plaintext: bytes, context: str) -> bytes:
        flags = PLAIN
        if len(plaintext) >= WORTH_COMPRESSING:
            packed = zlib.compress(plaintext, LEVEL)
            if len(packed) < len(plaintext):
                flags, plaintext = COMPRESSED, packed
        header = _HEADER.pack(FORMAT, flags, self.current)
        return self._boxes[self.current].seal(header, plaintext, self._bound(context))

    def unseal(self, blob: bytes, context: str) -> bytes:
        version, flags = version_of(blob), blob[1]
        if version not in self._boxes:
            raise CannotUnseal(f"The tenant has no data key of version {version}.")
        header = blob[: _HEADER.size]
        plaintext = self._boxes[version].unseal(header, blob, self._bound(context))
        return zlib.decompress(plaintext) if flags == COMPRESSED else plaintext

    def index(self, value: bytes, context: str) -> str:
        return hmac.digest(self._index_key, context.encode() + b"\0" + value, "sha256").hex()

    def _bound(self, context: str) -> bytes:
        return self._tenant + context.encode()


def version_of(blob: bytes) -> int:
    """The data key it was sealed with. Raises CannotUnseal for what is no sealed value."""
    if len(blob) < OVERHEAD or blob[0] != FORMAT:
        raise CannotUnseal("It is not a sealed value.")
    version: int = _HEADER.unpack_from(blob)[2]
    return version


# --- What others call -----------------------------------------------------------------------


def seal(tenant_id: UUID, plaintext: bytes, context: str) -> bytes:
    """context: where it stands, "table.column:row-id"; the same is needed to open it."""
    return _keys(tenant_id).seal(plaintext, context)


def unseal(tenant_id: UUID, blob: bytes | memoryview, context: str) -> bytes:
    """Raises CannotUnseal: another tenant's, of another place, or changed."""
    blob = bytes(blob)
    keys = _keys(tenant_id)
    if version_of(blob) not in keys:
        keys = _keys(tenant_id, afresh=True)  # made meanwhile, by somebody else
    return keys.unseal(blob, context)


def index(tenant_id: UUID, value: bytes, context: str) -> str:
    """A keyed digest, hex: equal for equal values of one tenant, and of use to nobody without its
    key. context is "table.column"."""
    return _keys(tenant_id).index(value, context)


def make_data_key(tenant_id: UUID) -> int:
    """The next version of the tenant's data key, which seals what is written from now on.

    Processes that know an earlier one go on with it for some minutes. What is sealed must not
    be committed without it, so make it in the tenant's own transaction, or in one of its own.
    """
    keys = DataKey.objects.for_tenant(tenant_id)
    version = (keys.aggregate(latest=Max("version"))["latest"] or 0) + 1
    wrapped = crypto.seal(os.urandom(crypto.KEY_BYTES), WRAPPED.format(tenant_id, version))
    DataKey(tenant_id=tenant_id, version=version, wrapped=wrapped).save(force_insert=True)
    return version


# --- The keys that this process has opened ----------------------------------------------------

_cache: OrderedDict[UUID, tuple[float, TenantKeys]] = OrderedDict()
_lock = threading.Lock()


def _keys(tenant_id: UUID, *, afresh: bool = False) -> TenantKeys:
    now = time.monotonic()
    with _lock:
        until, known = _cache.get(tenant_id, (0.0, None))
    if known is not None and now < until and not afresh:
        return known
    keys = _opened(tenant_id)
    with _lock:
        _cache[tenant_id] = (now + CACHED_SECONDS, keys)
        _cache.move_to_end(tenant_id)
        while len(_cache) > CACHED_TENANTS:
            _cache.popitem(last=False)
    return keys


def _opened(tenant_id: UUID) -> TenantKeys:
    with in_role():
        rows = list(DataKey.objects.for_tenant(tenant_id).values_list("version", "wrapped"))
    keys = {
        version: crypto.unseal(wrapped, WRAPPED.format(tenant_id, version))
        for version, wrapped in rows
    }
    return TenantKeys(tenant_id, keys)
