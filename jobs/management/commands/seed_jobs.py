"""Fills a database with jobs of many tenants, to see how pages and queries do among millions.

By SQL, past the triggers that would do for each row what is done here at once: only for a database
that is for nothing else.
"""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction

from jobs.models import Job
from tenants.models import Tenant

SLUG = "seeded-"
DAYS = 30  # over which the jobs were submitted, evenly

# Of 100 jobs: 88 completed, 6 failed, 2 cancelled, 1 expired, 3 waiting; a few of those run.
# One tenant in ten has half of all jobs.
TENANTS = """
INSERT INTO tenants_tenant (id, name, slug, is_active, created_at, plan_id)
SELECT gen_random_uuid(), 'Seeded tenant ' || n, %(slug)s || n, true, now(), 'standard'
FROM generate_series(1, %(tenants)s) AS n
"""
QUEUES = """
INSERT INTO jobs_tenantqueue (tenant_id, max_running, max_waiting, is_active)
SELECT id, 16, 1000000, false FROM tenants_tenant WHERE slug LIKE %(slug)s || '%%'
"""
DOCUMENTS = """
INSERT INTO jobs_document (uid, tenant_id, sealed_text, digest)
SELECT gen_random_uuid(), id, decode(repeat('00', 64), 'hex'), repeat('0', 64)
FROM tenants_tenant WHERE slug LIKE %(slug)s || '%%'
"""
PLACES = """
CREATE TEMPORARY TABLE place ON COMMIT DROP AS
SELECT row_number() OVER (ORDER BY document.id) AS n, document.id, document.tenant_id
FROM jobs_document AS document JOIN tenants_tenant AS tenant ON tenant.id = document.tenant_id
WHERE tenant.slug LIKE %(slug)s || '%%'
"""
JOBS = """
INSERT INTO jobs_job (event_id, tenant_id, document_id, submitted_by, title, metadata, priority,
    options, model, prompts, status, step, ready, run, attempt, crashes, failures, event_seq,
    worker, lease_expires_at, sealed_summary, sealed_result, error_code, error_detail, llm_calls,
    prompt_tokens, completion_tokens, unknown_calls, created_at, due_at, deadline_at, started_at,
    ended_at)
SELECT
    -- A time-ordered id of that moment (RFC 9562 section 5.7), with the number as its random part.
    (lpad(to_hex((extract(epoch FROM made.at) * 1000)::bigint), 12, '0') || '7000'
        || 'a' || lpad(to_hex(made.n), 15, '0'))::uuid,
    place.tenant_id, place.id, 'gpc_seeded', 'Guideline ' || made.n,
    CASE WHEN made.n %% 5 = 0 THEN jsonb_build_object('case', 'C-' || made.n, 'site',
        'site-' || made.n %% 50) ELSE '{}' END,
    0, jsonb_build_object('model', made.model, 'cache', true), made.model,
    '{"summarize": 2, "checklist": 2, "repair": 1}',
    made.status, CASE WHEN made.status = 'COMPLETED' THEN 'checklist' ELSE 'summarize' END,
    made.status = 'PENDING', 1, made.attempt, 0, 0, 3,
    CASE WHEN made.status = 'PROCESSING' THEN 'worker-' || made.n %% 20 || '@seeded' ELSE '' END,
    CASE WHEN made.status = 'PROCESSING' THEN now() + interval '1 hour' END,
    CASE WHEN made.status = 'COMPLETED' THEN decode(repeat('00', 64), 'hex') END,
    CASE WHEN made.status = 'COMPLETED' THEN decode(repeat('00', 64), 'hex') END,
    CASE WHEN made.status = 'FAILED' THEN (ARRAY['llm_refused', 'llm_timeout', 'llm_truncated',
        'llm_invalid_output', 'poison'])[1 + made.n / 100 %% 5] ELSE '' END,
    CASE WHEN made.status = 'FAILED' THEN 'It failed, for reason ' || made.n %% 3 ELSE '' END,
    2, 4000, 2000, 0, made.at, made.at, made.at + interval '1 day',
    CASE WHEN made.attempt > 0 THEN made.at + interval '2 seconds' END,
    CASE WHEN made.status NOT IN ('PENDING', 'PROCESSING') THEN made.at + interval '20 seconds' END
FROM (
    SELECT n, status, now() - (%(last)s - n) * interval '1 day' * %(days)s / %(jobs)s AS at,
        CASE WHEN n %% 40 = 0 THEN 'seeded-large' ELSE 'seeded-small' END AS model,
        CASE WHEN status = 'PENDING' THEN 0 WHEN n %% 50 = 0 THEN 2 ELSE 1 END AS attempt
    FROM (
        SELECT n, CASE
            WHEN n > %(last)s - 200 AND n %% 2 = 0 THEN 'PROCESSING'
            WHEN n %% 100 < 88 THEN 'COMPLETED' WHEN n %% 100 < 94 THEN 'FAILED'
            WHEN n %% 100 < 96 THEN 'CANCELLED' WHEN n %% 100 < 97 THEN 'EXPIRED'
            ELSE 'PENDING' END AS status
        FROM generate_series(%(first)s, %(to)s) AS n
    ) AS numbered
) AS made
JOIN place ON place.n = 1 + made.n / 2
    %% CASE WHEN made.n %% 2 = 0 THEN greatest(%(tenants)s / 10, 1) ELSE %(tenants)s END
"""
ATTEMPTS = """
INSERT INTO jobs_jobattempt (tenant_id, job_id, number, worker, step, outcome, error_code,
    started_at, ended_at)
SELECT tenant_id, id, number, coalesce(nullif(worker, ''), 'worker-' || id %% 20 || '@seeded'),
    'summarize',
    CASE WHEN status = 'PROCESSING' AND number = attempt THEN 'running'
        WHEN status = 'COMPLETED' AND number = attempt THEN 'completed' ELSE 'failed' END,
    CASE WHEN status <> 'COMPLETED' OR number < attempt THEN error_code ELSE '' END,
    started_at, CASE WHEN status = 'PROCESSING' AND number = attempt THEN NULL
        ELSE coalesce(ended_at, started_at) END
FROM jobs_job, generate_series(1, attempt) AS number WHERE submitted_by = 'gpc_seeded'
"""
EVENTS = """
INSERT INTO jobs_jobevent (tenant_id, job_id, seq, at, from_status, to_status, run, attempt, actor,
    note)
SELECT tenant_id, id, seq, CASE seq WHEN 1 THEN created_at WHEN 2 THEN started_at ELSE ended_at END,
    (ARRAY['', 'PENDING', 'PROCESSING'])[seq], (ARRAY['PENDING', 'PROCESSING', status])[seq], 1, 1,
    'seeded', ''
FROM jobs_job, generate_series(1, CASE WHEN ended_at IS NULL THEN 1 ELSE 3 END) AS seq
WHERE submitted_by = 'gpc_seeded'
"""
CALLS = """
INSERT INTO jobs_llmcall (tenant_id, job_id, attempt, step, label, outcome, requested_model, model,
    prompt_tokens, completion_tokens, charged_tokens, cost_micros, started_at, ended_at)
SELECT tenant_id, id, 1, of_call, event_id || '.1.' || of_call, 'ok', options->>'model',
    options->>'model', 2000, 1000, 3000, 900, started_at, started_at + interval '3 seconds'
FROM jobs_job, unnest(ARRAY['summarize', 'checklist']) AS of_call
WHERE submitted_by = 'gpc_seeded' AND status = 'COMPLETED'
"""
ENTRIES = """
INSERT INTO tenants_auditentry (tenant_id, actor_kind, actor, on_behalf_of, address, request_id,
    action, outcome, object_type, object_id, after)
SELECT tenant_id, 'key', 'gpc_' || id %% 1000, '', '192.0.2.1', '', what, 'done', 'job',
    event_id::text, '{"priority": "normal"}'
FROM jobs_job, unnest(CASE WHEN id %% 10 = 0
    THEN ARRAY['job.submitted', 'job.cancelled'] ELSE ARRAY['job.submitted'] END) AS what
WHERE submitted_by = 'gpc_seeded'
"""
LABELS = """
INSERT INTO jobs_joblabel (tenant_id, event_id, key, value)
SELECT tenant_id, event_id, label.key, label.value
FROM jobs_job, jsonb_each_text(metadata) AS label WHERE submitted_by = 'gpc_seeded'
"""
FAILURES = """
INSERT INTO jobs_failure (tenant_id, event_id, error_code, detail, at)
SELECT tenant_id, event_id, error_code, error_detail, ended_at FROM jobs_job
WHERE status = 'FAILED' AND submitted_by = 'gpc_seeded'
"""
ACTIVE = """
UPDATE jobs_tenantqueue AS queue SET is_active = true, running = (
    SELECT count(*) FROM jobs_job AS job
    WHERE job.tenant_id = queue.tenant_id AND status = 'PROCESSING'
)
"""
BATCH = 100_000


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--jobs", type=int, default=1_000_000)
        parser.add_argument("--tenants", type=int, default=1_000)

    def handle(self, *args: Any, **options: Any) -> None:
        if Job.objects.across_tenants().exists() or Tenant.objects.exists():
            raise CommandError("Only an empty database is seeded: this one has tenants or jobs.")
        began = time.monotonic()
        said = {"slug": SLUG, "days": DAYS, "last": options["jobs"], **options}
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SET LOCAL session_replication_role = replica")
            for statement in (TENANTS, QUEUES, DOCUMENTS, PLACES):
                cursor.execute(statement, said)
            for first in range(1, options["jobs"] + 1, BATCH):
                to = min(first + BATCH - 1, options["jobs"])
                cursor.execute(JOBS, said | {"first": first, "to": to})
                self.stdout.write(f"{to:,} jobs", ending="\n")
            for statement in (ATTEMPTS, EVENTS, CALLS, ENTRIES, LABELS, FAILURES, ACTIVE):
                cursor.execute(statement, said)
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute("VACUUM ANALYZE")
        self.stdout.write(f"Seeded in {time.monotonic() - began:.0f} s.")
