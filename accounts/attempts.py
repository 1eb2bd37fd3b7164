"""How often somebody may try to be a person. Counted by django-ratelimit in Redis.

Unlike the limits of tenants these fail closed: without Redis nobody signs in (503), for a counter
that is away is what whoever guesses passwords would wish for.

A limit on an account is a way to lock its owner out. So a browser in which the person has signed
in, or set a password by mail, carries a cookie and is counted by itself: strangers use up what
strangers may try, never that. Source: OWASP, "Slow down online guessing attacks with device
cookies".
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from allauth.account.internal import stagekit
from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare, salted_hmac
from django_ratelimit.core import get_usage

from config.addresses import client_address, limit_key
from config.errors import DomainError

DEVICE_COOKIE = f"{settings.COOKIE_PREFIX}device"
DEVICE_SECONDS = 180 * 86_400
_SALT = "guidepost.device"


class TooManyAttempts(DomainError):
    """The same whatever was tried: it says nothing of the account, nor whether the try was good."""

    code = "too_many_attempts"
    title = "Too many attempts"
    status = 429


@dataclass(frozen=True)
class Limit:
    """key: whose attempts are counted together; None counts nobody's."""

    name: str
    rate: str
    key: Callable[[HttpRequest], str | None]


def count(request: HttpRequest, limit: Limit) -> None:
    """Counts an attempt, before anything is looked up for it.

    Raises TooManyAttempts, or RedisError where nothing can be counted.
    """
    key = limit.key(request)
    if key is None:
        return
    usage = get_usage(
        request, group=limit.name, key=lambda group, request: key, rate=limit.rate, increment=True
    )
    if usage and usage["should_limit"]:
        seconds = max(1, usage["time_left"])
        minutes = -(-seconds // 60)
        raise TooManyAttempts(
            f"Wait {minutes} minute{'s' if minutes > 1 else ''}, then try again.",
            headers={"Retry-After": str(seconds)},
        )


# --- Whose attempts ----------------------------------------------------------------------------


def address(request: HttpRequest) -> str:
    """The caller's address as far as we can trust it; of IPv6 the network that one customer has."""
    return limit_key(client_address(request))


def account(request: HttpRequest) -> str | None:
    """The account that is tried, known or not; or this browser, if it is a known one of that."""
    email = _email(request.POST.get("login") or request.POST.get("email") or "")
    if not email:
        return None
    return device_of(request, email) or f"account:{email}"


def person(request: HttpRequest) -> str | None:
    return f"person:{request.user.pk}" if request.user.is_authenticated else None


def halfway(request: HttpRequest) -> str | None:
    """Who has given the password and is asked for the second factor. A new password, which whoever
    knows the old one cannot set, begins a new count."""
    login = stagekit.unstash_login(request, peek=True)
    if login is None or login.user is None:
        return None
    return f"halfway:{login.user.pk}:{_digest(login.user.password)}"


BY_ADDRESS = Limit("forms_per_address", "120/5m", address)
PASSWORDS = [
    Limit("passwords_per_address", "30/5m", address),
    Limit("passwords_per_account", "10/15m", account),
]
CODES = [
    Limit("codes_per_address", "30/5m", address),
    Limit("codes_per_person", "10/15m", halfway),
    Limit("codes_per_person_and_day", "50/d", halfway),
]
AGAIN = [Limit("confirmations_per_person", "10/15m", person)]
MAILS = [
    Limit("mails_per_address", "20/h", address),
    Limit("mails_per_account", "5/h", account),
    Limit("mails_per_person", "10/h", person),
]
TOKENS = [Limit("tokens_per_address", "30/h", address)]

# Forms by the name of their address; every other form counts only BY_ADDRESS.
LIMITS = {
    "account_login": PASSWORDS,
    "mfa_authenticate": CODES,
    "account_reauthenticate": AGAIN,
    "mfa_reauthenticate": AGAIN,
    "mfa_reauthenticate_webauthn": AGAIN,
    "mfa_activate_totp": AGAIN,
    "account_change_password": AGAIN,
    "account_reset_password": MAILS,
    "account_email": MAILS,
    "account_reset_password_from_key": TOKENS,
    "account_confirm_email": TOKENS,
    "invitation": TOKENS,
}


# --- Browsers that are known ---------------------------------------------------------------------


def device_of(request: HttpRequest, email: str) -> str | None:
    """The key of this browser, if the account of that address was opened in it."""
    try:
        device, owner = signing.loads(
            request.COOKIES.get(DEVICE_COOKIE, ""), salt=_SALT, max_age=DEVICE_SECONDS
        )
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return f"device:{device}" if constant_time_compare(owner, _digest(_email(email))) else None


def remember(response: HttpResponse, email: str) -> None:
    response.set_cookie(
        DEVICE_COOKIE,
        signing.dumps([secrets.token_urlsafe(16), _digest(_email(email))], salt=_SALT),
        max_age=DEVICE_SECONDS,
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )


def _email(text: str) -> str:
    return text.strip().lower()[:254]


def _digest(text: str) -> str:
    return salted_hmac(_SALT, text, algorithm="sha256").hexdigest()[:32]
