"""Start-up checks: a wrong deployment says so at once, with an id and what to do."""

import base64
import os
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register, run_checks
from django.core.exceptions import ImproperlyConfigured

from config import crypto

MIN_LENGTH, MIN_DIFFERENT = 32, 12
MAX_PROVIDER = 40  # characters of a name
DEFAULTS = ("django-insecure-", "change", "secret_key", "example", "password", "test")
SECRETS = ("SECRET_KEY", "API_KEY_PEPPER")
REACH_NOBODY = tuple(f"{name}.EmailBackend" for name in ("dummy", "console", "filebased"))
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
    if settings.SECRET_KEY == settings.API_KEY_PEPPER:
        found.append(
            Error("SECRET_KEY and API_KEY_PEPPER are the same.", hint=HINT, id="guidepost.E002")
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
def encryption_keys_are_sound(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    hint = (
        'Make one: python -c "import base64, os;'
        " print('k1:' + base64.b64encode(os.urandom(32)).decode())\""
    )
    try:
        keys = crypto.KeyRing(settings.ENCRYPTION_KEYS).keys
    except crypto.BadKeys as error:
        return [Error(f"ENCRYPTION_KEYS: {error}", hint=hint, id="guidepost.E005")]
    found: list[CheckMessage] = [
        Error(f"The key {key_id} of ENCRYPTION_KEYS is not random.", hint=hint, id="guidepost.E003")
        for key_id, key in keys.items()
        if len(set(key)) < MIN_DIFFERENT
    ]
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
    for name in SECRETS:
        text = getattr(settings, name)
        found[text.encode()] = name
        for decode in (base64.b64decode, base64.urlsafe_b64decode, bytes.fromhex):
            try:
                found[decode(text)] = name
            except ValueError:
                continue  # it is no such text
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
    models = dict.fromkeys([settings.OPENAI_MODEL, *settings.MODELS])
    free = [model for model in models if model not in prices]
    if settings.OPENAI_API_KEY and free:
        what = f"MODEL_PRICES has no price for {', '.join(free)}: there money limits nobody."
        return [Warning(what, hint=hint, id="guidepost.W002")]
    return []


@register()
def providers_are_addresses(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Keys of tenants are sent there, and texts of theirs."""
    schemes = ("https",) if settings.HTTPS else ("https", "http")
    providers = settings.PROVIDERS
    if isinstance(providers, dict) and all(
        _is_address(url, schemes) and 0 < len(name) <= MAX_PROVIDER
        for name, url in providers.items()
    ):
        return []
    hint = 'Names and where they are: {"openai": "https://api.openai.com/v1"}'
    return [Error("PROVIDERS is not a table of https addresses.", hint=hint, id="guidepost.E020")]


def _is_address(url: Any, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:  # of brackets that hold no address
        return False
    return (
        parts is not None
        and bool(parts.hostname)
        and parts.scheme in schemes
        and not (parts.username or parts.password or parts.query or parts.fragment)
    )


@register()
def nothing_fails_on_purpose(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.HTTPS and os.environ.get("FAILPOINTS"):
        hint = "It is for tests: unset it."
        return [Error("FAILPOINTS is set on a public server.", hint=hint, id="guidepost.E004")]
    return []


@register()
def anchors_are_signed(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.AUDIT_ANCHOR_FILE and len(settings.AUDIT_ANCHOR_KEY) < MIN_LENGTH:
        return [
            Error(
                f"AUDIT_ANCHOR_KEY is shorter than {MIN_LENGTH} characters.",
                hint="Make one, or unset AUDIT_ANCHOR_FILE where nothing is anchored.",
                id="guidepost.E010",
            )
        ]
    return []


@register()
def nothing_is_shown_to_strangers(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.HTTPS and settings.DEBUG:
        hint = "Unset DEBUG: its error pages show settings and code."
        return [Error("DEBUG is on on a public server.", hint=hint, id="guidepost.E012")]
    return []


@register()
def hosts_are_named(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if "*" in settings.ALLOWED_HOSTS:
        hint = "Name the hosts: whoever may choose ours chooses where links lead."
        return [Error("ALLOWED_HOSTS allows every host.", hint=hint, id="guidepost.E013")]
    return []


@register()
def mail_arrives(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.HTTPS and settings.EMAIL_BACKEND.endswith(REACH_NOBODY):
        hint = "Set EMAIL_URL to a server: invitations and forgotten passwords need it."
        return [Warning("Mail reaches nobody.", hint=hint, id="guidepost.W001")]
    return []


def refuse_to_start() -> None:
    """For processes that are not started by manage.py, which does this by itself.

    Raises ImproperlyConfigured with every error that the checks find.
    """
    found = [message for message in run_checks() if message.is_serious()]
    if errors := [str(message) for message in found if not message.is_silenced()]:
        raise ImproperlyConfigured("\n".join(errors))
