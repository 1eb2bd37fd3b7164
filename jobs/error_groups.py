"""Failures, grouped by their class and the shape of their message.

Whoever fails a job only inserts a row (a trigger does), so that a thousand workers that fail for
one reason do not wait for each other. The pump counts the rows a moment later, one pump at a time.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone

from config.database import as_dicts
from jobs.models import ErrorGroup, ErrorGroupCount, Failure
from tenants.audit import record

BATCH, BATCHES = 500, 20  # failures counted in one transaction, and transactions at a time
BUCKET = timedelta(minutes=10)
COUNTS_KEPT = timedelta(days=8)
GROUPS_KEPT = timedelta(days=90)  # since they were last seen

# What differs between two messages that mean the same: ids, quoted names, numbers.
VARIABLE = re.compile(
    r"""(?P<id>\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b(?=[a-f]*\d)[0-9a-f]{12,}\b)
    |(?P<name>`[^`]*`|"[^"]*"|“[^”]*”)
    |(?P<n>\d[\d,.]*\d|\d)""",
    re.VERBOSE | re.IGNORECASE,
)
MATCHES = {
    "<id>": r"[0-9a-fA-F-]+",
    "<name>": r"(?:`[^`]*`|\"[^\"]*\"|“[^”]*”)",
    "<n>": r"[\d,.]+",
}
NOTHING = "<no message>"
LONGEST, CUT = 300, "…"  # characters of a shape


def shape(detail: str) -> str:
    """The message with what is variable in it taken out: "At most <n> bytes; these are <n>."."""
    form = VARIABLE.sub(lambda found: f"<{found.lastgroup}>", " ".join(detail.split()))
    form = re.sub(r"(<id>|<name>|<n>)(?: ?\1)+", r"\1", form)  # one for several in a row
    if len(form) > LONGEST:
        form = re.sub(r"<[a-z]*$", "", form[:LONGEST]) + CUT
    return form or NOTHING


def pattern(of_shape: str) -> str:
    """A regular expression, for PostgreSQL and for Python, of the messages of a shape. For shapes
    of our own messages, those that a group has: a stranger's could be made to match slowly."""
    if of_shape == NOTHING:
        return r"^\s*$"
    words = "".join(
        _repeated(MATCHES[part]) if part in MATCHES else re.escape(part).replace(r"\ ", r"\s+")
        for part in re.split(r"(<id>|<name>|<n>)", of_shape.removesuffix(CUT))
    )
    return f"^\\s*{words}" + ("" if of_shape.endswith(CUT) else r"\s*$")


def _repeated(one: str) -> str:
    return f"{one}(?:\\s*{one})*" if one == MATCHES["<name>"] else f"{one}(?:\\s+{one})*"


# --- Counting -----------------------------------------------------------------------------------

# Only one pump counts at a time; another one has nothing to wait for.
ALONE = "SELECT pg_try_advisory_xact_lock(hashtext('guidepost error groups'))"
HOLD = "SELECT pg_advisory_lock(hashtext('guidepost error groups'))"
LET_GO = "SELECT pg_advisory_unlock(hashtext('guidepost error groups'))"
TAKE = """
DELETE FROM jobs_failure WHERE id IN (SELECT id FROM jobs_failure ORDER BY id LIMIT %s)
RETURNING tenant_id, event_id, error_code, detail, at
"""


def count() -> int:
    """Takes what has failed since into its groups, a batch at a time; how many failures.

    So many batches at most: the pump has other work, and comes again in a second.
    """
    taken = 0
    for _ in range(BATCHES):
        with transaction.atomic():
            failures = _take()
            for (code, form), theirs in _by_group(failures).items():
                _add(_seen(code, form, theirs), theirs)
        taken += len(failures)
        if len(failures) < BATCH:
            break
    return taken


@contextmanager
def uncounted() -> Iterator[None]:
    """No pump counts meanwhile: what failed stays where it was noted, for who has to look at it."""
    with connection.cursor() as cursor:
        cursor.execute(HOLD)
        try:
            yield
        finally:
            cursor.execute(LET_GO)


def _take() -> list[Failure]:
    with connection.cursor() as cursor:
        cursor.execute(ALONE)
        if not cursor.fetchone()[0]:
            return []
        cursor.execute(TAKE, [BATCH])
        return [Failure(**row) for row in as_dicts(cursor)]


def _by_group(failures: list[Failure]) -> dict[tuple[str, str], list[Failure]]:
    groups = defaultdict(list)
    for failure in failures:
        groups[failure.error_code, shape(failure.detail)].append(failure)
    return groups


def _seen(code: str, form: str, failures: list[Failure]) -> ErrorGroup:
    """The group, made if it is a new one, with what these failures tell of it."""
    first, last = min(f.at for f in failures), max(failures, key=lambda failure: failure.at)
    group, is_new = ErrorGroup.objects.get_or_create(
        error_code=code,
        shape=form,
        defaults={
            "count": len(failures),
            "first_seen_at": first,
            "last_seen_at": last.at,
            "last_event_id": last.event_id,
        },
    )
    if not is_new:
        seen = ErrorGroup.objects.filter(pk=group.pk)
        seen.update(
            count=F("count") + len(failures),
            last_seen_at=Greatest("last_seen_at", last.at),
            last_event_id=last.event_id,
        )
        resolved = seen.filter(state=ErrorGroup.State.RESOLVED, changed_at__lt=last.at)
        resolved.update(state=ErrorGroup.State.OPEN, is_back=True)
    return group


ADD = """
INSERT INTO jobs_errorgroupcount (group_id, tenant_id, since, count) VALUES (%s, %s, %s, %s)
ON CONFLICT (group_id, since, tenant_id)
DO UPDATE SET count = jobs_errorgroupcount.count + excluded.count
"""


def _add(group: ErrorGroup, failures: list[Failure]) -> None:
    buckets = Counter((failure.tenant_id, bucket(failure.at)) for failure in failures)
    with connection.cursor() as cursor:
        for (tenant_id, since), number in sorted(buckets.items()):
            cursor.execute(ADD, [group.pk, tenant_id, since, number])


def bucket(at: datetime) -> datetime:
    """The beginning of the ten minutes that it lies in."""
    return at - timedelta(minutes=at.minute % 10, seconds=at.second, microseconds=at.microsecond)


def forget() -> int:
    """Counts and groups that are older than anybody looks; how many groups."""
    now = timezone.now()
    ErrorGroupCount.objects.across_tenants().filter(since__lt=now - COUNTS_KEPT).delete()
    gone, _ = ErrorGroup.objects.filter(last_seen_at__lt=now - GROUPS_KEPT).delete()
    return gone


# --- What staff say of them ---------------------------------------------------------------------

ACTIONS = {
    ErrorGroup.State.RESOLVED: "error_group.resolved",
    ErrorGroup.State.IGNORED: "error_group.ignored",
    ErrorGroup.State.OPEN: "error_group.reopened",
}


@transaction.atomic
def set_state(group: ErrorGroup, state: ErrorGroup.State) -> bool:
    """False if it is in that state already."""
    others = ErrorGroup.objects.filter(pk=group.pk).exclude(state=state)
    changed = others.update(state=state, is_back=False, changed_at=timezone.now()) == 1
    if changed:
        record(
            ACTIONS[state],
            tenant_id=None,
            of=("error_group", group.pk),
            before={"state": group.state},
            after={"state": state, "error_code": group.error_code, "shape": group.shape},
        )
    return changed
