"""Keyed digests: what is kept of a secret, so that a stolen table opens nothing."""

import hashlib
import hmac

from django.conf import settings


def secret_digest(secret: str) -> str:
    """Of 256 random bits, which need no slow hash; the pepper keys it."""
    return hmac.new(settings.API_KEY_PEPPER.encode(), secret.encode(), hashlib.sha256).hexdigest()
