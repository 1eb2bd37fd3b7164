"""Start-up checks: a wrong deployment says so at once, with an id and what to do."""

import base64
import os
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from config import crypto

MIN_SECRET_LENGTH = 32


@register()
def secrets_are_strong(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    hint = 'Make one: python -c "import secrets; print(secrets.token_urlsafe(48))"'
    found: list[CheckMessage] = [
        Error(
            f"{name} is shorter than {MIN_SECRET_LENGTH} characters.",
            hint=hint,
            id="guidepost.E001",
        )
        for name in ("SECRET_KEY", "API_KEY_PEPPER")
        if len(getattr(settings, name)) < MIN_SECRET_LENGTH
    ]
    if settings.SECRET_KEY == settings.API_KEY_PEPPER:
        found.append(
            Error("SECRET_KEY and API_KEY_PEPPER are the same.", hint=hint, id="guidepost.E002")
        )
    return found


@register()
def signing_key_is_ed25519(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    try:
        key = load_pem_private_key(settings.TOKEN_SIGNING_KEY.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, Ed25519PrivateKey):
        return []
    return [
        Error(
            "TOKEN_SIGNING_KEY is not an Ed25519 private key in PEM.",
            hint="Make one: openssl genpkey -algorithm ed25519",
            id="guidepost.E003",
        )
    ]


@register()
def encryption_keys_are_sound(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    hint = (
        'Make one: python -c "import base64, os;'
        " print('k1:' + base64.b64encode(os.urandom(32)).decode())\""
    )
    try:
        keys = crypto.KeyRing(settings.ENCRYPTION_KEYS).keys
    except crypto.BadKeys as error:
        return [Error(f"ENCRYPTION_KEYS: {error}", hint=hint, id="guidepost.E005")]
    found: list[CheckMessage] = []
    if len(set(keys.values())) < len(keys):
        found.append(Error("ENCRYPTION_KEYS holds one key twice.", hint=hint, id="guidepost.E006"))
    others = _other_secrets()
    found += [
        Error(
            f"The key {key_id} of ENCRYPTION_KEYS is also used as {others[key]}.",
            hint=hint,
            id="guidepost.E007",
        )
        for key_id, key in keys.items()
        if key in others
    ]
    return found


def _other_secrets() -> dict[bytes, str]:
    """Every form in which a key's 32 bytes might stand in another secret, and its name."""
    found: dict[bytes, str] = {}
    for name in ("SECRET_KEY", "API_KEY_PEPPER"):
        text = getattr(settings, name)
        found[text.encode()] = name
        for decode in (base64.b64decode, base64.urlsafe_b64decode, bytes.fromhex):
            try:
                found[decode(text)] = name
            except ValueError:
                continue  # it is no such text
    try:
        key = load_pem_private_key(settings.TOKEN_SIGNING_KEY.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return found  # E003 says so
    if isinstance(key, Ed25519PrivateKey):
        found[key.private_bytes_raw()] = "TOKEN_SIGNING_KEY"
    return found


@register()
def models_have_prices(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    prices = settings.MODEL_PRICES
    wrong = not isinstance(prices, dict) or not all(
        isinstance(price, dict)
        and price.keys() <= {"prompt", "completion"}
        and all(isinstance(dollars, int | float) and dollars >= 0 for dollars in price.values())
        for price in prices.values()
    )
    hint = 'Dollars per million tokens: {"gpt-4.1-mini": {"prompt": 0.40, "completion": 1.60}}'
    if wrong:
        return [Error("MODEL_PRICES is not a table of prices.", hint=hint, id="guidepost.E011")]
    if settings.OPENAI_API_KEY and settings.OPENAI_MODEL not in prices:
        what = f"MODEL_PRICES has no price for {settings.OPENAI_MODEL}: money limits nobody."
        return [Warning(what, hint=hint, id="guidepost.W002")]
    return []


@register()
def nothing_fails_on_purpose(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.HTTPS and os.environ.get("FAILPOINTS"):
        hint = "It is for tests: unset it."
        return [Error("FAILPOINTS is set on a public server.", hint=hint, id="guidepost.E004")]
    return []


@register()
def anchors_are_signed(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.AUDIT_ANCHOR_FILE and len(settings.AUDIT_ANCHOR_KEY) < MIN_SECRET_LENGTH:
        return [
            Error(
                f"AUDIT_ANCHOR_KEY is shorter than {MIN_SECRET_LENGTH} characters.",
                hint="Make one, or unset AUDIT_ANCHOR_FILE where nothing is anchored.",
                id="guidepost.E010",
            )
        ]
    return []


@register()
def mails_reach_people(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.HTTPS and settings.EMAIL_BACKEND.endswith("filebased.EmailBackend"):
        text = f"Invitations and warnings become files in {settings.EMAIL_FILE_PATH}."
        return [Warning(text, hint="Set EMAIL_URL.", id="guidepost.W001")]
    return []
