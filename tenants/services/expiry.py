"""Owners hear that a key is about to expire before the program that uses it does."""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from tenants import audit, mail
from tenants.models import ApiKey, Membership, Role
from tenants.querysets import TenantQuerySet
from tenants.services.keys import WARN_DAYS

logger = logging.getLogger(__name__)

# All that a worker may see of a key.
SHOWN = ("id", "client_id", "name", "expires_at", "warned_days", "tenant__name")


def warn_of_expiring_keys() -> int:
    """Mails the owners of each key that ends soon, once for each of WARN_DAYS.

    Safe to run at any time and any number of times at once. A mail that cannot be sent is logged
    and left for the next run. Returns the number of keys that were warned of.
    """
    now, warned = timezone.now(), 0
    for days in sorted(WARN_DAYS):  # the nearest first: a key gets one mail in a run
        for pk in list(_due(days).values_list("pk", flat=True)):
            try:
                warned += _warn(pk, days)
            except mail.MailUnavailable as error:
                logger.warning(
                    "key_warning_not_sent", extra={"key": pk, "reason": str(error.__cause__)}
                )
    logger.info("keys_warned_of", extra={"keys": warned, "since": now.isoformat()})
    return warned


def _due(days: int) -> TenantQuerySet:
    now = timezone.now()
    return ApiKey.objects.across_tenants().filter(
        Q(warned_days=None) | Q(warned_days__gt=days),
        revoked_at=None,
        expires_at__gt=now,
        expires_at__lte=now + timedelta(days=days),
        tenant__is_active=True,
    )


@transaction.atomic
def _warn(pk: int, days: int) -> bool:
    """False if another worker has the key in hand, or it is not due any more.

    The mail goes out before the commit: a crash in between repeats it, none suppresses it.
    """
    due = _due(days).filter(pk=pk).select_related("tenant").only(*SHOWN)
    key = due.select_for_update(skip_locked=True, no_key=True, of=("self",)).first()
    if key is None:
        return False
    owners = Membership.objects.for_tenant(key.tenant_id).filter(
        role=Role.OWNER, user__is_active=True
    )
    addresses = list(owners.order_by("id").values_list("user__email", flat=True))
    ApiKey.objects.for_tenant(key.tenant_id).filter(pk=pk).update(warned_days=days)
    audit.record(
        "key.expiry_warned",
        tenant_id=key.tenant_id,
        of=("key", key.client_id),
        after={"expires_at": key.expires_at.isoformat(), "days": days, "owners": len(addresses)},
    )
    if addresses:
        mail.send(
            "key_expiring",
            addresses,
            subject=f"An API key of {key.tenant.name} expires on {key.expires_at:%-d %B %Y}",
            key=key,
        )
    return True
