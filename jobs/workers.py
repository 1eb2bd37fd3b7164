"""Which workers there are: each says now and then that it is there, and when it last did something.

For the staff's overview. What holds a job is its lease (jobs/leases.py), and what restarts a worker
that consumes nothing is its supervisor (config/alive.py).
"""

from datetime import timedelta

from django.db import connection
from django.utils import timezone

from jobs.models import Worker

GONE = timedelta(seconds=30)  # a worker that was not heard of for so long is not there
FORGOTTEN = timedelta(days=1)

SEEN = """
INSERT INTO jobs_worker (name, started_at, seen_at) VALUES (%(name)s, now(), now())
ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at,
    started_at = CASE WHEN %(starts)s THEN excluded.started_at ELSE jobs_worker.started_at END
"""


def seen(name: str, *, starts: bool = False) -> None:
    """The worker is there, or has just begun."""
    with connection.cursor() as cursor:
        cursor.execute(SEEN, {"name": name[:200], "starts": starts})


def pumped(name: str) -> None:
    """The worker has just done what the pump does."""
    Worker.objects.filter(name=name[:200]).update(pumped_at=timezone.now())


def forget() -> None:
    """Those that are gone for good."""
    Worker.objects.filter(seen_at__lt=timezone.now() - FORGOTTEN).delete()
