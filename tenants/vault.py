"""What is kept of a tenant and is nobody else's to read: sealed with a key of that tenant."""

import os
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

_NONCE_BYTES = 12


def seal(tenant_id: UUID, plaintext: bytes, context: str) -> bytes:
    """Encrypts. context: where it stands; what is moved elsewhere cannot be opened there."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(_key(tenant_id)).encrypt(nonce, plaintext, context.encode())


def unseal(tenant_id: UUID, sealed: bytes, context: str) -> bytes:
    """Raises cryptography's InvalidTag for what was sealed for another tenant or context."""
    nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    return AESGCM(_key(tenant_id)).decrypt(nonce, ciphertext, context.encode())


def _key(tenant_id: UUID) -> bytes:
    derived = HKDF(SHA256(), length=32, salt=tenant_id.bytes, info=b"guidepost vault")
    return derived.derive(settings.API_KEY_PEPPER.encode())
