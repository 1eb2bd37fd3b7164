"""Between the door and the chain: who reads what, and what becomes of the job."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.utils import timezone

from config.isolation import DatabaseRole, acting_as
from jobs import claims, deletion, dispatch, services, tasks
from jobs.documents import reading
from jobs.documents.formats import Format
from jobs.documents.reading import Incoming
from jobs.errors import InvalidTransition
from jobs.models import Document, Job, JobEvent, JobStatus, Reservation, TenantQueue, Upload
from tenants.models import AuditEntry
from tests.factories import JobFactory, TenantFactory
from tests.jobs import files
from tests.jobs.acts import completed

PAGES = [files.lines((f"{files.TEXT} Page {n}.", 11, 72, 700)) for n in (1, 2)]


def uploaded(tenant, content=None, kind=Format.DOCX, **fields):
    incoming = Incoming(files.docx() if content is None else content, kind)
    return JobFactory(tenant=tenant, guideline_text="", file=incoming, **fields)


@pytest.fixture
def read(transactional_db):
    """Reads the document that is next; the job as it is then. A reader lets its connection go."""

    def act(job=None):
        event_id = reading.read_next("reader")
        if job is None:
            return event_id
        assert event_id == str(job.event_id)
        job.refresh_from_db()
        return job

    return act


def lose_lease():
    Upload.objects.across_tenants().update(lease_expires_at=timezone.now() - timedelta(seconds=1))


# --- What becomes of the job --------------------------------------------------------------------


def test_a_document_that_was_read_is_a_guideline_like_any_other(read, tenant):
    job = read(uploaded(tenant))

    assert (job.status, job.step, job.ready) == (JobStatus.PENDING, "summarize", True)
    assert job.document.text == f"{files.TEXT}\n"
    assert not Upload.objects.across_tenants().exists()
    assert Reservation.objects.for_tenant(tenant.id).get().tokens > 0
    assert claims.claim_next("w").id == job.pk


def test_the_pages_of_a_pdf_are_kept_with_its_text(read, tenant):
    job = read(uploaded(tenant, files.pdf(*PAGES), Format.PDF))

    text, starts = job.document.text, job.document.page_starts
    assert [text[start:].split(".")[1] for start in starts] == [" Page 1", " Page 2"]


def test_no_worker_of_the_chain_takes_a_job_that_is_not_read(tenant):
    uploaded(tenant)

    services.pump()

    assert claims.claim_next("w") is None


def test_a_document_that_cannot_be_read_fails_its_job_and_its_file_is_gone(read, tenant):
    job = read(uploaded(tenant, files.flate_bomb(), Format.PDF))

    assert (job.status, job.error_code) == (JobStatus.FAILED, "unsafe_document")
    assert "more than any ordinary document" in job.error_detail
    assert not Upload.objects.across_tenants().exists()
    last = JobEvent.objects.for_tenant(tenant.id).filter(job=job).last()
    assert (last.to_status, last.actor, last.note) == ("FAILED", "reader", "unsafe_document")


def test_a_job_whose_file_is_gone_cannot_be_retried(read, tenant):
    job = read(uploaded(tenant, b"x", Format.PDF))

    with pytest.raises(InvalidTransition, match="Submit it again"):
        services.retry_job(tenant_id=tenant.id, event_id=job.event_id, actor="a")

    with pytest.raises(IntegrityError, match="job_move_is_allowed"), transaction.atomic():
        Job.objects.across_tenants().update(
            status="PENDING", run=2, ended_at=None, error_code="", error_detail=""
        )


def test_a_document_that_no_budget_holds_fails_its_job_and_can_be_retried_later(read):
    tenant = TenantFactory(plan={"tokens_per_day": 100})
    job = read(uploaded(tenant))

    assert (job.status, job.error_code) == (JobStatus.FAILED, "budget_exhausted")
    assert job.document.text == f"{files.TEXT}\n"
    assert not Reservation.objects.for_tenant(tenant.id).exists()

    tenant.plan.tokens_per_day = 10**9
    tenant.plan.save()
    again = services.retry_job(tenant_id=tenant.id, event_id=job.event_id, actor="a")
    assert (again.status, again.step, again.ready) == (JobStatus.PENDING, "summarize", True)


def test_what_was_reserved_on_another_day_is_not_counted_on_this_one(read, tenant):
    job = uploaded(tenant)
    Reservation.objects.for_tenant(tenant.id).update(day=timezone.now().date() - timedelta(days=1))

    read(job)

    assert Reservation.objects.for_tenant(tenant.id).get().day == timezone.now().date()


def test_a_job_that_is_cancelled_or_expires_before_it_is_read_leaves_no_file(read, tenant):
    cancelled, expired = uploaded(tenant), uploaded(tenant)

    with acting_as(DatabaseRole.API, tenant.id):
        services.cancel_job(tenant_id=tenant.id, event_id=cancelled.event_id, actor="a")
    Job.objects.for_tenant(tenant.id).filter(pk=expired.pk).update(
        deadline_at=timezone.now() - timedelta(seconds=1)
    )
    assert read() is None
    services.pump()

    assert not Upload.objects.across_tenants().exists()
    expired.refresh_from_db()
    assert expired.status == JobStatus.EXPIRED


def test_what_was_read_of_a_job_that_was_cancelled_meanwhile_is_dropped(read, tenant, monkeypatch):
    job = uploaded(tenant)
    read_document = reading.sandbox.read_document

    def cancel_and_read(*args, **kwargs):
        services.cancel_job(tenant_id=tenant.id, event_id=job.event_id, actor="a")
        return read_document(*args, **kwargs)

    monkeypatch.setattr(reading.sandbox, "read_document", cancel_and_read)

    assert read(job).status == JobStatus.CANCELLED
    assert job.document.text is None


def test_a_deleted_job_leaves_neither_text_nor_pages(read, tenant):
    job = completed(read(uploaded(tenant, files.pdf(*PAGES), Format.PDF)))

    assert deletion.delete_job(tenant_id=tenant.id, event_id=job.event_id)

    document = Document.objects.for_tenant(tenant.id).get()
    assert (document.sealed_text, document.digest, document.page_starts) == (None, "", None)


def test_the_audit_log_says_what_was_read_by_its_digest(read, tenant):
    job = read(uploaded(tenant, files.pdf(*PAGES), Format.PDF))

    entry = AuditEntry.objects.for_tenant(tenant.id).get(action="document.read")
    assert entry.after["digest"] == job.document.digest
    assert entry.after["pages"] == 2
    assert files.TEXT[:20] not in str(entry.after)


# --- Readers that are lost ----------------------------------------------------------------------


def test_a_reader_that_dies_loses_the_document_to_the_next(read, tenant):
    job = uploaded(tenant)
    lost = reading._claim("first")

    assert read() is None  # its lease still runs
    lose_lease()
    read(job)

    assert lost.attempt == 1
    assert job.step == "summarize"


def test_a_late_reader_changes_nothing(tenant):
    job = uploaded(tenant)
    late = reading._claim("late")
    lose_lease()
    reading._claim("next")

    reading._go_on(late, reading.Reading("what the late one read"))

    job.refresh_from_db()
    assert (job.step, job.document.text) == ("read", None)


def test_a_document_that_costs_three_readers_is_poison(tenant):
    job = uploaded(tenant)
    for _ in range(3):
        assert reading._claim("w")
        services.pump()
        lose_lease()

    assert reading._claim("w") is None
    services.pump()

    job.refresh_from_db()
    assert (job.status, job.error_code) == (JobStatus.FAILED, "poison")
    assert "stopped its reader three times" in job.error_detail
    assert not Upload.objects.across_tenants().exists()


def test_the_pump_wakes_a_reader_for_each_document_that_waits(tenant, monkeypatch):
    sent = []
    monkeypatch.setattr(dispatch, "publish", lambda count, kind: sent.append((kind.task, count)))
    monkeypatch.setattr(dispatch, "waiting_wake_ups", lambda kind: 0)
    for _ in range(3):
        uploaded(tenant)

    services.pump()

    assert (tasks.read_document.name, 3) in sent


# --- Fairness -----------------------------------------------------------------------------------


def test_tenants_take_turns_whoever_came_first_and_however_many_wait(db):
    first, second = TenantFactory(), TenantFactory()
    for _ in range(3):
        uploaded(first)
    for _ in range(2):
        uploaded(second)

    served = []
    while claim := reading._claim("w"):
        served.append(claim.tenant_id)
        Upload.objects.across_tenants().filter(job_id=claim.job_id).delete()

    assert {served[0], served[1]} == {served[2], served[3]} == {first.id, second.id}
    assert served[4] == first.id


def test_no_tenant_has_more_than_two_documents_read_at_once(tenant):
    for _ in range(3):
        uploaded(tenant)

    assert [bool(reading._claim("w")) for _ in range(3)] == [True, True, False]


def test_a_paused_tenants_documents_wait(tenant):
    uploaded(tenant)
    TenantQueue.objects.filter(tenant=tenant).update(is_paused=True)

    assert reading._claim("w") is None


def test_of_one_tenant_the_more_urgent_is_read_first(tenant):
    uploaded(tenant)
    urgent = uploaded(tenant, priority=1)

    assert reading._claim("w").job_id == urgent.pk


# --- What holds whoever writes --------------------------------------------------------------------


def test_a_job_at_step_read_is_never_ready(tenant):
    uploaded(tenant)

    with pytest.raises(IntegrityError, match="job_is_read_before_it_runs"):
        Job.objects.across_tenants().update(ready=True)


def test_no_other_job_fails_without_an_attempt(tenant):
    JobFactory(tenant=tenant)

    with pytest.raises(IntegrityError, match="job_move_is_allowed"):
        Job.objects.across_tenants().update(
            status="FAILED", ready=False, error_code="x", ended_at=timezone.now()
        )


@pytest.mark.parametrize("role", [DatabaseRole.API, DatabaseRole.WORKER])
def test_a_text_comes_to_a_document_only_where_its_file_is(tenant, role):
    job = JobFactory(tenant=tenant)
    services.cancel_job(tenant_id=tenant.id, event_id=job.event_id, actor="a")
    deletion.delete_job(tenant_id=tenant.id, event_id=job.event_id)
    given = {"sealed_text": b"x" * 99, "digest": "0" * 64}
    given |= {"page_starts": []} if role is DatabaseRole.WORKER else {}

    with (
        pytest.raises(IntegrityError, match="document_is_only_ever_erased"),
        acting_as(role, tenant.id),
    ):
        Document.objects.for_tenant(tenant.id).update(**given)


def test_the_api_cannot_say_that_a_document_was_read(tenant):
    job = uploaded(tenant)
    documents = Document.objects.for_tenant(tenant.id).filter(pk=job.document_id)

    for given in ({"page_starts": []}, {"sealed_text": b"x" * 99, "digest": "0" * 64}):
        with (
            pytest.raises((ProgrammingError, IntegrityError)),
            acting_as(DatabaseRole.API, tenant.id),
        ):
            documents.update(**given)

    job.refresh_from_db()
    assert job.document.text is None


def test_the_api_never_sees_the_files_that_wait(tenant):
    uploaded(tenant)

    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        acting_as(DatabaseRole.API, tenant.id),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT sealed_original FROM jobs_upload")


def test_the_worker_role_may_do_all_that_reading_takes(tenant):
    job = uploaded(tenant)

    with acting_as(DatabaseRole.WORKER):
        reading._go_on(reading._claim("w"), reading.Reading(files.TEXT, [0]))

    job.refresh_from_db()
    assert (job.step, job.document.page_starts) == ("summarize", [0])
