"""What a job says of itself to its tenant: looked up in one statement, and put into words.

`jobs_show`, `jobs_page` and `jobs_wait` are functions of the database (migration 0022), so that a
request asks once and a connection plans once.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from config.database import zulu
from config.isolation import rows_in_role
from jobs import cache, queue, sealed
from jobs.models import Job, JobStatus, Priority, Step, first_id_of

OPTIONS = ["language", "on_doubt", "report", "model", "cache", "fallback_models"]
# What is read is not counted: only a file has that step.
STEPS_DONE = {Step.READ: 0, Step.SUMMARIZE: 0, Step.CHECKLIST: 1, Step.REPAIR: 2}

# `jobs_wait` is strict: of a job that does not wait it is not asked.
SHOW = f"""
SELECT * FROM jobs_show(%(tenant)s, %(event_id)s) AS job LEFT JOIN LATERAL
    {queue.WAIT.format(job="CASE WHEN job.status = 'PENDING' THEN job.id END")} ON true
"""  # noqa: S608
PAGE = "SELECT * FROM jobs_page(%(tenant)s, %(status)s, %(before)s, %(most)s)"
FOUND = """
SELECT * FROM jobs_found(%(tenant)s, %(status)s, %(first)s, %(before)s, %(since)s, %(until)s,
    %(metadata)s, %(most)s)
"""
# An id is made by the clock of a web server, `created_at` by PostgreSQL's.
APART = timedelta(minutes=5)
EVER = datetime.max.replace(tzinfo=UTC) - APART
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Row(SimpleNamespace):
    """A job's columns by the names they have on `Job`; `supersedes` and `replay_of` are ids."""


def new(**columns: Any) -> Row:
    """A job of these columns that is about to be written."""
    return Row(**columns, **_AT_FIRST)


_AT_FIRST = {
    "status": JobStatus.PENDING,
    "attempt": 0,
    "passages_done": 0,
    "passages": 0,
    "replay_of": None,
    "cache_hit": False,
    "created_at": None,
    "started_at": None,
    "ended_at": None,
    "error_code": "",
    "error_detail": "",
    "llm_calls": 0,
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "unknown_calls": 0,
}


def find(tenant_id: UUID, event_id: UUID) -> Row | None:
    """The job with its `version`, why it is `waiting`, and its sealed result. None where the tenant
    has no such job."""
    return found(tenant_id, rows_in_role(SHOW, asked_for(tenant_id, event_id)))


def asked_for(tenant_id: UUID, event_id: UUID) -> dict[str, Any]:
    """What SHOW takes."""
    return {"tenant": tenant_id, "event_id": event_id, **queue.asked()}


def found(tenant_id: UUID, rows: list[dict[str, Any]]) -> Row | None:
    """The job in what SHOW gives."""
    return _row(rows[0], waiting=queue.of(rows[0]), tenant_id=tenant_id) if rows else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs a page holds: so many, the newest before one of them, of one status or all, made
    from `since` on and before `until`, with all of these pairs of metadata."""

    most: int
    status: str | None = None
    before: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    metadata: dict[str, str] | None = None


def page(tenant_id: UUID, wanted: Wanted) -> list[Row]:
    return listed(rows_in_role(*asked_for_page(tenant_id, wanted)))


def asked_for_page(tenant_id: UUID, wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """The question that gives a page, and what it takes."""
    asked: dict[str, Any] = {
        "tenant": tenant_id,
        "status": wanted.status,
        "before": wanted.before,
        "most": wanted.most,
    }
    if wanted.since is None and wanted.until is None and not wanted.metadata:
        return PAGE, asked
    since, until = max(wanted.since or NEVER, NEVER), min(wanted.until or EVER, EVER)
    ends = first_id_of(until + APART)
    return FOUND, asked | {
        "since": since,
        "until": until,
        "first": first_id_of(since - APART),
        "before": min(wanted.before or ends, ends),
        "metadata": json.dumps(wanted.metadata or {}),
    }


def listed(rows: list[dict[str, Any]]) -> list[Row]:
    """The jobs in what PAGE gives."""
    return [_row(row) for row in rows]


def _row(columns: dict[str, Any], **more: Any) -> Row:
    for name in ("metadata", "options"):  # Django's connections leave JSON as text
        columns[name] = json.loads(columns[name])
    return Row(**columns, **more)


# --- In words -------------------------------------------------------------------------------


def body_of(job: Job | Row) -> dict[str, Any]:
    """The members of an answer about a job, as `serializers.JobSerializer` describes them."""
    step, status = step_of(job), job.status
    steps = 3 if step == Step.REPAIR else 2
    path = f"/jobs/{job.event_id}"
    return {
        "event_id": str(job.event_id),
        "status": str(status),
        "step": step,
        "progress": {
            "steps_done": steps if status == JobStatus.COMPLETED else STEPS_DONE[Step(step)],
            "steps": steps,
            "passages_done": job.passages_done,
            "passages": job.passages,
        },
        "attempt": job.attempt,
        "title": job.title,
        "priority": PRIORITY[job.priority],
        "metadata": job.metadata,
        "options": {name: job.options[name] for name in OPTIONS if name in job.options},
        "supersedes": _event_id(job.supersedes),
        "replay_of": _event_id(job.replay_of),
        "cache": _cache(job),
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at),
        "completed_at": _time(job.ended_at),
        "error": {"code": job.error_code, "detail": job.error_detail} if job.error_code else None,
        "usage": {
            "llm_calls": job.llm_calls,
            "prompt_tokens": job.prompt_tokens,
            "completion_tokens": job.completion_tokens,
            "unknown_calls": job.unknown_calls,
        },
        "links": {
            "self": path,
            "events": f"{path}/events",
            "cancel": f"{path}/cancel",
            "retry": f"{path}/retry",
            "replay": f"{path}/replay",
        },
    }


def step_of(job: Job | Row) -> str:
    """Its column is what a worker begins with: a job that an earlier result answers moves on in
    none, and has all the same what the last one makes."""
    answered = job.status == JobStatus.COMPLETED and job.cache_hit
    return Step.CHECKLIST.value if answered else str(job.step)


def result_json(job: Row) -> str:
    """As it is stored; "null" until the job is COMPLETED. Raises `config.crypto.CannotUnseal`."""
    place = sealed.RESULT.format(job.event_id)
    return sealed.open_text(job.tenant_id, job.sealed_result, place) or "null"


PRIORITY = {int(value): label for value, label in Priority.choices}


def _event_id(link: Job | UUID | None) -> str | None:
    if link is None:
        return None
    return str(link.event_id if isinstance(link, Job) else link)


def _cache(job: Job | Row) -> str | None:
    if job.status != JobStatus.COMPLETED or not (job.cache_hit or cache.may_use_earlier(job)):
        return None
    return "hit" if job.cache_hit else "miss"


def _time(at: datetime | None) -> str | None:
    return None if at is None else zulu(at)
