"""What POST and GET /jobs ask, each as one function: one round trip, planned once a connection.

Left to itself PostgreSQL would plan some of them anew each time: for the values at hand it finds
plans that look cheaper than the one for any, and do not count what planning costs.
"""

import django.db.models.deletion
from django.db import migrations, models

COUNTED = r"""
INSERT INTO jobs_intake (tenant_id, arrivals)
SELECT tenant_id, count(*) FROM jobs_job WHERE status = 'PENDING' GROUP BY tenant_id;

-- For a statement, not for each row: whoever makes a thousand jobs at once changes one row once.
CREATE FUNCTION jobs_intake_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobs_intake AS intake (tenant_id, arrivals)
    SELECT tenant_id, count(*) FROM made GROUP BY tenant_id ORDER BY tenant_id
    ON CONFLICT (tenant_id) DO UPDATE SET arrivals = intake.arrivals + excluded.arrivals;
    RETURN NULL;
END $$;
CREATE TRIGGER intake_follows AFTER INSERT ON jobs_job REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_intake_follows();
"""
UNCOUNTED = """
DROP TRIGGER intake_follows ON jobs_job;
DROP FUNCTION jobs_intake_follows;
"""

# As in 0018, and counts departures, in the statement that changes the queue's row anyhow.
FOLLOW = r"""
CREATE OR REPLACE FUNCTION jobs_queue_follows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    active boolean;
    departed integer := 0;
    started integer := 0;
BEGIN
    IF TG_OP = 'INSERT' OR NEW.ready AND NOT OLD.ready THEN
        SELECT is_active INTO active FROM jobs_tenantqueue WHERE tenant_id = NEW.tenant_id;
        IF active IS NULL THEN
            INSERT INTO jobs_tenantqueue (tenant_id, is_active, max_running, max_waiting)
            SELECT tenant.id, true, plan.max_running, plan.max_waiting
            FROM tenants_tenant AS tenant JOIN tenants_plan AS plan ON plan.code = tenant.plan_id
            WHERE tenant.id = NEW.tenant_id
            ON CONFLICT (tenant_id) DO UPDATE SET is_active = true;
        ELSIF NOT active THEN
            UPDATE jobs_tenantqueue SET is_active = true
            WHERE tenant_id = NEW.tenant_id AND NOT is_active;
        END IF;
    END IF;
    IF TG_OP = 'INSERT' THEN
        RETURN NULL;
    END IF;
    {departed}
    IF NEW.status = 'PROCESSING' AND OLD.status <> 'PROCESSING' THEN
        UPDATE jobs_tenantqueue SET
            running = running + 1,{departures}
            start_tag = greatest(virtual_time, system.earliest),
            virtual_time = greatest(virtual_time, system.earliest) + 1 / weight
        FROM (SELECT max(start_tag) - 1 AS earliest FROM jobs_tenantqueue) AS system
        WHERE tenant_id = NEW.tenant_id;
        RETURN NULL;
    END IF;
    started := -(OLD.status = 'PROCESSING' AND NEW.status <> 'PROCESSING')::integer;
    IF started <> 0 OR departed <> 0 THEN
        UPDATE jobs_tenantqueue SET{departures} running = running + started
        WHERE tenant_id = NEW.tenant_id;
    END IF;
    RETURN NULL;
END $$;
"""
DEPARTED = """departed := (OLD.status = 'PENDING' AND NEW.status <> 'PENDING')::integer
        - (OLD.status <> 'PENDING' AND NEW.status = 'PENDING')::integer;"""
WITH_DEPARTURES = {"departed": DEPARTED, "departures": " departures = departures + departed,"}
WITHOUT = {"departed": "", "departures": ""}

# As in 0015, but the waiting jobs are not counted.
# As in 0015, but the waiting jobs are not counted one by one.
ADMIT = r"""
CREATE OR REPLACE FUNCTION jobs_admit(
    tenant uuid, job bigint, asked_tokens bigint, asked_micros bigint
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    refused text := jobs_reserve(tenant, job, asked_tokens, asked_micros);
BEGIN
    IF refused = '' AND EXISTS (
        SELECT FROM jobs_intake JOIN jobs_tenantqueue USING (tenant_id)
        WHERE tenant_id = tenant AND arrivals - departures > max_waiting
    ) THEN
        RETURN 'waiting';
    END IF;
    RETURN refused;
END $$;
"""
SUBMIT = r"""
-- Accepts a job, or says why not and changes nothing: 'waiting' where as many of the tenant's wait
-- as may, or the name of the budget that does not suffice. Submissions of one tenant pass one at a
-- time, from the lock on their intake to the commit, so that both are exact. The budget comes last:
-- everybody locks it after a job and a queue.
CREATE FUNCTION jobs_submit(
    tenant uuid, document_uid uuid, document_text bytea, document_digest text, first_step text,
    new_event_id uuid, new_submitted_by text, new_title text, new_priority integer,
    new_metadata jsonb, new_options jsonb, new_prompts jsonb, new_fingerprint text,
    earlier bigint, patience interval, asked_tokens bigint, asked_micros bigint, audited jsonb,
    OUT refused text, OUT job_id bigint, OUT of_document bigint, OUT made_at timestamptz,
    OUT gives_up_at timestamptz
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    arrived bigint;
    is_read boolean := first_step <> 'read';
BEGIN
    SELECT arrivals INTO arrived FROM jobs_intake WHERE tenant_id = tenant FOR UPDATE;
    IF NOT FOUND THEN  -- the tenant's first, perhaps with others at once
        INSERT INTO jobs_intake (tenant_id) VALUES (tenant) ON CONFLICT DO NOTHING;
        SELECT arrivals INTO arrived FROM jobs_intake WHERE tenant_id = tenant FOR UPDATE;
    END IF;
    IF EXISTS (
        SELECT FROM jobs_tenantqueue
        WHERE tenant_id = tenant AND arrived - departures >= max_waiting
    ) THEN
        refused := 'waiting';
        RETURN;
    END IF;
    BEGIN
        INSERT INTO jobs_document (uid, tenant_id, sealed_text, digest)
        VALUES (document_uid, tenant, document_text, document_digest)
        RETURNING id INTO of_document;
        INSERT INTO jobs_job AS job (
            event_id, tenant_id, document_id, submitted_by, title, priority, metadata, options,
            prompts, fingerprint, supersedes_id, deadline_at, status, step, ready, due_at, run,
            attempt, crashes, failures, event_seq, worker, error_code, error_detail, llm_calls,
            prompt_tokens, completion_tokens, unknown_calls
        ) VALUES (
            new_event_id, tenant, of_document, new_submitted_by, new_title, new_priority,
            new_metadata, new_options, new_prompts, new_fingerprint, earlier, now() + patience,
            'PENDING', first_step, is_read, CASE WHEN is_read THEN now() ELSE '9999-01-01 00:00:00+00' END,
            1, 0, 0, 0, 0, '', '', '', 0, 0, 0, 0
        ) RETURNING job.id, job.created_at, job.deadline_at INTO job_id, made_at, gives_up_at;
        INSERT INTO tenants_auditentry (tenant_id, actor_kind, actor, on_behalf_of, address,
            request_id, action, outcome, object_type, object_id, after)
        SELECT tenant, actor_kind, actor, on_behalf_of, address, request_id, 'job.submitted',
            'done', 'job', new_event_id::text, after
        FROM jsonb_to_record(audited) AS said (actor_kind text, actor text, on_behalf_of text,
            address text, request_id text, after jsonb);
        refused := jobs_reserve(tenant, job_id, asked_tokens, asked_micros);
        IF refused <> '' THEN
            RAISE EXCEPTION USING ERRCODE = 'GP001';  -- takes back what this block has written
        END IF;
    EXCEPTION WHEN SQLSTATE 'GP001' THEN
        RETURN;
    END;
END $$;
"""
NO_ADMIT = r"""
CREATE OR REPLACE FUNCTION jobs_admit(tenant uuid, job bigint, asked_tokens bigint, asked_micros bigint)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    refused text := jobs_reserve(tenant, job, asked_tokens, asked_micros);
BEGIN
    IF refused = '' AND EXISTS (
        SELECT FROM jobs_job WHERE tenant_id = tenant AND status = 'PENDING' AND deleted_at IS NULL
        OFFSET (SELECT max_waiting FROM jobs_tenantqueue WHERE tenant_id = tenant) LIMIT 1
    ) THEN
        RETURN 'waiting';
    END IF;
    RETURN refused;
END $$;
"""

# What a job says of itself to its tenant: jobs/shown.py has the same names.
SHOWN = """
    id bigint, event_id uuid, status text, step text, attempt integer, title text,
    priority integer, metadata jsonb, options jsonb, fingerprint text, cache_hit boolean,
    passages_done integer, passages integer, created_at timestamptz, started_at timestamptz,
    ended_at timestamptz, error_code text, error_detail text, llm_calls integer,
    prompt_tokens integer, completion_tokens integer, unknown_calls integer,
    supersedes uuid, replay_of uuid"""
COLUMNS = """
    job.id, job.event_id, job.status::text, job.step::text, job.attempt::integer, job.title::text,
    job.priority::integer, job.metadata, job.options, job.fingerprint::text, job.cache_hit,
    job.passages_done, job.passages, job.created_at, job.started_at, job.ended_at,
    job.error_code::text, job.error_detail::text, job.llm_calls, job.prompt_tokens,
    job.completion_tokens, job.unknown_calls,
    CASE WHEN job.supersedes_id IS NOT NULL THEN (SELECT other.event_id FROM jobs_job AS other
        WHERE other.tenant_id = job.tenant_id AND other.id = job.supersedes_id) END,
    CASE WHEN job.replay_of_id IS NOT NULL THEN (SELECT other.event_id FROM jobs_job AS other
        WHERE other.tenant_id = job.tenant_id AND other.id = job.replay_of_id) END"""
SHOW = r"""
-- A job with its result; its version changes with every change of its row.
CREATE FUNCTION jobs_show(tenant uuid, wanted uuid) RETURNS TABLE ({shown},
    version text, sealed_result bytea
) LANGUAGE plpgsql STABLE ROWS 1 SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT {columns}, job.xmin::text, job.sealed_result
    FROM jobs_job AS job
    WHERE job.tenant_id = tenant AND job.event_id = wanted AND job.deleted_at IS NULL;
END $$;

-- Newest first. A statement of its own for each way to ask, so that each has its index.
CREATE FUNCTION jobs_page(tenant uuid, wanted text, before uuid, most integer)
RETURNS TABLE ({shown})
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    before := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    IF wanted IS NULL THEN
        RETURN QUERY SELECT {columns} FROM jobs_job AS job
        WHERE job.tenant_id = tenant AND job.event_id < before AND job.deleted_at IS NULL
        ORDER BY job.event_id DESC LIMIT most;
    ELSE
        RETURN QUERY SELECT {columns} FROM jobs_job AS job
        WHERE job.tenant_id = tenant AND job.status = wanted AND job.event_id < before
            AND job.deleted_at IS NULL
        ORDER BY job.event_id DESC LIMIT most;
    END IF;
END $$;

-- Why a job waits, its place among those of its tenant, and in how many seconds it may begin. No
-- row where it waits no longer. The place counts no further than it helps anybody; the estimate
-- takes the last jobs' own time. provider: whose circuits are asked for, such as "api.openai.com".
CREATE FUNCTION jobs_wait(tenant uuid, job_id bigint, provider text, default_model text)
RETURNS TABLE (waiting_on text, place bigint, seconds double precision)
LANGUAGE plpgsql STABLE STRICT ROWS 1
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off  -- half a queue is guessed to be before a job; mostly nothing is
AS $$
BEGIN
    RETURN QUERY SELECT
        CASE
            WHEN queue.is_paused THEN 'paused'
            WHEN job.step = 'read' THEN 'document'
            WHEN NOT job.ready THEN 'retry'
            WHEN EXISTS (SELECT FROM jobs_circuit WHERE state <> 'closed') AND NOT EXISTS (
                SELECT FROM tenants_providerkey AS own WHERE own.tenant_id = tenant
            ) AND NOT EXISTS (
                SELECT FROM jsonb_array_elements_text(
                    jsonb_build_array(coalesce(job.options ->> 'model', ''))
                    || coalesce(job.options -> 'fallback_models', '[]')
                ) AS asked (model)
                WHERE NOT EXISTS (
                    SELECT FROM jobs_circuit AS circuit
                    WHERE circuit.name =
                        provider || '/' || coalesce(nullif(asked.model, ''), default_model)
                        AND circuit.state <> 'closed'
                )
            ) THEN 'provider'
            WHEN queue.running >= queue.max_running THEN 'concurrency'
            ELSE 'worker'
        END,
        ahead.count + 1,
        CASE
            WHEN job.step = 'read' THEN NULL
            WHEN NOT job.ready THEN extract(epoch FROM job.due_at - clock_timestamp())
            ELSE ceil((ahead.count + queue.running) / queue.max_running) * history.seconds
        END::double precision
    FROM jobs_job AS job
    JOIN jobs_tenantqueue AS queue ON queue.tenant_id = job.tenant_id
    CROSS JOIN LATERAL (
        SELECT count(*) FROM (
            -- In the order of job_claim, so that by that index, which stops where they end.
            (SELECT FROM jobs_job AS other
            WHERE other.tenant_id = tenant AND other.status = 'PENDING' AND other.ready
                AND other.priority > job.priority
            ORDER BY other.priority DESC, other.id LIMIT 999)
            UNION ALL
            SELECT FROM jobs_job AS other
            WHERE other.tenant_id = tenant AND other.status = 'PENDING' AND other.ready
                AND other.priority = job.priority AND other.id < job.id
            LIMIT 999
        ) AS earlier
    ) AS ahead
    CROSS JOIN LATERAL (
        SELECT extract(epoch FROM avg(ended_at - started_at)) AS seconds FROM (
            SELECT past.ended_at, past.started_at FROM jobs_job AS past
            WHERE past.tenant_id = tenant AND past.status = 'COMPLETED'
                AND past.deleted_at IS NULL
            ORDER BY past.event_id DESC LIMIT 20
        ) AS latest
    ) AS history
    WHERE job.tenant_id = tenant AND job.id = job_id AND job.status = 'PENDING';
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0021_workers_and_what_ended"),
        ("tenants", "0013_what_staff_search_the_log_for"),
    ]

    operations = [
        migrations.CreateModel(
            name="Intake",
            fields=[
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="tenants.tenant",
                    ),
                ),
                ("arrivals", models.BigIntegerField(db_default=0)),
            ],
        ),
        migrations.AddField(
            model_name="tenantqueue",
            name="departures",
            field=models.BigIntegerField(db_default=0),
        ),
        migrations.RunSQL(COUNTED, UNCOUNTED),
        migrations.RunSQL(FOLLOW.format(**WITH_DEPARTURES), FOLLOW.format(**WITHOUT)),
        migrations.RunSQL(ADMIT, NO_ADMIT),
        migrations.RunSQL(SUBMIT, "DROP FUNCTION jobs_submit"),
        migrations.RunSQL(
            SHOW.format(shown=SHOWN, columns=COLUMNS),
            "DROP FUNCTION jobs_show, jobs_page, jobs_wait",
        ),
    ]
