"""How things stand, for the overview: each question takes milliseconds, whatever there is.

Where counting everything would take longer, it stops at a limit, which is said. What has ended and
what calls cost is of the last hour, by index; what failed is counted as it comes (error_groups).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from config import charts
from config.database import as_dicts
from jobs import error_groups
from jobs.models import (
    BulkAction,
    Circuit,
    ErrorGroupCount,
    Job,
    JobStatus,
    TenantQueue,
    Upload,
    Worker,
)
from jobs.workers import GONE

COUNTED, QUEUE_COUNTED = 10_000, 100  # waiting jobs of all tenants, and of one
SAMPLE = 5_000  # the newest ended jobs and calls that times are taken from
QUEUES_SHOWN = 20
RUNNING_SHOWN = 50
HOURS_PLOTTED = 24
SEALED_WITHIN = timedelta(minutes=2)


@dataclass(frozen=True)
class Count:
    """`is_more`: counting stopped there."""

    number: int
    is_more: bool = False

    def __str__(self) -> str:
        return f"{self.number:,}" + ("+" if self.is_more else "")


def waiting() -> Count:
    pending = Job.objects.across_tenants().filter(status=JobStatus.PENDING, deleted_at=None)
    number = pending.order_by("-event_id")[: COUNTED + 1].count()
    return Count(min(number, COUNTED), number > COUNTED)


LONGEST = """
SELECT min(head.created_at) AS submitted FROM jobs_tenantqueue AS queue
CROSS JOIN LATERAL (
    SELECT created_at FROM jobs_job AS job
    WHERE job.tenant_id = queue.tenant_id AND job.status = 'PENDING' AND job.ready
    ORDER BY job.priority DESC, job.id LIMIT 1
) AS head
WHERE queue.is_active AND NOT queue.is_paused AND queue.running < queue.max_running
"""


def longest_waiting() -> datetime | None:
    """When the job was submitted that waits longest of those that nothing but a worker keeps from
    running: the next of its tenant, neither paused nor at its cap."""
    [row] = _rows(LONGEST)
    submitted: datetime | None = row["submitted"]
    return submitted


ENDED = """
SELECT count(*) FILTER (WHERE status = 'COMPLETED') AS completed,
    count(*) FILTER (WHERE status = 'FAILED') AS failed,
    count(*) FILTER (WHERE status = 'CANCELLED') AS cancelled,
    count(*) FILTER (WHERE status = 'EXPIRED') AS expired,
    count(*) AS sampled,
    extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY started_at - created_at)
        FILTER (WHERE run = 1))::float AS wait_p50,
    extract(epoch FROM percentile_cont(0.95) WITHIN GROUP (ORDER BY started_at - created_at)
        FILTER (WHERE run = 1))::float AS wait_p95,
    extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY ended_at - started_at)
        FILTER (WHERE status = 'COMPLETED' AND run = 1))::float AS took_p50
FROM (
    SELECT status, started_at, created_at, ended_at, run FROM jobs_job
    WHERE ended_at > %(since)s ORDER BY ended_at DESC LIMIT %(sample)s
) AS latest
"""


def ended_in_the_last_hour() -> dict[str, Any]:
    """Numbers by state, seconds of waiting and of work; of at most SAMPLE jobs."""
    [row] = _rows(ENDED, since=timezone.now() - timedelta(hours=1), sample=SAMPLE)
    return row | {"is_more": row["sampled"] >= SAMPLE}


THROUGHPUT = """
SELECT date_bin('30 minutes', ended_at, 'epoch') AS since, count(*) AS ended
FROM jobs_job WHERE ended_at > %(since)s GROUP BY 1
"""


def throughput() -> charts.Plot:
    """Jobs that ended, by half hours of the last day."""
    step, now = timedelta(minutes=30), timezone.now()
    last = now - (now - datetime(1970, 1, 1, tzinfo=now.tzinfo)) % step
    span = [last - n * step for n in reversed(range(HOURS_PLOTTED * 2))]
    ended = {row["since"]: row["ended"] for row in _rows(THROUGHPUT, since=span[0])}
    points = [charts.Point(f"{at:%H:%M}", ended.get(at, 0)) for at in span]
    return charts.bars(points, "jobs", "Jobs that ended, by half hours of the last day, in UTC")


MODELS = """
SELECT coalesce(nullif(model, ''), requested_model) AS model, count(*) AS calls,
    count(*) FILTER (WHERE outcome IN ('error', 'unknown', 'lost')) AS in_vain,
    extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY ended_at - started_at))::float
        AS p50,
    extract(epoch FROM percentile_cont(0.95) WITHIN GROUP (ORDER BY ended_at - started_at))::float
        AS p95,
    sum(prompt_tokens + completion_tokens) AS tokens, sum(coalesce(cost_micros, 0)) AS micros
FROM (SELECT * FROM jobs_llmcall ORDER BY id DESC LIMIT %(sample)s) AS latest
WHERE started_at > %(since)s GROUP BY 1 ORDER BY calls DESC
"""


def models_in_the_last_hour() -> list[dict[str, Any]]:
    """Calls, latency in seconds, tokens and cost by model; of at most the newest SAMPLE calls."""
    return _rows(MODELS, since=timezone.now() - timedelta(hours=1), sample=SAMPLE)


def failures() -> list[dict[str, Any]]:
    """By error class: in the last hour, to ten minutes, and in the last day."""
    now = timezone.now()
    day = ErrorGroupCount.objects.across_tenants().filter(since__gt=now - timedelta(days=1))
    hour = error_groups.bucket(now - timedelta(hours=1))
    totals: dict[str, dict[str, Any]] = {}
    rows = day.values("group__error_code", "since").annotate(number=Sum("count"))
    for row in rows:
        code = row["group__error_code"]
        total = totals.setdefault(code, {"code": code, "hour": 0, "day": 0})
        total["day"] += row["number"]
        total["hour"] += row["number"] if row["since"] >= hour else 0
    return sorted(totals.values(), key=lambda total: (-total["hour"], -total["day"]))


QUEUES = """
SELECT tenant.slug, tenant.id, queue.running, queue.max_running, queue.weight, queue.is_paused,
    least(ahead.count, %(limit)s) AS waiting, ahead.count > %(limit)s AS is_more,
    100.0 * queue.running / greatest(sum(queue.running) OVER (), 1) AS share
FROM jobs_tenantqueue AS queue
JOIN tenants_tenant AS tenant ON tenant.id = queue.tenant_id
CROSS JOIN LATERAL (
    SELECT count(*) FROM (
        SELECT FROM jobs_job AS job
        WHERE job.tenant_id = queue.tenant_id AND job.status = 'PENDING' AND job.ready
        LIMIT %(limit)s + 1
    ) AS first_of_them
) AS ahead
WHERE queue.is_active OR queue.running > 0
ORDER BY ahead.count DESC, queue.running DESC, tenant.slug LIMIT %(shown)s
"""


def queues() -> list[dict[str, Any]]:
    """The tenants with jobs running or waiting, those with most waiting first; of a thousand
    tenants each is counted to a hundred."""
    return _rows(QUEUES, limit=QUEUE_COUNTED, shown=QUEUES_SHOWN)


def paused() -> list[tuple[str, UUID]]:
    """Slugs and ids of tenants whose queues are paused."""
    queues = TenantQueue.objects.filter(is_paused=True).order_by("tenant__slug")
    return list(queues.values_list("tenant__slug", "tenant")[:QUEUES_SHOWN])


@dataclass(frozen=True)
class Busy:
    """A worker, and what it holds."""

    name: str
    worker: Worker | None
    is_there: bool
    jobs: list[dict[str, Any]]


def workers() -> list[Busy]:
    """Those heard of in the last day, and whoever holds a job besides."""
    now = timezone.now()
    held: dict[str, list[dict[str, Any]]] = {}
    running = Job.objects.across_tenants().filter(status=JobStatus.PROCESSING)
    columns = ("worker", "event_id", "tenant__slug", "step", "attempt", "lease_expires_at")
    for job in running.order_by("lease_expires_at").values(*columns)[:RUNNING_SHOWN]:
        held.setdefault(job["worker"], []).append(job)
    reading = Upload.objects.across_tenants().filter(lease_expires_at__gt=now)
    of_upload = ("worker", "job__event_id", "tenant__slug", "attempt", "lease_expires_at")
    for upload in reading.values(*of_upload)[:RUNNING_SHOWN]:
        shown = {**upload, "event_id": upload["job__event_id"], "step": "read"}
        held.setdefault(upload["worker"], []).append(shown)
    known = {worker.name: worker for worker in Worker.objects.order_by("name")}
    busy = []
    for name in sorted({*known, *held}):
        jobs = held.get(name, [])
        heard = name in known and known[name].seen_at > now - GONE
        renews = any(job["lease_expires_at"] > now for job in jobs)
        busy.append(Busy(name, known.get(name), heard or renews, jobs))
    return busy


UNSEALED = """
SELECT entry.at FROM (
    SELECT id, at FROM tenants_auditentry
    WHERE action <> 'job.submitted' AND at < %(before)s ORDER BY at DESC, id DESC LIMIT 1
) AS entry
LEFT JOIN tenants_auditseal AS seal ON seal.entry_id = entry.id WHERE seal.entry_id IS NULL
"""


def sealing_is_late() -> bool:
    """Whether the last entry of the audit log that should have its seal by now has none."""
    return bool(_rows(UNSEALED, before=timezone.now() - SEALED_WITHIN))


def circuits() -> list[Circuit]:
    return list(Circuit.objects.order_by("name"))


def bulk_actions_running() -> int:
    return BulkAction.objects.filter(state=BulkAction.State.RUNNING).count()


def _rows(question: str, **parameters: Any) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(question, parameters)
        return as_dicts(cursor)
