"""Tokens that are ours in everything but what a test changes."""

import base64
import json
import time

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings

from accounts.keyring import key_ring


def b64(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def good_claims(**changes):
    """The claims of a good token; None takes one away."""
    now = int(time.time())
    claims = {
        "iss": settings.PUBLIC_URL,
        "aud": settings.PUBLIC_URL,
        "sub": "gpc_x",
        "tenant": "00000000-0000-0000-0000-000000000000",
        "scope": "jobs:read",
        "token_type": "access",
        "jti": "1",
        "iat": now,
        "exp": now + 60,
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


def good_header(**changes):
    header = {"alg": "EdDSA", "typ": "at+jwt", "kid": key_ring().signing_kid} | changes
    return {name: value for name, value in header.items() if value is not None}


def forge(claims=None, headers=None, *, sign=None, body=None, head=None):
    """A compact JWS over exactly these bytes, by our own key unless `sign` does it.

    claims, headers  what is different (None takes away)
    body, head       the JSON text itself, for what no dictionary can hold
    """
    first = b64(head if head is not None else good_header(**(headers or {})))
    second = b64(body if body is not None else good_claims(**(claims or {})))
    signed = f"{first}.{second}"
    signature = (sign or key_ring().signing_key.sign)(signed.encode())
    return f"{signed}.{b64(signature)}"


def our_public_pem():
    ring = key_ring()
    public = ring.public_keys[ring.signing_kid]
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
