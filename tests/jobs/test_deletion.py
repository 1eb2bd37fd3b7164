"""What is deleted is gone: on request, or when its tenant's time for it is over."""

import uuid
from datetime import timedelta

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.urls import reverse
from django.utils import timezone

from config.isolation import DatabaseRole, acting_as
from jobs import bulk, claims, deletion, services, tasks
from jobs.filters import JobFilter
from jobs.models import Document, Job, JobAttempt, LLMCall, Step
from tenants.models import AuditEntry, IdempotencyRecord, Scope
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import SUMMARY, claimed, completed, fail, failed
from tests.jobs.test_state_machine import in_status

OVER = ["COMPLETED", "FAILED", "CANCELLED", "EXPIRED"]
TITLED = {"title": "Hand hygiene", "metadata": {"ward": "7b"}}


def path(job):
    return f"/jobs/{job.event_id}"


def delete(job):
    return deletion.delete_job(tenant_id=job.tenant_id, event_id=job.event_id)


def grow_older(days):
    """As if so much time had passed since everything ended: triggers guard the past, so without."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE jobs_job SET ended_at = ended_at - %s", [timedelta(days=days)])
        cursor.execute("SET session_replication_role = DEFAULT")


def stays_of(job):
    """Every value of the rows of a job, its document and its attempts."""
    tables = [
        (Job, {"pk": job.pk}),
        (Document, {"pk": job.document_id}),
        (JobAttempt, {"job": job}),
    ]
    rows = (m.objects.across_tenants().filter(**which).values() for m, which in tables)
    return [row for table in rows for row in table]


# --- By request -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", OVER)
def test_a_deleted_job_is_absent_for_good(api, tenant, status):
    job = in_status(tenant, status)

    assert api.delete(path(job)).status_code == 204

    answers = [
        api.get(path(job)),
        api.delete(path(job)),
        api.post(f"{path(job)}/retry"),
        api.post(f"{path(job)}/cancel"),
        api.post(f"{path(job)}/replay"),
        api.get(f"{path(job)}/shares"),
        api.post(f"{path(job)}/shares", {"role": "viewer"}, format="json"),
        api.get(f"/jobs/{uuid.uuid4()}"),
    ]
    assert {answer.status_code for answer in answers} == {404}
    bodies = [{k: v for k, v in a.json().items() if k != "request_id"} for a in answers]
    assert all(body == bodies[0] for body in bodies)
    assert api.get("/jobs").json()["data"] == []
    assert api.get("/jobs", {"status": status}).json()["data"] == []


def test_nothing_that_a_job_said_is_left_but_counts_and_times_are(tenant):
    job = completed(JobFactory(tenant=tenant, **TITLED))
    before = Job.objects.across_tenants().values().get()

    assert delete(job)

    after = Job.objects.across_tenants().values().get()
    emptied = {"sealed_summary": None, "sealed_result": None, "fingerprint": ""}
    emptied |= {"title": "", "metadata": {}}
    assert after == before | emptied | {"deleted_at": after["deleted_at"]}
    assert after["deleted_at"] is not None
    document = Document.objects.across_tenants().get()
    assert (document.sealed_text, document.digest, document.text) == (None, "", None)


def test_the_raw_errors_of_its_attempts_are_gone_too(tenant):
    job = failed(JobFactory(tenant=tenant))
    assert "raw provider text" in job.attempts.get().error

    delete(job)

    attempt = job.attempts.get()
    assert (attempt.sealed_error, attempt.error, attempt.error_code) == (None, "", "llm_refused")


@pytest.mark.parametrize("act", ["cancel", "retry", "replay"])
def test_no_kept_answer_tells_of_it_any_more(api, tenant, act):
    status = "PENDING" if act == "cancel" else "FAILED"
    job = in_status(tenant, status)
    Job.objects.across_tenants().update(**TITLED)

    def answered():
        return api.post(f"{path(job)}/{act}", headers={"Idempotency-Key": "k"})

    first = answered()
    assert first.json()["title"] == TITLED["title"]
    assert answered().headers["Idempotent-Replayed"] == "true"
    told_of = Job.objects.across_tenants().get(event_id=first.json()["event_id"])
    if not told_of.is_over:
        completed(told_of)

    assert api.delete(path(told_of)).status_code == 204

    assert not IdempotencyRecord.objects.across_tenants().exists()


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING"])
def test_a_job_that_goes_on_is_not_deleted(api, tenant, status):
    job = in_status(tenant, status)
    before = stays_of(job)

    answer = api.delete(path(job))

    body = answer.json()
    assert (answer.status_code, body["code"], body["job_status"]) == (
        409,
        "invalid_transition",
        status,
    )
    assert "Cancel it first" in body["detail"]
    assert stays_of(job) == before


def test_another_tenants_job_is_as_absent_as_one_that_never_was(api, tenant):
    job = completed(JobFactory())
    before = stays_of(job)

    answers = [api.delete(path(job)), api.delete(f"/jobs/{uuid.uuid4()}")]

    assert [a.status_code for a in answers] == [404, 404]
    bodies = [{k: v for k, v in a.json().items() if k != "request_id"} for a in answers]
    assert bodies[0] == bodies[1]
    assert stays_of(job) == before


def test_deleting_needs_the_scope(client_for, tenant):
    job = completed(JobFactory(tenant=tenant))

    answer = client_for(tenant, [Scope.JOBS_READ, Scope.JOBS_SUBMIT]).delete(path(job))

    assert answer.status_code == 403
    assert client_for(tenant).get(path(job)).status_code == 200


def test_a_deletion_is_audited_by_hash_and_not_by_word(api, tenant):
    job = completed(JobFactory(tenant=tenant, **TITLED))
    digest = job.document.digest

    api.delete(path(job))
    api.delete(path(job))

    entry = AuditEntry.objects.for_tenant(tenant.id).get(action="job.deleted")
    assert (entry.object_type, entry.object_id) == ("job", str(job.event_id))
    assert entry.actor == "gpc_test"
    assert entry.before == {"status": "COMPLETED", "document": digest, "because": "request"}
    assert entry.after is None
    again = JobFactory(tenant=tenant)  # the same text, so the tenant can recognise it
    assert again.document.digest == digest
    assert JobFactory(guideline_text="Other.", tenant=tenant).document.digest != digest


def test_a_document_that_another_job_still_has_stays(tenant):
    first = completed(JobFactory(tenant=tenant))
    second = Job.objects.create(tenant=tenant, document=first.document, submitted_by="gpc_test")

    delete(first)
    assert Document.objects.across_tenants().get().text == "Staff MUST wash their hands."

    completed(second)
    delete(second)
    assert Document.objects.across_tenants().get().text is None


def test_a_deletion_that_fails_leaves_everything(tenant, monkeypatch):
    job = completed(JobFactory(tenant=tenant, **TITLED))
    before = stays_of(job)
    monkeypatch.setattr(deletion.audit, "record", lambda *a, **k: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        delete(job)

    assert stays_of(job) == before


# --- What the database itself holds to --------------------------------------------------------


def change(job, **values):
    with transaction.atomic():
        Job.objects.across_tenants().filter(pk=job.pk).update(**values)


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING"])
def test_the_database_deletes_no_job_that_goes_on(tenant, status):
    with pytest.raises(IntegrityError, match="job_is_deleted_over_and_whole"):
        change(in_status(tenant, status), deleted_at=timezone.now())


@pytest.mark.parametrize(
    "besides", [{"status": "PENDING"}, {"title": "x"}, {"llm_calls": 0}, {"error_code": "x"}]
)
def test_a_deletion_is_nothing_but_a_deletion(tenant, besides):
    job = completed(JobFactory(tenant=tenant, **TITLED))

    with pytest.raises(IntegrityError, match="job_is_deleted_over_and_whole"):
        change(job, deleted_at=timezone.now(), **besides)


@pytest.mark.parametrize(
    "values",
    [
        {"deleted_at": None},
        {"deleted_at": timezone.now()},
        {"title": "x"},
        {"sealed_result": b"x"},
        {"status": "PENDING", "ended_at": None, "error_code": "", "run": 2},
        {"llm_calls": 99},
    ],
)
def test_what_is_deleted_stays_deleted(tenant, values):
    job = failed(JobFactory(tenant=tenant))
    delete(job)

    with pytest.raises(IntegrityError, match="job_that_is_deleted_stays_deleted"):
        change(job, **values)


def test_a_call_that_nobody_answers_for_is_counted_after_a_deletion_too(tenant):
    """The pump settles all of them in one statement: a refusal would stop it for everybody."""
    job = completed(JobFactory(tenant=tenant))
    delete(job)
    LLMCall.objects.create(tenant=tenant, job=job, attempt=1, step="summarize", label="late")

    claims.sweep()

    job.refresh_from_db()
    assert job.unknown_calls == 1


@pytest.mark.parametrize(
    "values", [{"sealed_text": b"x" * 99}, {"uid": uuid.uuid4()}, {"digest": "0" * 64}]
)
def test_a_text_is_erased_or_stays_as_it_is(tenant, values):
    JobFactory(tenant=tenant)

    with pytest.raises(IntegrityError, match="document_is_only_ever_erased"), transaction.atomic():
        Document.objects.across_tenants().update(**values)


def test_a_tenants_request_may_erase_a_text_and_not_write_a_result(tenant):
    job = claimed(JobFactory(tenant=tenant))

    with pytest.raises(ProgrammingError), acting_as(DatabaseRole.API, tenant.id):
        Job.objects.for_tenant(tenant.id).filter(pk=job.id).update(sealed_result=b"x")


@pytest.mark.parametrize("column", ["sealed_summary", "sealed_result", "sealed_text"])
def test_what_is_moved_to_another_row_does_not_open(tenant, column):
    from config.crypto import CannotUnseal

    mine, other = (completed(JobFactory(tenant=tenant)) for _ in range(2))
    name = column.removeprefix("sealed_")
    here, there = (mine.document, other.document) if name == "text" else (mine, other)

    setattr(there, column, getattr(here, column))

    assert getattr(here, name)
    with pytest.raises(CannotUnseal):
        getattr(there, name)


def test_a_summary_does_not_open_as_a_result(tenant):
    from config.crypto import CannotUnseal

    job = completed(JobFactory(tenant=tenant))
    job.sealed_result = job.sealed_summary

    assert job.summary == SUMMARY
    with pytest.raises(CannotUnseal):
        _ = job.result


def test_nothing_that_a_guideline_or_a_model_says_stands_in_the_rows_in_clear(tenant):
    job = JobFactory(tenant=tenant, guideline_text="Staff MUST heed the canary. " * 100)
    claim = claimed(job)
    services.save_step(claim, Step.SUMMARIZE, SUMMARY | {"value": {"title": "canary"}})
    fail(claim, ValueError("canary"))

    with connection.cursor() as cursor:
        for table in ("jobs_job", "jobs_document", "jobs_jobattempt"):
            cursor.execute(f"SELECT t::text FROM {table} AS t")
            shown = " ".join(row[0] for row in cursor.fetchall())
            assert "canary" not in shown
            assert b"canary".hex() not in shown
    job.refresh_from_db()
    assert "canary" in job.document.text
    assert job.summary["value"] == {"title": "canary"}
    assert job.attempts.get().error == "ValueError: canary"


# --- Retention --------------------------------------------------------------------------------


@pytest.fixture
def forgetful(db):
    tenant = TenantFactory()
    tenant.retention_days = 30
    tenant.save(update_fields=["retention_days"])
    return tenant


def test_jobs_go_when_their_tenants_time_is_over_and_no_day_before(forgetful):
    jobs = [in_status(forgetful, status) for status in OVER]

    grow_older(29)
    assert deletion.purge() == 0
    grow_older(2)
    assert deletion.purge() == len(OVER)
    assert deletion.purge() == 0

    rows = Job.objects.for_tenant(forgetful.id).filter(pk__in=[j.pk for j in jobs])
    assert not rows.filter(deleted_at=None).exists()
    assert not Document.objects.across_tenants().exclude(sealed_text=None).exists()


def test_a_tenant_without_a_period_keeps_its_jobs(tenant, forgetful):
    kept, gone = completed(JobFactory(tenant=tenant)), completed(JobFactory(tenant=forgetful))
    grow_older(10_000)

    assert deletion.purge() == 1

    kept.refresh_from_db()
    gone.refresh_from_db()
    assert (kept.deleted_at, gone.deleted_at is None) == (None, False)
    assert kept.document.text


def test_a_tenant_that_says_nothing_keeps_its_jobs_as_long_as_its_plan_says(db):
    tenant = TenantFactory(plan={"retention_days": 30})
    completed(JobFactory(tenant=tenant))

    grow_older(29)
    assert deletion.purge() == 0
    grow_older(2)
    assert deletion.purge() == 1


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING"])
def test_a_job_that_goes_on_is_kept_however_old(forgetful, status):
    job = in_status(forgetful, status)
    grow_older(365)

    assert deletion.purge() == 0
    job.refresh_from_db()
    assert job.document.text


def test_a_purge_is_audited_as_the_systems_act_by_hash(forgetful):
    job = completed(JobFactory(tenant=forgetful, **TITLED))
    digest = job.document.digest
    grow_older(31)

    deletion.purge()

    entry = AuditEntry.objects.for_tenant(forgetful.id).get(action="job.deleted")
    assert (entry.action, entry.actor_kind, entry.object_id) == (
        "job.deleted",
        "system",
        str(job.event_id),
    )
    assert entry.before == {"status": "COMPLETED", "document": digest, "because": "retention"}


def test_many_go_in_batches_and_a_failure_costs_one_batch(forgetful, monkeypatch):
    monkeypatch.setattr(deletion, "BATCH", 2)
    for _ in range(5):
        completed(JobFactory(tenant=forgetful))
    grow_older(31)
    committed, points = [], iter([None, ZeroDivisionError])

    def reach(name):
        committed.append(name)
        if error := next(points, None):
            raise error

    monkeypatch.setattr(deletion, "failpoint", reach)
    with pytest.raises(ZeroDivisionError):
        deletion.purge()
    left = Job.objects.for_tenant(forgetful.id).filter(deleted_at=None)
    assert left.count() == 3

    assert deletion.purge() == 3
    assert left.count() == 0


def test_workers_purge_in_their_own_role_as_the_pump_goes(forgetful, monkeypatch):
    completed(JobFactory(tenant=forgetful))
    grow_older(31)
    monkeypatch.setattr(tasks, "_pumped_at", float("-inf"))
    monkeypatch.setattr(tasks, "_purged_at", float("-inf"))

    with acting_as(DatabaseRole.WORKER):
        tasks.pump()

    assert not Job.objects.for_tenant(forgetful.id).filter(deleted_at=None).exists()


@pytest.mark.parametrize("days", [0, 36_501])
def test_a_period_is_a_day_to_a_century(tenant, days):
    tenant.retention_days = days

    with pytest.raises(IntegrityError, match="tenant_keeps_jobs_for_a_day"), transaction.atomic():
        tenant.save(update_fields=["retention_days"])


def test_what_is_due_is_found_by_the_index(forgetful):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("DROP INDEX job_ended")  # among three rows one index is as good as another
        cursor.execute(f"EXPLAIN {deletion.OUT_OF_TIME}", {"batch": 100})
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert "job_retention" in plan


# --- Everybody else passes deleted jobs by ------------------------------------------------------


def test_many_are_retried_but_none_that_is_deleted(tenant):
    delete(failed(JobFactory(tenant=tenant)))
    failed(JobFactory(tenant=tenant))

    action = bulk.start(kind="retry", chosen=JobFilter(status="FAILED"), actor="ann", reason="x")

    assert action.total == 1


def test_staff_retry_none_that_is_deleted(admin_client, tenant):
    job = failed(JobFactory(tenant=tenant))
    delete(job)

    page = reverse("admin:job_retry", args=[job.event_id])

    assert admin_client.post(page, {"reason": "mended"}).status_code == 404
