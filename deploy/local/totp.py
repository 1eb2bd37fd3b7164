"""The codes of an authenticator app (RFC 6238), for the local staff user."""

import base64
import hashlib
import hmac
from urllib.parse import quote, urlencode

STEP = 30  # seconds


def totp(secret: str, at: float) -> str:
    """Six digits for that time; `secret` is base32."""
    key, counter = base64.b32decode(secret), int(at) // STEP
    digest = hmac.digest(key, counter.to_bytes(8, "big"), hashlib.sha1)
    start = digest[-1] & 15
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


def otpauth(account: str, secret: str) -> str:
    """What an app takes in, as a link or a QR code."""
    return f"otpauth://totp/{quote(account)}?{urlencode({'secret': secret, 'issuer': 'Guidepost'})}"
