"""Between the door and the chain: files wait here to be read, by any number of readers.

A job that came as a file is PENDING at step `read`, and no worker of the chain may claim it. Its
Upload has a lease and a count of attempts of its own. Once it is read the job goes on as any other;
if it cannot be, the job is FAILED. A reader that dies loses its lease, and three make `poison`.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from config import alive
from config.failpoints import failpoint
from jobs import budget, cache, dispatch, sealed
from jobs.documents import sandbox
from jobs.documents.formats import Format, Reading, Unreadable
from jobs.errors import DOCUMENT_POISON, POISON, SAFE_DETAIL, BudgetExhausted, QuotaExceeded
from jobs.history import say
from jobs.models import Document, Job, JobStatus, Step, Upload
from jobs.options import asked_by, resolve
from jobs.persistence import persistently
from llm.estimate import estimate
from tenants import vault
from tenants.audit import record
from tenants.preferences import preferences_of

logger = logging.getLogger(__name__)

# The child has ended by then, and we have said so.
LEASE = timedelta(seconds=sandbox.WALL_SECONDS + 20)
ALIVE_SECONDS = 2.0
MAX_ATTEMPTS = 3
AT_ONCE = 2  # documents of one tenant: the others' must not wait behind them
# PostgreSQL has an infinity for this, and Python has none to read it into.
NEVER = datetime(9999, 1, 1, tzinfo=UTC)
# Of a job whose document is to be read: it is not ready, and will not become so by waiting.
UNREAD: dict[str, Any] = {"step": Step.READ, "ready": False, "due_at": NEVER}

FREE = (
    "(upload.lease_expires_at IS NULL OR upload.lease_expires_at < statement_timestamp())"
    " AND upload.attempt < %(max)s"
)

# The tenant that has waited longest for its turn, then priority, then age. The tenant's row is
# locked, so that what is read of it at once is exact.
CLAIM = f"""
WITH fairest AS (
    SELECT tenant_id FROM jobs_tenantqueue AS queue
    WHERE NOT is_paused
        AND tenant_id IN (SELECT tenant_id FROM jobs_upload AS upload WHERE {FREE})
        AND (
            SELECT count(*) FROM jobs_upload AS held
            WHERE held.tenant_id = queue.tenant_id
                AND held.lease_expires_at > statement_timestamp()
        ) < %(at_once)s
    ORDER BY last_read_at NULLS FIRST, tenant_id
    LIMIT 1
    FOR NO KEY UPDATE OF queue
), next AS (
    SELECT upload.job_id, job.event_id
    FROM jobs_upload AS upload JOIN jobs_job AS job ON job.id = upload.job_id
    WHERE upload.tenant_id = (SELECT tenant_id FROM fairest)
        AND job.deadline_at > statement_timestamp()
        AND {FREE}
    ORDER BY job.priority DESC, job.id
    LIMIT 1
    FOR UPDATE OF upload SKIP LOCKED
), served AS (
    UPDATE jobs_tenantqueue SET last_read_at = clock_timestamp()
    WHERE tenant_id = (SELECT tenant_id FROM fairest) AND EXISTS (SELECT FROM next)
)
UPDATE jobs_upload AS upload SET
    attempt = attempt + 1,
    worker = %(worker)s,
    lease_expires_at = clock_timestamp() + %(lease)s
FROM next WHERE upload.job_id = next.job_id
RETURNING upload.job_id, next.event_id, upload.tenant_id, document_id, media_type, attempt, worker
"""  # noqa: S608  (of our own parts)

WAITING = (
    f"SELECT count(*) FROM (SELECT FROM jobs_upload AS upload WHERE {FREE} LIMIT %(limit)s) AS free"  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file that was let in at the door."""

    content: bytes
    format: Format


@dataclass(frozen=True, slots=True)
class Claim:
    """A reader's hold on an upload. `job_id` and `attempt` together name it in every write."""

    job_id: int
    event_id: UUID
    tenant_id: UUID
    document_id: int
    media_type: str
    attempt: int
    worker: str


def keep(job: Job, incoming: Incoming) -> None:
    """Keeps the file for whoever reads it, in the transaction that accepts the job."""
    place = sealed.ORIGINAL.format(job.pk)
    Upload(
        job=job,
        tenant_id=job.tenant_id,
        document_id=job.document_id,
        media_type=incoming.format,
        sealed_original=vault.seal(job.tenant_id, incoming.content, place),
    ).save(force_insert=True)


def read_next(worker: str) -> str | None:
    """Reads the document that should be read next; its job's event_id, or None if there is none.

    However it ends is written to the job.
    """
    claim = _claim(worker)
    if claim is None:
        return None
    failpoint("after_document_claim")
    dispatch.wake_reader()  # more may wait
    logger.info("document_claimed", extra={"event_id": claim.event_id, "attempt": claim.attempt})
    original = persistently(lambda: _original(claim))
    connection.close()  # back to the pool: reading takes seconds
    if original is not None:
        _read(claim, original)
    return str(claim.event_id)


def _read(claim: Claim, original: bytes) -> None:
    kind = Format(claim.media_type)
    try:
        with _alive():
            limit = settings.GUIDELINE_MAX_BYTES
            reading = sandbox.read_document(original, kind, text_bytes=limit)
    except Unreadable as error:
        reason = error
        persistently(lambda: _refuse(claim, reason))
    else:
        failpoint("before_document_commit")
        persistently(lambda: _go_on(claim, reading))


@contextmanager
def _alive() -> Iterator[None]:
    """Says so meanwhile: a reader that takes no message for long is taken for stuck. It cannot be
    for longer than the sandbox lets it."""
    done = threading.Event()

    def touch() -> None:
        while not done.wait(ALIVE_SECONDS):
            alive.touch()

    thread = threading.Thread(target=touch, name="reading", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _claim(worker: str) -> Claim | None:
    parameters: dict[str, Any] = {
        "worker": worker,
        "lease": LEASE,
        "max": MAX_ATTEMPTS,
        "at_once": AT_ONCE,
    }
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, parameters)
        row = cursor.fetchone()
        return Claim(*row) if row else None


def _original(claim: Claim) -> bytes | None:
    """None where the job was cancelled meanwhile."""
    upload = Upload.objects.for_tenant(claim.tenant_id).filter(job_id=claim.job_id).first()
    return upload.original if upload else None


@transaction.atomic
def _go_on(claim: Claim, reading: Reading) -> None:
    """The job has a text now, and goes on; or it is FAILED, where no budget holds what it costs."""
    if not _holds(claim):
        return
    document = Document.objects.for_tenant(claim.tenant_id).get(pk=claim.document_id)
    document.take_text(reading.text)
    document.page_starts = reading.page_starts
    document.save(update_fields=["sealed_text", "digest", "page_starts"])
    what = {"digest": document.digest, "bytes": len(reading.text.encode())}
    pages = {"pages": len(reading.page_starts)} if reading.page_starts else {}
    of = ("job", claim.event_id)
    record("document.read", tenant_id=claim.tenant_id, of=of, after=what | pages)
    job = _job(claim).select_related("document").defer("document__sealed_text").get()
    known = {"fingerprint": cache.fingerprint(job)}
    own_key = preferences_of(claim.tenant_id).own_key
    asked = asked_by(resolve(job.options), own_key=own_key)
    try:
        with transaction.atomic():
            _job(claim).update(step=Step.SUMMARIZE, ready=True, due_at=Now(), **known)
            budget.reserve_what_is_known_now(
                claim.tenant_id, claim.job_id, estimate(reading.text), asked
            )
    except QuotaExceeded:  # it can be retried once there is more: its text is there
        code = BudgetExhausted.code
        _fail(claim, code, SAFE_DETAIL[code], step=Step.SUMMARIZE, due_at=Now(), **known)
        return
    transaction.on_commit(dispatch.wake_worker)
    dispatch.changed(claim.event_id)
    logger.info("document_read", extra={"event_id": claim.event_id, "attempt": claim.attempt})


@transaction.atomic
def _refuse(claim: Claim, reason: Unreadable) -> None:
    if _holds(claim):
        _fail(claim, reason.code, reason.detail)


def _holds(claim: Claim) -> bool:
    """Locks the job, before its upload as everybody does. False if the upload is another's now, or
    the job was cancelled."""
    job = _job(claim).select_for_update(no_key=True).first()
    held = job and Upload.objects.for_tenant(claim.tenant_id).filter(
        job_id=claim.job_id, attempt=claim.attempt
    )
    if not held or not held.exists():
        logger.warning("stale_reading_dropped", extra={"event_id": claim.event_id})
        return False
    return True


def _job(claim: Claim) -> Any:
    waiting = Job.objects.for_tenant(claim.tenant_id).filter(pk=claim.job_id)
    return waiting.filter(status=JobStatus.PENDING, step=Step.READ)


def _fail(claim: Claim, code: str, detail: str, **also: Any) -> None:
    say(claim.worker, code)
    failed = {"status": JobStatus.FAILED, "error_code": code, "error_detail": detail[:500]}
    _job(claim).update(**failed, ended_at=Now(), **also)
    dispatch.changed(claim.event_id)
    logger.warning("document_not_read", extra={"event_id": claim.event_id, "code": code})


# --- For the pump -----------------------------------------------------------------------------


def count_waiting(limit: int) -> int:
    """How many documents wait for a reader; at most `limit` matter."""
    with connection.cursor() as cursor:
        cursor.execute(WAITING, {"max": MAX_ATTEMPTS, "limit": limit})
        return int(cursor.fetchone()[0])


def give_up() -> int:
    """Ends the jobs whose documents have cost as many readers as they may; how many."""
    given_up = 0
    while _give_up_one():
        given_up += 1
    return given_up


@transaction.atomic
def _give_up_one() -> bool:
    lost = Upload.objects.across_tenants().filter(
        attempt__gte=MAX_ATTEMPTS, lease_expires_at__lt=Now()
    )
    upload = lost.select_related("job").defer("sealed_original").order_by("job_id").first()
    if upload is None:
        return False
    held = Job.objects.for_tenant(upload.tenant_id).select_for_update(no_key=True, skip_locked=True)
    if not held.filter(pk=upload.job_id, status=JobStatus.PENDING, step=Step.READ).exists():
        return False  # somebody is at it: the next time
    claim = Claim(
        upload.job_id,
        upload.job.event_id,
        upload.tenant_id,
        upload.document_id,
        upload.media_type,
        upload.attempt,
        "",
    )
    _fail(claim, POISON, DOCUMENT_POISON)
    return True
