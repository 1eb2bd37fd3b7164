"""The product's rows: a job, the document it works on, and every attempt at it."""

import copy
import os
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Length, Now
from guardian.managers import BaseObjectPermissionManager
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from config.database import Today
from jobs import sealed
from tenants import vault
from tenants.models import Tenant
from tenants.permissions import group_name
from tenants.querysets import TenantQuerySet
from tenants.vault import OVERHEAD

models.BinaryField.register_lookup(Length)

if TYPE_CHECKING:
    from tenants.authentication import Principal


def uuid7() -> uuid.UUID:
    """A time-ordered id (RFC 9562 section 5.7): new rows land at the end of an index, and a list
    is ordered by its ids. It tells its holder the millisecond it was made, as `created_at` does.
    """
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return uuid.UUID(int=value)


def first_id_of(at: datetime) -> uuid.UUID:
    """No event_id that was made then or later is smaller: they begin with their millisecond."""
    milliseconds = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return uuid.UUID(int=max(milliseconds, 0) << 80)  # nor is any older than 1970


class JobStatus(models.TextChoices):
    PENDING = "PENDING", "Pending"  # waits for a worker, or for `due_at`
    PROCESSING = "PROCESSING", "Processing"  # a worker holds it, until `lease_expires_at`
    COMPLETED = "COMPLETED", "Completed"  # has a result
    FAILED = "FAILED", "Failed"  # has an error; a person may retry it
    CANCELLED = "CANCELLED", "Cancelled"  # somebody stopped it; a person may retry it
    EXPIRED = "EXPIRED", "Expired"  # its deadline passed while it waited; a person may retry it


NO_JSON = models.Value({}, models.JSONField())
ENDED = [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.EXPIRED]
RETRYABLE = [JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.EXPIRED]


class Step(models.TextChoices):
    READ = "read", "Read the document"
    SUMMARIZE = "summarize", "Summarise"
    CHECKLIST = "checklist", "Make the checklist"
    REPAIR = "repair", "Ask again for what is missing or in doubt"


class Priority(models.IntegerChoices):
    LOW = -1, "low"
    NORMAL = 0, "normal"
    HIGH = 1, "high"


class Document(models.Model):
    """A guideline as it came in, unaltered, or what was read from a file: citations are offsets
    into `text`.

    Erased when its job is deleted; the row stays. One that came as a file has no text until it is
    read: see Upload.
    """

    # Its place when it is sealed, so it has to be known before the row is there.
    uid = models.UUIDField(default=uuid7, editable=False)
    tenant = models.ForeignKey(
        "tenants.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False
    )  # the unique constraint begins with it
    sealed_text = models.BinaryField(null=True)
    digest = models.CharField(max_length=64)  # keyed, of the UTF-8 bytes: see `vault.index`
    # Of a document that was read: the offset at which each page begins, if it has pages.
    page_starts = models.JSONField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            # The uid first: of two indexes that begin with the tenant PostgreSQL took this one to
            # look for the document of a new job, and read all that the tenant has.
            models.UniqueConstraint(fields=["uid", "tenant"], name="document_uid_once"),
            models.CheckConstraint(
                condition=Q(sealed_text__isnull=True) | Q(sealed_text__length__gt=OVERHEAD),
                name="document_is_not_empty",
            ),
            models.CheckConstraint(
                condition=Q(sealed_text__isnull=False, digest__regex="^[0-9a-f]{64}$")
                | Q(sealed_text__isnull=True, digest=""),
                name="document_is_whole_or_erased",
            ),
            models.CheckConstraint(
                condition=Q(page_starts__isnull=True) | Q(sealed_text__isnull=False),
                name="document_has_pages_of_a_text",
            ),
        ]

    def __str__(self) -> str:
        return self.digest[:12]

    def take_text(self, text: str) -> None:
        place = sealed.DOCUMENT_TEXT.format(self.uid)
        self.sealed_text = sealed.seal_text(self.tenant_id, text, place)
        self.digest = sealed.digest(self.tenant_id, text)

    @property
    def text(self) -> str | None:
        """None once it is erased."""
        place = sealed.DOCUMENT_TEXT.format(self.uid)
        return sealed.open_text(self.tenant_id, self.sealed_text, place)


SEALED = ["sealed_summary", "sealed_checklist", "sealed_result"]  # columns of a job
LINKS = ["supersedes", "replay_of"]  # to other jobs


class JobQuerySet(TenantQuerySet):
    def without_content(self) -> Self:
        """What staff may read of them: see jobs/reveals.py."""
        return self.defer(*SEALED)

    def with_result(self) -> Self:
        """Without the sealed pieces that nobody but a worker needs."""
        return self.defer("sealed_summary", "sealed_checklist")

    def with_links(self) -> Self:
        """With the jobs that they supersede or replay: who these are, not what they say."""
        heavy = [f"{link}__{name}" for link in LINKS for name in SEALED]
        return self.select_related(*LINKS).defer(*heavy)

    def known(self, tenant_id: uuid.UUID, visible_to: "Principal | None") -> Self:
        """The tenant's jobs or, of a caller's, those that `visible_to` may know of."""
        jobs = self.visible_to(visible_to) if visible_to else self
        return jobs.for_tenant(tenant_id)

    def visible_to(self, caller: "Principal") -> Self:
        """The jobs that the caller may know of: the tenant's, for whoever is not confined to own
        jobs; else those they submitted, and those shared with them or with their role.
        """
        jobs = self.for_tenant(caller.tenant_id)
        if not caller.sees_own_only:
            return jobs
        group = group_name(Tenant(id=caller.tenant_id), caller.role)
        view = {"permission__codename": VIEW_JOB}
        of_person = JobUserObjectPermission.objects.for_tenant(caller.tenant_id)
        of_role = JobGroupObjectPermission.objects.for_tenant(caller.tenant_id)
        return jobs.filter(
            Q(submitted_by=caller.subject)
            | Q(pk__in=of_person.filter(user=caller.user_id, **view).values("content_object"))
            | Q(pk__in=of_role.filter(group__name=group, **view).values("content_object"))
        )


class Job(models.Model):
    """One guideline from one tenant, on its way to a checklist. The row is its own outbox.

    `attempt` is also the fencing token: whatever a worker writes names the attempt it belongs
    to, so that one who lost the job cannot overwrite the work of the next.
    """

    event_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    tenant = models.ForeignKey(
        "tenants.Tenant", on_delete=models.PROTECT, related_name="jobs", db_index=False
    )  # the indexes below begin with it
    document = models.ForeignKey(
        Document, on_delete=models.PROTECT, related_name="jobs", db_constraint=False
    )  # a composite one with the tenant stands in migration 0008, as for all such references
    submitted_by = models.CharField(max_length=100)  # a client_id, or a person's public id
    title = models.CharField(max_length=200, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    priority = models.SmallIntegerField(choices=Priority, default=Priority.NORMAL)
    # Fixed when it is submitted (see jobs/options.py); a trigger keeps them.
    options = models.JSONField(default=dict, db_default=NO_JSON, blank=True)
    prompts = models.JSONField(default=dict, db_default=NO_JSON, blank=True)  # {"summarize": 1}
    # Of the options, by a trigger, as a column: behind row security no index on an expression of
    # JSON is used, since its operators might leak what they compare (PostgreSQL manual, 39.5).
    model = models.TextField(db_default="", editable=False)
    supersedes = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )  # the job of an earlier revision: what has not changed is taken from it
    replay_of = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )  # the same document, run again
    # Keyed, of all that the result depends on; "" where that is not known, or is deleted.
    fingerprint = models.CharField(max_length=64, blank=True, db_default="")

    status = models.CharField(max_length=10, choices=JobStatus, default=JobStatus.PENDING)
    step = models.CharField(max_length=10, choices=Step, default=Step.SUMMARIZE)
    # Waits for a slot only. A retry waits for `due_at` first; then the pump makes it ready.
    ready = models.BooleanField(default=True)
    due_at = models.DateTimeField(db_default=Now())
    deadline_at = models.DateTimeField(db_default=Now() + timedelta(hours=24))
    run = models.PositiveSmallIntegerField(default=1)  # grows when a person retries
    attempt = models.PositiveSmallIntegerField(default=0)  # counted when the work starts
    crashes = models.PositiveSmallIntegerField(default=0)  # workers lost in this run
    failures = models.PositiveSmallIntegerField(default=0)  # errors that count, in this run
    event_seq = models.PositiveIntegerField(default=0)  # of the last row in JobEvent
    worker = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)

    sealed_summary = models.BinaryField(null=True)
    sealed_checklist = models.BinaryField(null=True)
    sealed_result = models.BinaryField(null=True)
    cache_hit = models.BooleanField(db_default=False)  # its result is an earlier job's
    passages_done = models.PositiveIntegerField(db_default=0)  # in the step that runs
    passages = models.PositiveIntegerField(db_default=0)
    error_code = models.CharField(max_length=50, blank=True)
    error_detail = models.CharField(max_length=500, blank=True)  # safe to show to the tenant

    llm_calls = models.PositiveIntegerField(default=0)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    unknown_calls = models.PositiveIntegerField(default=0)  # paid for in vain, or may have been
    cost_micros = models.BigIntegerField(db_default=0)  # of all its calls; millionths of a dollar

    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    # From then on there are only counts and times left. Set once; a trigger does the rest.
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["tenant", "-event_id"],
                condition=Q(deleted_at__isnull=True),
                name="job_list",
            ),
            models.Index(
                fields=["tenant", "status", "-event_id"],
                condition=Q(deleted_at__isnull=True),
                name="job_list_by_status",
            ),
            # The next of a tenant's jobs whose time is over: the first entry.
            models.Index(
                fields=["tenant", "ended_at"],
                condition=Q(ended_at__isnull=False, deleted_at__isnull=True),
                name="job_retention",
            ),
            # The next job of a tenant: the first entry.
            models.Index(
                fields=["tenant", "-priority", "id"],
                condition=Q(status=JobStatus.PENDING, ready=True),
                name="job_claim",
            ),
            models.Index(
                fields=["due_at"],
                condition=Q(status=JobStatus.PENDING, ready=False),
                name="job_due",
            ),
            models.Index(
                fields=["deadline_at"],
                condition=Q(status=JobStatus.PENDING),
                name="job_deadline",
            ),
            # Earlier results for the same text, options and versions, the latest first.
            models.Index(
                fields=["tenant", "fingerprint", "-id"],
                condition=Q(status=JobStatus.COMPLETED, deleted_at__isnull=True)
                & ~Q(fingerprint=""),
                name="job_same_result",
            ),
            models.Index(
                fields=["error_code", "id"],
                condition=Q(status=JobStatus.FAILED),
                name="job_dead_letter",
            ),
            # What ended lately, for the overview of staff.
            models.Index(
                fields=["ended_at", "status"],
                condition=Q(ended_at__isnull=False),
                name="job_ended",
            ),
            # What staff look for among the jobs of all tenants (jobs/filters.py), newest first.
            models.Index(
                fields=["status", "-event_id"],
                condition=~Q(status=JobStatus.COMPLETED) & Q(deleted_at__isnull=True),
                name="job_seen_by_status",
            ),
            models.Index(
                fields=["error_code", "-event_id"],
                condition=Q(status=JobStatus.FAILED, deleted_at__isnull=True),
                name="job_seen_by_error",
            ),
            models.Index(
                fields=["model", "-event_id"],
                condition=Q(deleted_at__isnull=True),
                name="job_seen_by_model",
            ),
            models.Index(
                fields=["-event_id"],
                condition=Q(attempt__gt=1, deleted_at__isnull=True),
                name="job_seen_if_tried_again",
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
                condition=Q(status=JobStatus.COMPLETED, sealed_result__isnull=False)
                | ~Q(status=JobStatus.COMPLETED) & Q(sealed_result__isnull=True)
                | Q(deleted_at__isnull=False),
                name="job_has_a_result_exactly_when_completed",
            ),
            models.CheckConstraint(
                condition=Q(status=JobStatus.FAILED) & ~Q(error_code="")
                | ~Q(status=JobStatus.FAILED) & Q(error_code=""),
                name="job_has_an_error_exactly_when_failed",
            ),
            models.CheckConstraint(
                condition=Q(step__in=[Step.READ, Step.SUMMARIZE], sealed_summary__isnull=True)
                | Q(step=Step.CHECKLIST, sealed_summary__isnull=False)
                | Q(step=Step.REPAIR, sealed_summary__isnull=False)
                | Q(deleted_at__isnull=False),
                name="job_step_two_needs_the_summary",
            ),
            models.CheckConstraint(
                condition=Q(step=Step.REPAIR, sealed_checklist__isnull=False)
                | ~Q(step=Step.REPAIR) & Q(sealed_checklist__isnull=True)
                | Q(deleted_at__isnull=False),
                name="job_repair_needs_the_checklist",
            ),
            models.CheckConstraint(
                condition=Q(deleted_at__isnull=True)
                | Q(
                    status__in=ENDED,
                    sealed_summary__isnull=True,
                    sealed_checklist__isnull=True,
                    sealed_result__isnull=True,
                    title="",
                    metadata={},
                    fingerprint="",
                ),
                name="job_that_is_deleted_is_over_and_empty",
            ),
            models.CheckConstraint(
                condition=Q(status=JobStatus.PENDING) | Q(ready=False),
                name="job_is_ready_only_while_pending",
            ),
            models.CheckConstraint(
                condition=Q(crashes__lte=F("attempt")), name="job_crashes_are_attempts"
            ),
            # Else a worker would claim it, with nothing to work on.
            models.CheckConstraint(
                condition=~Q(step=Step.READ)
                | Q(ready=False) & ~Q(status__in=[JobStatus.PROCESSING, JobStatus.COMPLETED]),
                name="job_is_read_before_it_runs",
            ),
        ]
        permissions = [("retry_job", "Retry a failed or cancelled job")]

    def __str__(self) -> str:
        return str(self.event_id)

    @property
    def is_over(self) -> bool:
        return self.status in ENDED

    @property
    def summary(self) -> dict[str, Any] | None:
        """Step 1's reply, kept before step 2 starts: {"value", "usage", "provenance"}."""
        place = sealed.SUMMARY.format(self.event_id)
        return sealed.open_json(self.tenant_id, self.sealed_summary, place)

    @property
    def checklist(self) -> dict[str, Any] | None:
        """Step 2's reply, kept before it is repaired: {"value", "usage", "provenance"}."""
        place = sealed.CHECKLIST.format(self.event_id)
        return sealed.open_json(self.tenant_id, self.sealed_checklist, place)

    @property
    def result(self) -> dict[str, Any] | None:
        place = sealed.RESULT.format(self.event_id)
        return sealed.open_json(self.tenant_id, self.sealed_result, place)


# --- Who sees a single job although they see only their own ----------------------------------

VIEW_JOB = "view_job"  # Django's own permission, given for one job by django-guardian


class ShareManager(BaseObjectPermissionManager):
    """guardian's, for rows of a tenant: its functions name the job, anybody else `for_tenant`."""

    tenant_id: uuid.UUID | None = None

    def get_queryset(self) -> TenantQuerySet:
        rows: TenantQuerySet = TenantQuerySet(self.model, using=self._db)
        return rows.for_tenant(self.tenant_id) if self.tenant_id else rows

    def for_tenant(self, tenant_id: uuid.UUID) -> TenantQuerySet:
        return self.get_queryset().for_tenant(tenant_id)

    def assign_perm(self, perm: Any, user_or_group: Any, obj: models.Model) -> Any:
        return super(ShareManager, self._of(obj)).assign_perm(perm, user_or_group, obj)

    def remove_perm(self, perm: Any, user_or_group: Any, obj: models.Model) -> Any:
        return super(ShareManager, self._of(obj)).remove_perm(perm, user_or_group, obj)

    def _of(self, job: Any) -> Self:
        mine = copy.copy(self)
        mine.tenant_id = job.tenant_id
        return mine


class Share(models.Model):
    """A job that is shown to somebody who sees only their own. Its id is public."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="+", db_index=False
    )  # the unique constraint begins with it
    content_object = models.ForeignKey(Job, on_delete=models.CASCADE, db_constraint=False)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.tenant_id = self.content_object.tenant_id
        super().save(*args, **kwargs)


class JobUserObjectPermission(Share, UserObjectPermissionBase):
    """Shared with a member. Ends with the membership: a foreign key of its migration."""

    objects: ClassVar[Any] = ShareManager()

    class Meta:
        unique_together = [("tenant", "user", "permission", "content_object")]

    def __str__(self) -> str:
        return f"{self.content_object_id} for {self.user_id}"


class JobGroupObjectPermission(Share, GroupObjectPermissionBase):
    """Shared with everybody of a role, now and later."""

    objects: ClassVar[Any] = ShareManager()

    class Meta:
        unique_together = [("tenant", "group", "permission", "content_object")]

    def __str__(self) -> str:
        return f"{self.content_object_id} for {self.group_id}"


class JobLabel(models.Model):
    """A pair of a job's metadata, to be searched for. Made and deleted with it, by triggers.

    A table, since behind row security no index on JSON is used: see `Job.model`.
    """

    tenant = models.ForeignKey(
        "tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False
    )
    event_id = models.UUIDField()  # of the job
    key = models.TextField()
    value = models.TextField()

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [
            # By staff, of all tenants; and by a tenant, of its own.
            models.Index(fields=["value", "key", "-event_id"], name="label_search"),
            models.Index(fields=["tenant", "key", "value", "event_id"], name="label_of_tenant"),
            models.Index(fields=["event_id"], name="label_of_job"),
        ]

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class Outcome(models.TextChoices):
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    RETRIED = "retried", "Failed, tried again"
    FAILED = "failed", "Failed"
    LEASE_LOST = "lease_lost", "Worker lost"
    HANDED_BACK = "handed_back", "Handed back by a worker that stops"
    CANCELLED = "cancelled", "Cancelled"


class OfAJob(models.Model):
    """Its tenant is the job's: a foreign key of both says so."""

    tenant = models.ForeignKey(
        "tenants.Tenant",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )

    class Meta:
        abstract = True


class JobAttempt(OfAJob):
    """One try at a job, by one worker. Written before the work starts."""

    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="attempts", db_index=False, db_constraint=False
    )  # the unique constraint has one
    number = models.PositiveSmallIntegerField()
    worker = models.CharField(max_length=200)
    step = models.CharField(max_length=10, choices=Step)  # where it started
    outcome = models.CharField(max_length=11, choices=Outcome, default=Outcome.RUNNING)
    error_code = models.CharField(max_length=50, blank=True, db_default="")
    sealed_error = models.BinaryField(null=True)
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["worker", "-job"], name="attempt_of_worker")]
        constraints = [
            models.UniqueConstraint(
                fields=["job", "tenant", "number"], name="attempt_once_per_number"
            ),
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

    @property
    def error(self) -> str:
        """Raw, for staff only."""
        place = sealed.ERROR.format(self.job_id, self.number)
        return sealed.open_text(self.tenant_id, self.sealed_error, place) or ""


class JobEvent(OfAJob):
    """One move of a job. Written by a trigger for every change of status; never changed.

    `seq` counts from 1 without gaps in each job, and orders its history whatever the clocks say.
    """

    job = models.ForeignKey(
        Job, on_delete=models.DO_NOTHING, related_name="events", db_index=False, db_constraint=False
    )  # the unique constraint has one
    seq = models.PositiveIntegerField()
    at = models.DateTimeField(db_default=Now())
    from_status = models.CharField(max_length=10, choices=JobStatus, blank=True)  # "" when made
    to_status = models.CharField(max_length=10, choices=JobStatus)
    run = models.PositiveSmallIntegerField()
    attempt = models.PositiveSmallIntegerField()
    actor = models.CharField(max_length=200)  # a worker, a client_id, a person's e-mail, "system"
    note = models.CharField(max_length=500, blank=True)  # an error code, or a person's reason

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job", "tenant", "seq"], name="event_once_per_number"),
        ]
        ordering = ["seq"]

    def __str__(self) -> str:
        return f"{self.job_id} {self.seq}: {self.to_status}"


class CallOutcome(models.TextChoices):
    STARTED = "started", "Under way"
    ANSWERED = "answered", "Answered, its step not stored yet"
    OK = "ok", "Answered, its step stored"
    ERROR = "error", "Failed"
    UNKNOWN = "unknown", "Unknown: its worker was lost"
    LOST = "lost", "Answered, but its reply was lost"


UNSETTLED = [CallOutcome.STARTED, CallOutcome.ANSWERED]


class LLMCall(OfAJob):
    """The ledger of model calls: a row before each call, its outcome after.

    A reply is settled when its attempt is: with the step's result it is kept, without it lost. A
    row that nobody closed belongs to a worker that died: the provider may have charged for a reply
    that nobody has. Both are counted as paid for in vain, never forgotten.
    """

    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="calls", db_index=False, db_constraint=False
    )  # the unique constraint has one
    attempt = models.PositiveSmallIntegerField()
    step = models.CharField(max_length=10, choices=Step)
    label = models.CharField(max_length=100)  # what we tell the provider: X-Client-Request-Id
    outcome = models.CharField(max_length=10, choices=CallOutcome, default=CallOutcome.STARTED)
    error_code = models.CharField(max_length=50, blank=True, db_default="")
    requested_model = models.CharField(max_length=200, blank=True, db_default="")
    own_key = models.BooleanField(db_default=False)  # the tenant's own; else the installation's
    model = models.CharField(max_length=200, blank=True, db_default="")  # as the reply names it
    request_id = models.CharField(max_length=200, blank=True, db_default="")
    prompt_tokens = models.PositiveIntegerField(db_default=0)
    completion_tokens = models.PositiveIntegerField(db_default=0)
    # What it could cost at most was promised to it, from the budgets of the day it started on;
    # what it did cost is charged once it is over.
    day = models.DateField(db_default=Today())
    bound_tokens = models.BigIntegerField(db_default=0)
    bound_micros = models.BigIntegerField(db_default=0)
    charged_tokens = models.BigIntegerField(null=True, blank=True)
    cost_micros = models.BigIntegerField(null=True, blank=True)
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        verbose_name = "model call"
        indexes = [
            models.Index(fields=["job"], condition=Q(outcome__in=UNSETTLED), name="call_unsettled"),
            models.Index(
                fields=["id"], condition=Q(cost_micros__isnull=True), name="call_to_be_charged"
            ),
            models.Index(fields=["tenant", "day"], name="call_usage"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["job", "tenant", "label"], name="call_once_per_label"),
            models.CheckConstraint(
                condition=Q(outcome__in=CallOutcome.values), name="call_outcome_is_known"
            ),
            models.CheckConstraint(
                condition=Q(outcome=CallOutcome.STARTED, ended_at__isnull=True)
                | ~Q(outcome=CallOutcome.STARTED) & Q(ended_at__isnull=False),
                name="call_has_an_end_exactly_when_over",
            ),
        ]

    def __str__(self) -> str:
        return self.label


class Reservation(OfAJob):
    """What is promised to a job's future calls, from the budgets of `day`.

    Made when the job is submitted; each call takes its bound out of it first. A trigger gives the
    rest back when the job ends.
    """

    job = models.OneToOneField(
        Job, on_delete=models.CASCADE, primary_key=True, related_name="+", db_constraint=False
    )
    day = models.DateField()
    tokens = models.BigIntegerField()
    micros = models.BigIntegerField()

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["tenant", "job"], name="reservation_of_tenant")]
        constraints = [
            models.CheckConstraint(
                condition=Q(tokens__gte=0) & Q(micros__gte=0), name="reservation_is_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tokens} tokens for {self.job_id}"


class Upload(models.Model):
    """A file that is to be read, as it came in: its job waits at step `read` meanwhile.

    A trigger deletes it in the moment in which the job leaves that step, however it does. `attempt`
    is the fencing token of whoever reads it, as a job's is.
    """

    job = models.OneToOneField(
        Job, on_delete=models.CASCADE, primary_key=True, related_name="upload", db_constraint=False
    )
    tenant = models.ForeignKey(
        "tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_index=False
    )
    document = models.ForeignKey(
        Document, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    media_type = models.CharField(max_length=100)  # a documents.formats.Format
    sealed_original = models.BinaryField()
    attempt = models.PositiveSmallIntegerField(default=0)  # counted when the work starts
    worker = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["tenant", "job"], name="upload_of_tenant")]
        constraints = [
            models.CheckConstraint(
                condition=Q(sealed_original__length__gt=OVERHEAD), name="upload_is_not_empty"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.media_type} for {self.job_id}"

    @property
    def original(self) -> bytes:
        place = sealed.ORIGINAL.format(self.job_id)
        return vault.unseal(self.tenant_id, self.sealed_original, place)


class TenantQueue(models.Model):
    """A tenant's place among the others: start-time fair queueing (Goyal, Vin, Cheng, 1996).

    The tenant with the smallest `virtual_time` goes first. Starting a job moves it on by
    1 / weight, from `start_tag`: never from more than 1 behind the system's own virtual time, the
    largest start tag of all, so that nobody saves up credit by being idle. Less than that is not
    forgiven: whoever was passed over for a moment, as another worker claimed from it, catches up.
    Triggers keep the row, from the tenant's first job on; people set only weight, limits and the
    pause.
    """

    tenant = models.OneToOneField(
        "tenants.Tenant", on_delete=models.CASCADE, primary_key=True, related_name="queue"
    )
    weight = models.FloatField(db_default=1.0)
    max_running = models.PositiveIntegerField(db_default=16)
    max_waiting = models.PositiveIntegerField(db_default=10_000)
    is_paused = models.BooleanField(db_default=False)
    running = models.PositiveIntegerField(db_default=0)
    departures = models.BigIntegerField(db_default=0)  # of Intake.arrivals, who wait no longer
    is_active = models.BooleanField(db_default=False)  # may have ready jobs
    virtual_time = models.FloatField(db_default=0.0)
    start_tag = models.FloatField(db_default=0.0)
    last_read_at = models.DateTimeField(null=True, blank=True)  # when a document was taken last

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(weight__gt=0), name="queue_weight_is_positive"),
            models.CheckConstraint(condition=Q(max_running__gt=0), name="queue_runs_something"),
        ]
        indexes = [
            models.Index(
                fields=["virtual_time", "tenant"],
                condition=Q(is_active=True),
                name="queue_fair_order",
            ),
            models.Index(fields=["-start_tag"], name="queue_system_time"),
        ]

    def __str__(self) -> str:
        return f"queue of {self.tenant_id}"


class Intake(models.Model):
    """How many jobs a tenant has ever submitted. All but `TenantQueue.departures` wait.

    Apart from the queue's row, which claims lock: who submits waits for nobody who claims, and is
    passed over by none. Triggers keep it.
    """

    tenant = models.OneToOneField(
        "tenants.Tenant", on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    arrivals = models.BigIntegerField(db_default=0)

    objects = TenantQuerySet.as_manager()

    def __str__(self) -> str:
        return f"intake of {self.tenant_id}"


class Circuit(models.Model):
    """The breaker of one provider and model, shared by all workers (see jobs/breaker.py)."""

    class State(models.TextChoices):
        CLOSED = "closed", "Closed: calls pass"
        OPEN = "open", "Open: no calls until open_until"
        HALF_OPEN = "half_open", "Half open: one job tries"

    name = models.CharField(max_length=200, primary_key=True)
    state = models.CharField(max_length=10, choices=State, db_default="closed")
    failures = models.PositiveIntegerField(db_default=0)  # in a row, since window_started_at
    window_started_at = models.DateTimeField(null=True, blank=True)
    open_until = models.DateTimeField(null=True, blank=True)  # null: until staff closes it
    wait_seconds = models.FloatField(db_default=0.0)  # of the last opening; doubles
    probe_until = models.DateTimeField(null=True, blank=True)  # the prober's lease
    reason = models.CharField(max_length=500, blank=True, db_default="")
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["closed", "open", "half_open"]),
                name="circuit_state_is_known",
            ),
        ]
        permissions = [("operate_circuit", "Open and close a circuit")]

    def __str__(self) -> str:
        return f"{self.name}: {self.state}"


class Worker(models.Model):
    """A worker process, by its Celery name (see jobs/workers.py)."""

    name = models.CharField(max_length=200, primary_key=True)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    pumped_at = models.DateTimeField(null=True)  # of the one that keeps the pump going

    def __str__(self) -> str:
        return self.name


class BulkAction(models.Model):
    """Retry or cancel many jobs, some at a time: a job of its own, worked on by the pump."""

    class Kind(models.TextChoices):
        RETRY = "retry", "Retry"
        CANCEL = "cancel", "Cancel"

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        ABORTED = "aborted", "Aborted"

    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=10, choices=Kind)
    tenant = models.ForeignKey(
        "tenants.Tenant", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    # Two presses of one form begin one action.
    token = models.UUIDField(unique=True, editable=False, default=uuid.uuid4)
    filter = models.JSONField(default=dict)  # a filters.JobFilter, as it is held
    rate = models.PositiveIntegerField(default=10)  # jobs a second
    actor = models.CharField(max_length=200)
    reason = models.CharField(max_length=500)
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    last_id = models.BigIntegerField(default=0)  # jobs up to here have been looked at
    until_id = models.BigIntegerField()  # jobs that came later are not meant
    total = models.PositiveIntegerField()  # matching when it was started
    changed = models.PositiveIntegerField(default=0)
    skipped = models.JSONField(default=dict)  # how many were left alone, by the error's code
    worked_at = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(rate__gt=0), name="bulk_rate_is_positive"),
            models.CheckConstraint(condition=~Q(reason=""), name="bulk_has_a_reason"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def looked_at(self) -> int:
        return self.changed + sum(self.skipped.values())


class Failure(models.Model):
    """That a job has failed, noted by a trigger in the same transaction, until
    jobs/error_groups.py has counted it: many insert here at once, and none waits for another."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    event_id = models.UUIDField()
    error_code = models.CharField(max_length=50)
    detail = models.CharField(max_length=500)
    at = models.DateTimeField(db_default=Now())

    objects = TenantQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.error_code} of {self.event_id}"


class ErrorGroup(models.Model):
    """Failures of one class whose messages have one shape."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        RESOLVED = "resolved", "Resolved"  # opens again when it fails again
        IGNORED = "ignored", "Ignored"  # is counted, and bothers nobody

    error_code = models.CharField(max_length=50)
    shape = models.CharField(max_length=500)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    is_back = models.BooleanField(default=False)  # had been resolved
    changed_at = models.DateTimeField(db_default=Now())
    count = models.PositiveBigIntegerField(default=0)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    last_event_id = models.UUIDField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["error_code", "shape"], name="error_group_once"),
        ]
        indexes = [models.Index(fields=["-last_seen_at"], name="error_group_latest")]

    def __str__(self) -> str:
        return f"{self.error_code}: {self.shape}"


class ErrorGroupCount(models.Model):
    """How many failures of a group there were in ten minutes of one tenant."""

    group = models.ForeignKey(
        ErrorGroup, on_delete=models.CASCADE, related_name="counts", db_index=False
    )
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    since = models.DateTimeField()
    count = models.PositiveIntegerField()

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["group", "since", "tenant"], name="error_count_once_per_bucket"
            ),
        ]
        indexes = [models.Index(fields=["since"], name="error_count_oldest")]

    def __str__(self) -> str:
        return f"{self.count} of {self.group_id} since {self.since}"
