"""Whose key a call goes with and its intent are one question where nothing is unusual.

PostgreSQL keeps the plans of a function in PL/pgSQL; one in SQL that it cannot make a part of the
question that asks it is read and planned at each call.

Source: PostgreSQL manual, sections 41.11.2 (plan caching) and 36.5 (query language functions).
"""

from importlib import import_module

from django.db import migrations

before = import_module("jobs.migrations.0023_a_jobs_way_in_few_statements")

FORWARD = r"""
-- As in 0023.
CREATE OR REPLACE FUNCTION jobs_load(
    tenant uuid, job bigint,
    OUT id bigint, OUT tenant_id uuid, OUT event_id uuid, OUT document_id bigint,
    OUT supersedes_id bigint, OUT fingerprint varchar, OUT options jsonb, OUT prompts jsonb,
    OUT sealed_summary bytea, OUT sealed_checklist bytea,
    OUT uid uuid, OUT sealed_text bytea, OUT page_starts jsonb
) LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
BEGIN
    SELECT job.id, job.tenant_id, job.event_id, job.document_id, job.supersedes_id, job.fingerprint,
        job.options, job.prompts, job.sealed_summary, job.sealed_checklist,
        document.uid, document.sealed_text, document.page_starts
    INTO id, tenant_id, event_id, document_id, supersedes_id, fingerprint,
        options, prompts, sealed_summary, sealed_checklist, uid, sealed_text, page_starts
    FROM jobs_job AS job
    JOIN jobs_document AS document ON document.id = job.document_id
    WHERE job.id = jobs_load.job AND job.tenant_id = tenant;
END $$;

CREATE OR REPLACE FUNCTION jobs_standing(
    tenant uuid, names text[], OUT provider varchar, OUT sealed_key bytea, OUT away text[]
) LANGUAGE plpgsql STABLE AS $$
BEGIN
    SELECT own.provider, own.sealed_key INTO provider, sealed_key
    FROM tenants_providerkey AS own WHERE own.tenant_id = tenant;
    away := ARRAY(
        SELECT circuit.name FROM jobs_circuit AS circuit
        WHERE circuit.name = ANY(names) AND circuit.state <> 'closed'
    );
END $$;

-- As in 0023; a step that is as far as the one before it was is not written down again.
CREATE OR REPLACE FUNCTION jobs_intend(
    tenant uuid, job bigint, number integer, call_label text, asked text, own boolean,
    tokens bigint, micros bigint, done integer, total integer
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    is_new boolean;
    refused text := '';
BEGIN
    IF total IS NOT NULL THEN
        UPDATE jobs_job SET passages_done = done, passages = total
        WHERE id = job AND tenant_id = tenant AND attempt = number AND status = 'PROCESSING'
            AND lease_expires_at > clock_timestamp()
            AND (passages_done <> done OR passages <> total);
    END IF;
    INSERT INTO jobs_llmcall AS call
        (tenant_id, job_id, attempt, step, label, outcome, requested_model, own_key, bound_tokens,
        bound_micros)
    SELECT j.tenant_id, j.id, j.attempt, j.step, call_label, 'started', asked, own, tokens, micros
    FROM jobs_job AS j
    WHERE j.id = job AND j.tenant_id = tenant AND j.attempt = number AND j.status = 'PROCESSING'
        AND j.lease_expires_at > clock_timestamp()
    ON CONFLICT (job_id, tenant_id, label) DO UPDATE SET outcome = call.outcome
    RETURNING xmax = 0 INTO is_new;
    IF NOT FOUND THEN
        RETURN 'lease';
    END IF;
    IF is_new THEN
        refused := jobs_take(tenant, job, tokens, micros);
        IF refused <> '' THEN
            RAISE EXCEPTION USING ERRCODE = 'GP001';  -- takes back all of the above
        END IF;
    END IF;
    RETURN '';
EXCEPTION WHEN SQLSTATE 'GP001' THEN
    RETURN refused;
END $$;

-- What jobs_standing says, and the intent of a call with the installation's key, where the tenant
-- has none of its own and all circuits let calls pass. `refused` as jobs_intend answers; null where
-- something is unusual, and then nothing was written.
CREATE FUNCTION jobs_intend_with_ours(
    tenant uuid, job bigint, number integer, call_label text, asked text, names text[],
    tokens bigint, micros bigint, done integer, total integer,
    OUT provider varchar, OUT sealed_key bytea, OUT away text[], OUT refused text
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT now.provider, now.sealed_key, now.away INTO provider, sealed_key, away
    FROM jobs_standing(tenant, names) AS now;
    IF provider IS NULL AND cardinality(away) = 0 THEN
        refused := jobs_intend(
            tenant, job, number, call_label, asked, false, tokens, micros, done, total
        );
    END IF;
END $$;

-- As in 0023, but for the number of passages, which the next step mostly has as well.
CREATE OR REPLACE FUNCTION jobs_keep_step(
    tenant uuid, job bigint, number integer, done text, following text, reply bytea,
    calls integer, prompt integer, completion integer
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE jobs_job SET
        step = following, passages_done = 0,
        sealed_summary = CASE done WHEN 'summarize' THEN reply ELSE sealed_summary END,
        sealed_checklist = CASE done WHEN 'checklist' THEN reply ELSE sealed_checklist END,
        llm_calls = llm_calls + calls, prompt_tokens = prompt_tokens + prompt,
        completion_tokens = completion_tokens + completion
    WHERE id = job AND tenant_id = tenant AND attempt = number AND status = 'PROCESSING'
        AND lease_expires_at > clock_timestamp() AND step = done;
    IF NOT FOUND THEN
        RETURN EXISTS (SELECT FROM jobs_job WHERE id = job AND tenant_id = tenant
            AND attempt = number AND status = 'PROCESSING' AND step = following);
    END IF;
    UPDATE jobs_llmcall SET outcome = 'ok'
    WHERE job_id = job AND tenant_id = tenant AND attempt = number AND step = done
        AND outcome = 'answered';
    RETURN true;
END $$;
"""
REVERSE = "DROP FUNCTION jobs_intend_with_ours;" + before.FORWARD.replace(
    "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"
)


class Migration(migrations.Migration):
    dependencies = [("jobs", "0026_a_claim_waits_for_one_queue")]

    operations = [migrations.RunSQL(FORWARD, REVERSE)]
