"""Which jobs are meant: the same filter for the staff's list, for its address, and for what is done
to all that it shows."""

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Self

from django.db.models import Exists, OuterRef

from jobs.error_groups import pattern
from jobs.models import ErrorGroup, Job, JobAttempt, JobLabel, JobQuerySet, JobStatus, first_id_of
from tenants.models import Tenant


@dataclass(frozen=True)
class JobFilter:
    """Empty values leave everything in.

    tenant    a slug
    attempts  at least so many
    since, until  when it was submitted, in ISO 8601: from, and before
    metadata  "key=value", or a value of any key
    shape     of the error's message: see jobs/error_groups.py
    """

    status: str = ""
    tenant: str = ""
    error_code: str = ""
    model: str = ""
    worker: str = ""
    attempts: int = 0
    since: str = ""
    until: str = ""
    metadata: str = ""
    shape: str = ""

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """From what `held` gave, or a form's data; what is no field of it is left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known and value})

    def held(self) -> dict[str, Any]:
        """What is not empty, for an address, or to be stored."""
        return {name: value for name, value in asdict(self).items() if value}

    def __str__(self) -> str:
        said = {
            "status": self.status,
            "tenant": f"of {self.tenant}",
            "error_code": f"with {self.error_code}",
            "model": f"with model {self.model}",
            "worker": f"tried by {self.worker}",
            "attempts": f"tried {self.attempts} times or more",
            "since": f"submitted from {self.since}",
            "until": f"submitted before {self.until}",
            "metadata": f"with metadata {self.metadata}",
            "shape": f"that say “{self.shape}”",
        }
        return ", ".join(said[name] for name in self.held()) or "all jobs"

    def jobs(self) -> JobQuerySet:
        """Of all tenants, without those that are deleted. Each condition has an index that begins
        with it: see docs/performance.md."""
        jobs = Job.objects.across_tenants().filter(deleted_at=None)
        if self.tenant:
            tenant = Tenant.objects.filter(slug=self.tenant).first()
            jobs = jobs.filter(tenant_id=tenant.pk) if tenant else jobs.none()
        if self.status:
            jobs = jobs.filter(status=self.status)
        if self.error_code:
            jobs = jobs.filter(status=JobStatus.FAILED, error_code=self.error_code)
        if self.shape:
            known = ErrorGroup.objects.filter(shape=self.shape).exists()
            failed = {"status": JobStatus.FAILED, "error_detail__regex": pattern(self.shape)}
            jobs = jobs.filter(**failed) if known else jobs.none()
        if self.model:
            jobs = jobs.filter(model=self.model)
        if self.attempts:
            jobs = jobs.filter(attempt__gt=1, attempt__gte=self.attempts)
        if self.worker:
            tried = JobAttempt.objects.across_tenants().filter(
                job=OuterRef("pk"), tenant=OuterRef("tenant"), worker=self.worker
            )
            jobs = jobs.filter(Exists(tried))
        if self.since:
            jobs = jobs.filter(event_id__gte=first_id_of(datetime.fromisoformat(self.since)))
        if self.until:
            jobs = jobs.filter(event_id__lt=first_id_of(datetime.fromisoformat(self.until)))
        if self.metadata:
            key, equals, value = (part.strip() for part in self.metadata.partition("="))
            wanted = {"key": key, "value": value} if equals else {"value": key}
            labels = JobLabel.objects.across_tenants().filter(**wanted)
            jobs = jobs.filter(Exists(labels.filter(event_id=OuterRef("event_id"))))
        return jobs
