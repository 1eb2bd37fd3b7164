from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Job, JobAttempt, JobLabel, TenantQueue
from tests.factories import TenantFactory

pytestmark = pytest.mark.django_db(transaction=True)


def seed(jobs, tenants):
    out = StringIO()
    call_command("seed_jobs", jobs=jobs, tenants=tenants, stdout=out)
    return out.getvalue()


def test_seeded_jobs_agree_with_what_hangs_on_them():
    assert "500 jobs" in seed(500, 20)

    jobs = Job.objects.across_tenants().without_content()
    assert jobs.count() == 500
    assert {job.status for job in jobs} == {
        "COMPLETED", "FAILED", "CANCELLED", "EXPIRED", "PENDING", "PROCESSING"
    }  # fmt: skip
    assert all(job.model == job.options["model"] for job in jobs)
    assert [job.created_at for job in jobs.order_by("event_id")] == sorted(
        job.created_at for job in jobs
    )
    labels = JobLabel.objects.across_tenants()
    assert labels.count() == sum(len(job.metadata) for job in jobs)
    attempts = JobAttempt.objects.across_tenants()
    assert attempts.count() == sum(job.attempt for job in jobs)
    running = sum(queue.running for queue in TenantQueue.objects.all())
    assert running == jobs.filter(status="PROCESSING").count()


def test_a_database_in_use_is_left_alone():
    TenantFactory()

    with pytest.raises(CommandError, match="Only an empty database"):
        seed(10, 2)

    assert not Job.objects.across_tenants().exists()
