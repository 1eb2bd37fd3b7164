"""Jobs and what belongs to them (see config/isolation.py).

The role API may not write what only workers know: results, leases' holders, attempts, calls. Staff
act on a tenant's jobs in that tenant's name, as the role API; on their own they only read.
"""

from django.db.models import Model

from config.catalogue import accept_unique
from config.isolation import ALL, FOR_EVERYBODY, OF_THE_TENANT, Access, declare
from jobs.models import SEALED, Document, Job, JobAttempt

MOVED_BY_PEOPLE = (
    "UPDATE (status, ready, due_at, deadline_at, run, crashes, failures, error_code, error_detail,"
    " ended_at, worker, lease_expires_at, unknown_calls, priority)"
)


def readable(model: type[Model], *sealed: str) -> str:
    """The privilege to read all columns but those: staff see what becomes of a guideline, not what
    it says (see jobs/reveals.py)."""
    columns = [field.column or "" for field in model._meta.concrete_fields]
    return f"SELECT ({', '.join(column for column in columns if column not in sealed)})"


declare(
    # What may be changed is taken away, and filled in where a file was read: a trigger refuses
    # another text. The pages come with what was read, so the role API cannot say it was.
    Access(
        "jobs_document",
        api="SELECT, INSERT, UPDATE (sealed_text, digest)",
        worker="SELECT, UPDATE (sealed_text, digest, page_starts)",
        staff=readable(Document, "sealed_text"),
    ),
    # What has come in as a file is for whoever reads it. A trigger deletes it when its job leaves
    # that step, which the tenant and staff may bring about by cancelling the job.
    Access(
        "jobs_upload",
        api="SELECT (tenant_id, job_id, created_at), INSERT, DELETE",
        worker="SELECT, UPDATE (attempt, worker, lease_expires_at), DELETE",
        staff="SELECT (tenant_id, job_id, media_type, attempt, worker, lease_expires_at,"
        " created_at)",
    ),
    Access(
        "jobs_job",
        api=f"SELECT, INSERT, {MOVED_BY_PEOPLE}, UPDATE (deleted_at)",
        worker="SELECT, UPDATE",
        staff=readable(Job, *SEALED),
    ),
    Access("jobs_joblabel", api="INSERT, SELECT, DELETE", worker="SELECT, DELETE"),
    # guardian's grants on single jobs, to members and to the tenant's own role groups.
    Access("jobs_jobuserobjectpermission", api="SELECT, INSERT, DELETE"),
    Access(
        "jobs_jobgroupobjectpermission",
        rows=f"{OF_THE_TENANT} AND group_id IN (SELECT id FROM auth_group)",  # noqa: S608
        api="SELECT, INSERT, DELETE",
    ),
    Access(
        "jobs_jobattempt",
        api="SELECT, UPDATE (outcome, error_code, sealed_error, ended_at)",
        worker="SELECT, INSERT, UPDATE",
        staff=readable(JobAttempt, "sealed_error"),
    ),
    Access(
        "jobs_jobevent",
        api="SELECT, INSERT",
        worker="SELECT, INSERT",
    ),
    Access(
        "jobs_llmcall",
        api="SELECT, UPDATE (outcome, ended_at)",
        worker="SELECT, INSERT, UPDATE",
    ),
    # Made with the job, used up by its calls, deleted by the trigger of its end.
    Access(
        "jobs_reservation",
        api="SELECT, INSERT, UPDATE (tokens, micros), DELETE",
        worker="SELECT, INSERT, UPDATE, DELETE",
    ),
    # A move's trigger keeps the counters and makes the row, as the tenant's plan says; to change
    # limits and weight is for staff.
    Access(
        "jobs_tenantqueue",
        api="SELECT, INSERT (tenant_id, is_active, max_running, max_waiting),"
        " UPDATE (is_active, running, departures)",
        worker="SELECT, INSERT, UPDATE",
        staff="SELECT, INSERT, UPDATE",
    ),
    Access("jobs_intake", api="SELECT, INSERT, UPDATE (arrivals)", worker="SELECT, INSERT, UPDATE"),
    Access(
        "jobs_bulkaction",
        worker="SELECT, UPDATE",
        staff="SELECT, INSERT, UPDATE",
    ),
    # A trigger notes each failure, in the transaction of whoever makes it; the pump counts them.
    Access("jobs_failure", worker="SELECT, INSERT, DELETE", staff=""),
    Access(
        "jobs_errorgroup",
        FOR_EVERYBODY,
        worker=ALL,
        staff="SELECT, UPDATE (state, is_back, changed_at)",
    ),
    Access("jobs_errorgroupcount", worker=ALL),
    Access("jobs_worker", FOR_EVERYBODY, worker=ALL),
    Access("jobs_circuit", FOR_EVERYBODY, api="SELECT", worker=ALL, staff=ALL),
    Access("django_celery_results_taskresult", FOR_EVERYBODY, worker=ALL),
    Access("django_celery_results_groupresult", FOR_EVERYBODY),
    Access("django_celery_results_chordcounter", FOR_EVERYBODY),
)

accept_unique(
    {
        "jobs_job (event_id)": "74 random bits, made by us",
        "jobs_bulkaction (token)": "122 random bits, made by us; only staff write it",
    }
)
