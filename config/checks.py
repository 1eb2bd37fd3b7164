"""Start-up checks: a wrong deployment says so at once, with an id and what to do."""

import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

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
def encryption_keys_are_keys(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    try:
        crypto.keys()
    except ValueError as error:
        hint = "Make one: echo k1:$(openssl rand -base64 32)"
        return [Error(str(error), hint=hint, id="guidepost.E003")]
    return []


@register()
def nothing_fails_on_purpose(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.HTTPS and os.environ.get("FAILPOINTS"):
        hint = "It is for tests: unset it."
        return [Error("FAILPOINTS is set on a public server.", hint=hint, id="guidepost.E004")]
    return []
