"""Start-up checks: a wrong deployment says so at once, with an id and what to do."""

import base64
import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register, run_checks
from django.core.exceptions import ImproperlyConfigured

from config import crypto

MIN_LENGTH, MIN_DIFFERENT = 32, 12
DEFAULTS = ("django-insecure-", "change", "secret_key", "example", "password", "test")
SECRETS = ("SECRET_KEY", "API_KEY_PEPPER")
HINT = 'Make one: python -c "import secrets; print(secrets.token_urlsafe(48))"'


@register()
def secrets_are_strong(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = [
        Error(
            f"{name} is weak: {reason}.",
            hint=HINT,
            id="guidepost.E001",
        )
        for name in SECRETS
        if (reason := _weakness(getattr(settings, name)))
    ]
    encryption = [part.partition(":")[2] for part in settings.ENCRYPTION_KEYS.split(",")]
    values = [*(getattr(settings, name) for name in SECRETS), *map(str.strip, encryption)]
    if len(set(values)) < len(values):
        found.append(
            Error(
                "Two of SECRET_KEY, API_KEY_PEPPER and ENCRYPTION_KEYS are the same.",
                hint=HINT,
                id="guidepost.E002",
            )
        )
    return found


def _weakness(secret: str) -> str:
    if len(secret) < MIN_LENGTH:
        return f"it is shorter than {MIN_LENGTH} characters"
    if len(set(secret)) < MIN_DIFFERENT:
        return f"it has fewer than {MIN_DIFFERENT} different characters"
    if secret.lower().startswith(DEFAULTS):
        return "it looks like an example"
    return ""


@register()
def encryption_keys_are_keys(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    hint = "Make one: echo k1:$(openssl rand -base64 32)"
    try:
        crypto.keys()
    except ValueError as error:
        return [Error(str(error), hint=hint, id="guidepost.E003")]
    texts = [part.partition(":")[2] for part in settings.ENCRYPTION_KEYS.split(",")]
    if any(len(set(base64.b64decode(text))) < MIN_DIFFERENT for text in texts):
        return [Error("A key of ENCRYPTION_KEYS is not random.", hint=hint, id="guidepost.E003")]
    return []


@register()
def nothing_fails_on_purpose(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.HTTPS and os.environ.get("FAILPOINTS"):
        hint = "It is for tests: unset it."
        return [Error("FAILPOINTS is set on a public server.", hint=hint, id="guidepost.E004")]
    return []


@register()
def nothing_is_shown_to_strangers(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.HTTPS and settings.DEBUG:
        hint = "Unset DEBUG: its error pages show settings and code."
        return [Error("DEBUG is on on a public server.", hint=hint, id="guidepost.E005")]
    return []


@register()
def hosts_are_named(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if "*" in settings.ALLOWED_HOSTS:
        hint = "Name the hosts: whoever may choose ours chooses where links lead."
        return [Error("ALLOWED_HOSTS allows every host.", hint=hint, id="guidepost.E006")]
    return []


@register()
def mail_arrives(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.HTTPS and settings.EMAIL_BACKEND.endswith("dummy.EmailBackend"):
        hint = "Set EMAIL_URL: invitations and forgotten passwords need it."
        return [Warning("Mail is dropped.", hint=hint, id="guidepost.W001")]
    return []


def refuse_to_start() -> None:
    """For processes that are not started by manage.py, which does this by itself.

    Raises ImproperlyConfigured with every error that the checks find.
    """
    found = [message for message in run_checks() if message.is_serious()]
    if errors := [str(message) for message in found if not message.is_silenced()]:
        raise ImproperlyConfigured("\n".join(errors))
