"""Sealing: AES-256-GCM under the key-encryption keys that ENCRYPTION_KEYS holds.

What is sealed opens only with the same key and the same context, a text that says where it
stands: "table.column:row". So a sealed value that is moved to another row or column stays shut.
Few things are sealed here directly: keys that in turn seal what there is much of (see
`tenants.vault`), and whatever belongs to no tenant.

Imports no models and needs no database.
"""

import base64
import binascii
import os
import re
from collections.abc import Iterator
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

KEY_BYTES = 32
NONCE_BYTES = 12  # random: one key is good for 2**32 seals (NIST SP 800-38D, section 8.3)
TAG_BYTES = 16
FORMAT = 1
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,32}")


class CannotUnseal(Exception):
    """Another context, another key, a key that is gone, or bytes that were changed."""


class BadKeys(ValueError):
    """ENCRYPTION_KEYS is not what it should be; never says what stands in it."""


class Box:
    """One key. What is put in is bound to a header, stored with it, and to a context."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, header: bytes, plaintext: bytes, context: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return header + nonce + self._cipher.encrypt(nonce, plaintext, header + context)

    def unseal(self, header: bytes, blob: bytes, context: bytes) -> bytes:
        """`blob` is the whole of it, and begins with `header`. Raises CannotUnseal."""
        nonce, sealed = blob[len(header) :][:NONCE_BYTES], blob[len(header) + NONCE_BYTES :]
        if len(sealed) < TAG_BYTES:
            raise CannotUnseal("It is too short.")
        try:
            return self._cipher.decrypt(nonce, sealed, header + context)
        except InvalidTag:
            raise CannotUnseal("It was changed, or stands where it was not sealed.") from None


class KeyRing:
    """Key-encryption keys by id; new values are sealed with the first.

    A sealed value is: format (one byte), length of the key's id (one byte), id, nonce, ciphertext.
    """

    def __init__(self, text: str) -> None:
        """text: `id:base64[,id:base64 ...]`, 32 bytes each. Raises BadKeys."""
        self.keys = dict(_parsed(text))
        self.current = next(iter(self.keys))
        self._boxes = {key_id: Box(key) for key_id, key in self.keys.items()}

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self.keys)})"

    def seal(self, plaintext: bytes, context: str) -> bytes:
        header = header_of(self.current)
        return self._boxes[self.current].seal(header, plaintext, context.encode())

    def unseal(self, blob: bytes, context: str) -> bytes:
        """Raises CannotUnseal."""
        key_id = key_id_of(blob)
        if key_id not in self._boxes:
            raise CannotUnseal(f"ENCRYPTION_KEYS lacks the key {key_id!r} that it was sealed with.")
        return self._boxes[key_id].unseal(header_of(key_id), blob, context.encode())


def _parsed(text: str) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    for number, entry in enumerate(text.strip().split(","), 1):
        key_id, _, encoded = entry.strip().partition(":")
        if not _KEY_ID.fullmatch(key_id):
            raise BadKeys(f"Key {number} has no id of 1 to 32 letters, digits, `.`, `_` or `-`.")
        if key_id in seen:
            raise BadKeys(f"The id {key_id} stands there twice.")
        seen.add(key_id)
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise BadKeys(f"The key {key_id} is not base64.") from None
        if len(key) != KEY_BYTES:
            raise BadKeys(f"The key {key_id} has {len(key)} bytes, not {KEY_BYTES}.")
        yield key_id, key


def header_of(key_id: str) -> bytes:
    """What every value that is sealed with this key begins with."""
    return bytes([FORMAT, len(key_id)]) + key_id.encode()


def key_id_of(blob: bytes) -> str:
    """The id of the key that it was sealed with. Raises CannotUnseal for what was not sealed."""
    if len(blob) < 2 or blob[0] != FORMAT:
        raise CannotUnseal("It is not a sealed value.")
    return blob[2 : 2 + blob[1]].decode("ascii", errors="replace")


def ring() -> KeyRing:
    """Raises BadKeys."""
    return _ring(settings.ENCRYPTION_KEYS)


_ring = lru_cache(maxsize=4)(KeyRing)


def seal(plaintext: bytes, context: str) -> bytes:
    """context: where it stands, "table.column:row"; the same is needed to open it."""
    return ring().seal(plaintext, context)


def unseal(blob: bytes | memoryview, context: str) -> bytes:
    """Raises CannotUnseal."""
    return ring().unseal(bytes(blob), context)
