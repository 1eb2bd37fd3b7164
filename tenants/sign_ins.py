"""What people do with their accounts, in the audit log. Loaded by `apps.py`.

It stands in the installation's chain: a person may act for several tenants. What somebody types
as their name is not kept unless it is one of ours, since people type passwords there.
"""

from typing import Any

from allauth.account import signals as account
from allauth.mfa import signals as mfa
from django.contrib.auth.signals import user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest

from accounts.models import User
from config.addresses import client_address
from tenants.audit import Actor, Outcome, acts_of, record
from tenants.models import ActorKind

UNKNOWN = "unknown"
# The signal of each package, and what it is called here.
ACTIONS = {
    account.user_logged_in: "session.started",  # once the second factor is shown
    account.password_changed: "password.changed",
    account.password_reset: "password.reset",
    account.email_changed: "email.changed",
    mfa.authenticator_added: "second_factor.added",
    mfa.authenticator_removed: "second_factor.removed",
    mfa.authenticator_reset: "recovery_codes.replaced",
}


@receiver(list(ACTIONS))
def _act(signal: Any, user: User, request: HttpRequest, **kwargs: Any) -> None:
    authenticator = kwargs.get("authenticator")
    details = {"type": authenticator.type} if authenticator else None
    _record(ACTIONS[signal], user, request, after=details)


@receiver(user_logged_out)
def _ended(request: HttpRequest, user: User | None, **kwargs: Any) -> None:
    if user is not None:
        _record("session.ended", user, request)


@receiver(user_login_failed)
def _refused(
    credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
) -> None:
    """The same work whether there is such a person or not."""
    name = credentials.get("username") or credentials.get("email") or ""
    user = User.objects.filter(email__iexact=name).first()
    after = {"reason": "password"}
    _record("session.refused", user, request, after=after, outcome=Outcome.REFUSED)


@receiver(mfa.authentication_failed)
def _wrong_code(user: User, request: HttpRequest, **kwargs: Any) -> None:
    after = {"reason": "code"}
    _record("session.refused", user, request, after=after, outcome=Outcome.REFUSED)


def _record(action: str, user: User | None, request: HttpRequest | None, **details: Any) -> None:
    """As the person: when they sign in, the request began as nobody's."""
    kind = ActorKind.STAFF if user is not None and user.is_staff else ActorKind.PERSON
    name = user.get_username() if user else UNKNOWN
    of = ("person", user.public_id) if user else ("", "")
    with acts_of(Actor(kind, name, address=client_address(request) if request else "")):
        record(action, tenant_id=None, of=of, **details)
