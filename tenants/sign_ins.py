"""What people do with their accounts, in the audit log. Of no tenant: a person may have several."""

from typing import Any

from allauth.account import signals as account
from allauth.mfa import signals as mfa
from django.contrib.auth.signals import user_logged_out
from django.dispatch import receiver

from accounts.models import User
from tenants import audit
from tenants.models import ActorKind

# The signal of each package, and what it is called here.
ACTIONS = {
    account.user_logged_in: "person.signed_in",
    account.password_changed: "password.changed",
    account.password_reset: "password.reset",
    account.email_changed: "email.changed",
    mfa.authenticator_added: "second_factor.added",
    mfa.authenticator_removed: "second_factor.removed",
    mfa.authenticator_reset: "recovery_codes.replaced",
}


def _record(action: str, user: Any, **details: Any) -> None:
    """As the person: when they sign in, the request began as nobody's."""
    before = audit.current_actor.get()
    actor = audit.Actor(ActorKind.PERSON, user.email, address=before.address)
    token = audit.current_actor.set(actor)
    try:
        audit.record(action, tenant_id=None, of=("person", user.email), **details)
    finally:
        audit.current_actor.reset(token)


@receiver(list(ACTIONS))
def _act(signal: Any, user: Any, **kwargs: Any) -> None:
    authenticator = kwargs.get("authenticator")
    _record(ACTIONS[signal], user, after={"type": authenticator.type} if authenticator else None)


@receiver(user_logged_out)
def _signed_out(user: User | None, **kwargs: Any) -> None:
    if user is not None:
        _record("person.signed_out", user)


@receiver(mfa.authentication_failed)
def _wrong_code(user: Any, **kwargs: Any) -> None:
    _record("person.signed_in", user, outcome=audit.Outcome.REFUSED, after={"reason": "code"})
