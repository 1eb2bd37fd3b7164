"""What the database refuses, whatever Python says."""

import time
import uuid

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from jobs.models import Document, Job, JobAttempt, uuid7
from tests.factories import JobFactory
from tests.jobs.acts import claimed, completed

OVER = {"worker": "", "lease_expires_at": None, "ended_at": timezone.now()}


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"step": "third"}, "job_step_is_known"),
        ({"priority": 7}, "job_priority_is_known"),
        ({"worker": "w"}, "job_is_leased_exactly_while_processing"),
        ({"ended_at": timezone.now()}, "job_has_an_end_exactly_when_over"),
        ({"sealed_result": b"{}"}, "job_has_a_result_exactly_when_completed"),
        ({"error_code": "x"}, "job_has_an_error_exactly_when_failed"),
        ({"step": "checklist"}, "job_step_two_needs_the_summary"),
        ({"sealed_summary": b"{}"}, "job_step_two_needs_the_summary"),
        ({"crashes": 9}, "job_crashes_are_attempts"),
        (
            {"status": "PROCESSING", "attempt": 1, "ready": False},
            "job_is_leased_exactly_while_processing",
        ),
        ({"status": "CANCELLED", "ready": False}, "job_has_an_end_exactly_when_over"),
        ({"status": "CANCELLED", **OVER}, "job_is_ready_only_while_pending"),
    ],
)
def test_a_waiting_job_that_contradicts_itself_cannot_be_stored(tenant, values, rule):
    job = JobFactory(tenant=tenant)

    with pytest.raises(IntegrityError, match=rule), transaction.atomic():
        Job.objects.across_tenants().filter(pk=job.pk).update(**values)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"status": "COMPLETED", **OVER}, "job_has_a_result_exactly_when_completed"),
        ({"status": "FAILED", **OVER}, "job_has_an_error_exactly_when_failed"),
        ({"status": "PENDING"}, "job_is_leased_exactly_while_processing"),
        ({"ready": True}, "job_is_ready_only_while_pending"),
    ],
)
def test_a_running_job_that_contradicts_itself_cannot_be_stored(tenant, values, rule):
    job = JobFactory(tenant=tenant)
    claimed(job)

    with pytest.raises(IntegrityError, match=rule), transaction.atomic():
        Job.objects.across_tenants().filter(pk=job.pk).update(**values)


def test_an_attempt_has_its_number_once(tenant):
    job = JobFactory(tenant=tenant)
    claimed(job)

    with pytest.raises(IntegrityError, match="attempt_once_per_number"):
        JobAttempt.objects.create(tenant=tenant, job=job, number=1, worker="w", step="summarize")


def test_an_empty_document_cannot_be_stored(tenant):
    with pytest.raises(IntegrityError, match="document_is_not_empty"):
        document = Document(tenant_id=tenant.id)
        document.take_text("")
        document.save()


def test_a_tenant_with_jobs_cannot_be_deleted_by_accident(tenant):
    completed(JobFactory(tenant=tenant))

    with pytest.raises(IntegrityError):
        tenant.delete()


def test_ids_are_version_7_and_ordered_by_time():
    first = uuid7()
    time.sleep(0.002)
    second = uuid7()

    assert (first.version, first.variant) == (7, uuid.RFC_4122)
    assert first < second
    assert abs((first.int >> 80) - time.time() * 1000) < 1000
