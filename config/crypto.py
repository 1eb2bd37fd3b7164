"""Encryption at rest: AES-256-GCM under the key-encryption keys of the environment.

`context` says what the secret is and where it belongs, such as "accounts_signingkey:<kid>". It is
authenticated and not stored: a secret that is copied to another place does not open there.
"""

import base64
import binascii
import secrets
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

FORMAT = b"\x01"
KEY_BYTES, NONCE_BYTES = 32, 12


class CannotUnseal(Exception):
    """The blob was made with a key we do not have, for another context, or was altered."""


def seal(plaintext: bytes, context: str) -> bytes:
    """The plaintext under the current key: format, key's id, nonce, ciphertext with tag."""
    ring = keys()
    key_id = next(iter(ring))
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = ring[key_id].encrypt(nonce, plaintext, context.encode())
    return FORMAT + bytes([len(key_id)]) + key_id.encode() + nonce + sealed


def unseal(blob: bytes, context: str) -> bytes:
    """Raises CannotUnseal."""
    if blob[:1] != FORMAT or len(blob) < 2:
        raise CannotUnseal("The secret has an unknown format.")
    start = 2 + blob[1]
    key_id = blob[2:start].decode(errors="replace")
    key = keys().get(key_id)
    if key is None:
        raise CannotUnseal(f"ENCRYPTION_KEYS does not hold the key {key_id!r}.")
    nonce, sealed = blob[start : start + NONCE_BYTES], blob[start + NONCE_BYTES :]
    try:
        return key.decrypt(nonce, sealed, context.encode())
    except (InvalidTag, ValueError):
        raise CannotUnseal("The secret was altered or belongs to another place.") from None


def keys() -> dict[str, AESGCM]:
    """The keys by id, the current one first. Raises ValueError if the setting is malformed."""
    return _parse(settings.ENCRYPTION_KEYS)


@cache
def _parse(text: str) -> dict[str, AESGCM]:
    ring: dict[str, AESGCM] = {}
    for part in text.split(","):
        key_id, _, encoded = part.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not key_id or len(key_id) > 64 or key_id in ring or len(key) != KEY_BYTES:
            raise ValueError("ENCRYPTION_KEYS is not id:base64(32 bytes), separated by commas.")
        ring[key_id] = AESGCM(key)
    return ring
