"""Start-up checks: a wrong deployment says so at once, with an id and what to do."""

import os
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

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
        return [Error("MODEL_PRICES is not a table of prices.", hint=hint, id="guidepost.E005")]
    if settings.OPENAI_API_KEY and settings.OPENAI_MODEL not in prices:
        what = f"MODEL_PRICES has no price for {settings.OPENAI_MODEL}: money limits nobody."
        return [Warning(what, hint=hint, id="guidepost.W001")]
    return []


@register()
def nothing_fails_on_purpose(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.HTTPS and os.environ.get("FAILPOINTS"):
        hint = "It is for tests: unset it."
        return [Error("FAILPOINTS is set on a public server.", hint=hint, id="guidepost.E004")]
    return []
