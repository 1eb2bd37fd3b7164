"""The entries of a tenant's audit log, newest first, as it asks for them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from config.errors import InvalidCursor
from tenants.models import AuditEntry

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXACT = ("action", "actor", "object_type", "object_id", "outcome")


def page(tenant_id: UUID, query: dict[str, Any]) -> tuple[list[AuditEntry], str | None]:
    """So many entries as are asked for, and the cursor to go on with, None at the end.

    query  as AuditQuerySerializer gives it. Raises InvalidCursor
    """
    at, skip = _position(query.get("cursor", ""))
    limit = query["limit"]
    entries = _matching(tenant_id, query)
    if at is not None:
        entries = entries.filter(at__lte=at)
    rows = list(entries[skip : skip + limit + 1])
    shown = rows[:limit]
    return shown, _cursor(shown, (at, skip)) if len(rows) > limit else None


def _matching(tenant_id: UUID, query: dict[str, Any]) -> QuerySet[AuditEntry]:
    entries = AuditEntry.objects.for_tenant(tenant_id).select_related("seal")
    entries = entries.filter(**{name: query[name] for name in EXACT if name in query})
    if "after" in query:
        entries = entries.filter(at__gte=query["after"])
    if "before" in query:
        entries = entries.filter(at__lt=query["before"])
    return entries.order_by("-at", "-id")


# A cursor is the time of the last entry shown, and how many with just that time were shown. Ids
# stay inside: they count everybody's entries.


def _position(cursor: str) -> tuple[datetime | None, int]:
    """Raises InvalidCursor."""
    if not cursor:
        return None, 0
    try:
        microseconds, skip = (int(part, 16) for part in cursor.split("-"))
        at = EPOCH + timedelta(microseconds=microseconds)
    except (ValueError, OverflowError):
        raise InvalidCursor from None
    if not 0 <= skip <= 10_000:
        raise InvalidCursor
    return at, skip


def _cursor(shown: list[AuditEntry], began: tuple[datetime | None, int]) -> str:
    last = shown[-1].at
    alike = sum(entry.at == last for entry in shown)
    if began[0] == last:
        alike += began[1]
    return f"{(last - EPOCH) // timedelta(microseconds=1):x}-{alike:x}"
