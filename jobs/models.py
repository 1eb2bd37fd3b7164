"""The product's rows: a job, the document it works on, and every attempt at it."""

import hashlib
import os
import time
import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from tenants.querysets import TenantQuerySet


def uuid7() -> uuid.UUID:
    """A time-ordered id (RFC 9562 section 5.7): new rows land at the end of an index, and a list
    is ordered by its ids. It tells its holder the millisecond it was made, as `created_at` does.
    """
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return uuid.UUID(int=value)


class JobStatus(models.TextChoices):
    PENDING = "PENDING", "Pending"  # waits for a worker, or for `due_at`
    PROCESSING = "PROCESSING", "Processing"  # a worker holds it, until `lease_expires_at`
    COMPLETED = "COMPLETED", "Completed"  # has a result
    FAILED = "FAILED", "Failed"  # has an error; a person may retry it
    CANCELLED = "CANCELLED", "Cancelled"  # somebody stopped it; a person may retry it


ENDED = [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED]


class Step(models.TextChoices):
    SUMMARIZE = "summarize", "Summarise"
    CHECKLIST = "checklist", "Make the checklist"


class Priority(models.IntegerChoices):
    LOW = -1, "low"
    NORMAL = 0, "normal"
    HIGH = 1, "high"


class Document(models.Model):
    """A guideline as it came in, unaltered: citations are offsets into `text`."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    sha256 = models.CharField(max_length=64)  # of the UTF-8 bytes, hex
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(text=""), name="document_is_not_empty"),
            models.CheckConstraint(
                condition=Q(sha256__regex="^[0-9a-f]{64}$"), name="document_sha256_is_hex"
            ),
        ]

    def __str__(self) -> str:
        return self.sha256[:12]

    @classmethod
    def of(cls, *, tenant_id: uuid.UUID, text: str) -> "Document":
        digest = hashlib.sha256(text.encode()).hexdigest()
        return cls(tenant_id=tenant_id, text=text, sha256=digest)


class Job(models.Model):
    """One guideline from one tenant, on its way to a checklist. The row is its own outbox.

    `attempt` is also the fencing token: whatever a worker writes names the attempt it belongs
    to, so that one who lost the job cannot overwrite the work of the next.
    """

    event_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="jobs")
    document = models.ForeignKey(Document, on_delete=models.PROTECT, related_name="jobs")
    submitted_by = models.CharField(max_length=100)  # a client_id
    title = models.CharField(max_length=200, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    priority = models.SmallIntegerField(choices=Priority, default=Priority.NORMAL)

    status = models.CharField(max_length=10, choices=JobStatus, default=JobStatus.PENDING)
    step = models.CharField(max_length=10, choices=Step, default=Step.SUMMARIZE)
    due_at = models.DateTimeField(db_default=Now())
    attempt = models.PositiveSmallIntegerField(default=0)  # counted when the work starts
    attempt_limit = models.PositiveSmallIntegerField()
    worker = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)

    # Step 1's reply, kept before step 2 starts: {"value", "usage", "provenance"} of the chain.
    summary = models.JSONField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    error_code = models.CharField(max_length=50, blank=True)
    error_detail = models.CharField(max_length=500, blank=True)  # safe to show to the tenant

    llm_calls = models.PositiveIntegerField(default=0)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)

    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-event_id"], name="job_list"),
            models.Index(fields=["tenant", "status", "-event_id"], name="job_list_by_status"),
            models.Index(
                fields=["-priority", "due_at", "id"],
                condition=Q(status=JobStatus.PENDING),
                name="job_claim",
            ),
            models.Index(
                fields=["lease_expires_at"],
                condition=Q(status=JobStatus.PROCESSING),
                name="job_lease",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=JobStatus.values), name="job_status_is_known"
            ),
            models.CheckConstraint(condition=Q(step__in=Step.values), name="job_step_is_known"),
            models.CheckConstraint(
                condition=Q(priority__in=Priority.values), name="job_priority_is_known"
            ),
            models.CheckConstraint(
                condition=Q(status=JobStatus.PROCESSING, lease_expires_at__isnull=False)
                & ~Q(worker="")
                | ~Q(status=JobStatus.PROCESSING) & Q(lease_expires_at__isnull=True, worker=""),
                name="job_is_leased_exactly_while_processing",
            ),
            models.CheckConstraint(
                condition=Q(status__in=ENDED, ended_at__isnull=False)
                | ~Q(status__in=ENDED) & Q(ended_at__isnull=True),
                name="job_has_an_end_exactly_when_over",
            ),
            models.CheckConstraint(
                condition=Q(status=JobStatus.COMPLETED, result__isnull=False)
                | ~Q(status=JobStatus.COMPLETED) & Q(result__isnull=True),
                name="job_has_a_result_exactly_when_completed",
            ),
            models.CheckConstraint(
                condition=Q(status=JobStatus.FAILED) & ~Q(error_code="")
                | ~Q(status=JobStatus.FAILED) & Q(error_code=""),
                name="job_has_an_error_exactly_when_failed",
            ),
            models.CheckConstraint(
                condition=Q(step=Step.SUMMARIZE, summary__isnull=True)
                | Q(step=Step.CHECKLIST, summary__isnull=False),
                name="job_step_two_needs_the_summary",
            ),
            models.CheckConstraint(
                condition=Q(attempt__lte=F("attempt_limit")), name="job_attempt_within_its_limit"
            ),
        ]
        permissions = [("retry_job", "Retry a failed or cancelled job")]

    def __str__(self) -> str:
        return str(self.event_id)

    @property
    def is_over(self) -> bool:
        return self.status in ENDED


def attempt_limit() -> int:
    """Attempts that a new job, or one that a person retries, may have."""
    return int(settings.JOB_MAX_ATTEMPTS)


class Outcome(models.TextChoices):
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    RETRIED = "retried", "Failed, tried again"
    FAILED = "failed", "Failed"
    LEASE_LOST = "lease_lost", "Worker lost"
    CANCELLED = "cancelled", "Cancelled"


class JobAttempt(models.Model):
    """One try at a job, by one worker. Written before the work starts."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+")
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    worker = models.CharField(max_length=200)
    step = models.CharField(max_length=10, choices=Step)  # where it started
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.RUNNING)
    error_code = models.CharField(max_length=50, blank=True, db_default="")
    error = models.TextField(blank=True, db_default="")  # raw, for staff only
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job", "number"], name="attempt_once_per_number"),
            models.CheckConstraint(
                condition=Q(outcome__in=Outcome.values), name="attempt_outcome_is_known"
            ),
            models.CheckConstraint(
                condition=Q(outcome=Outcome.RUNNING, ended_at__isnull=True)
                | ~Q(outcome=Outcome.RUNNING) & Q(ended_at__isnull=False),
                name="attempt_has_an_end_exactly_when_over",
            ),
        ]
        ordering = ["number"]

    def __str__(self) -> str:
        return f"{self.job_id} #{self.number}"
