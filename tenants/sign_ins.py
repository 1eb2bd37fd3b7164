"""Sessions in the audit log: begun, ended, refused. Loaded by `apps.py`.

They stand in the installation's chain: a person may act for several tenants. What somebody types
as their name is not kept unless it is one of ours, since people type passwords there.
"""

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest

from accounts.models import User
from config.addresses import client_address
from tenants.audit import Actor, Outcome, acts_of, record
from tenants.models import ActorKind

UNKNOWN = "unknown"


@receiver(user_logged_in)
def _begun(request: HttpRequest, user: User, **kwargs: Any) -> None:
    _record("session.started", user, request)


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
    _record("session.refused", user, request, Outcome.REFUSED)


def _record(
    action: str,
    user: User | None,
    request: HttpRequest | None,
    outcome: Outcome = Outcome.DONE,
) -> None:
    kind = ActorKind.STAFF if user is not None and user.is_staff else ActorKind.PERSON
    name = user.get_username() if user else UNKNOWN
    with acts_of(Actor(kind, name, address=client_address(request) if request else "")):
        record(action, tenant_id=None, outcome=outcome)
