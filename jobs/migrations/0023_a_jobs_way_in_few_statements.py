"""What a worker writes on a job's way: a function for each moment, so one round trip for each.

PostgreSQL keeps the plans of what stands in a function, for as long as a connection lives; what a
client sends is planned each time. They run with the rights of whoever calls them.

Locks are taken in the order of 0015: job, queue, call, reservation, usage.
"""

from django.db import migrations

# Fairest tenant first, then priority, then age. The tenant's row is locked, so its cap is exact;
# the job's is skipped if somebody has it. The attempt is counted, and its row written, before any
# work starts: a job that kills its worker every time runs out of attempts.
#
# While no circuit of all the installation's models is closed, only tenants with a provider's key of
# their own go on: those calls have no circuit. It costs one look at a table of a few rows, once for
# the statement.
#
# No row: no queue may be claimed from. A row without a job: the queue's last one was taken after
# this statement began.
CLAIM = """
WITH fairest AS (
    SELECT queue.tenant_id FROM jobs_tenantqueue AS queue
    WHERE is_active AND NOT is_paused AND running < max_running
        AND (
            SELECT id FROM jobs_job
            WHERE jobs_job.tenant_id = queue.tenant_id AND status = 'PENDING' AND ready
                AND deadline_at > statement_timestamp()
            ORDER BY priority DESC, id
            LIMIT 1
        ) IS NOT NULL
        AND ((
            SELECT probing OR count(*) = 0 OR count(*) < circuits
            FROM jobs_circuit WHERE name = ANY(names) AND state <> 'closed'
        ) OR EXISTS (
            SELECT FROM tenants_providerkey AS own WHERE own.tenant_id = queue.tenant_id
        ))
    ORDER BY virtual_time, tenant_id
    LIMIT 1
    FOR NO KEY UPDATE OF queue {skip_locked}
), next AS (
    SELECT id FROM jobs_job
    WHERE tenant_id = (SELECT tenant_id FROM fairest) AND status = 'PENDING' AND ready
        AND deadline_at > statement_timestamp()
    ORDER BY priority DESC, id
    LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
    UPDATE jobs_job SET
        status = 'PROCESSING',
        ready = false,
        attempt = attempt + 1,
        worker = holder,
        lease_expires_at = clock_timestamp() + lease,
        started_at = coalesce(started_at, clock_timestamp())
    FROM next WHERE jobs_job.id = next.id
    RETURNING jobs_job.id, event_id, tenant_id, document_id, attempt, failures, deadline_at, step
), attempted AS (
    INSERT INTO jobs_jobattempt (tenant_id, job_id, number, worker, step, outcome)
    SELECT tenant_id, id, attempt, holder, step, 'running' FROM claimed
)
SELECT id, event_id, tenant_id, document_id, attempt, failures, step,
    extract(epoch FROM deadline_at - clock_timestamp())::float
FROM fairest LEFT JOIN claimed USING (tenant_id)
"""

# Plans are kept: one that was made while there were few jobs must not walk the table later on.
CLAIMS = f"""
CREATE FUNCTION jobs_claim(
    holder text, lease interval, names text[], circuits integer, probing boolean, in_turn boolean
) RETURNS TABLE (
    id bigint, event_id uuid, tenant_id uuid, document_id bigint, attempt smallint,
    failures smallint, step varchar, seconds_left double precision
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    IF in_turn THEN
        RETURN QUERY {CLAIM.format(skip_locked="")};
    ELSE
        RETURN QUERY {CLAIM.format(skip_locked="SKIP LOCKED")};
    END IF;
END $$;
"""  # noqa: S608

FORWARD = r"""
-- All that a worker needs to begin with: the job and its document.
CREATE FUNCTION jobs_load(
    tenant uuid, job bigint,
    OUT id bigint, OUT tenant_id uuid, OUT event_id uuid, OUT document_id bigint,
    OUT supersedes_id bigint, OUT fingerprint varchar, OUT options jsonb, OUT prompts jsonb,
    OUT sealed_summary bytea, OUT sealed_checklist bytea,
    OUT uid uuid, OUT sealed_text bytea, OUT page_starts jsonb
) LANGUAGE sql STABLE AS $$
    SELECT job.id, job.tenant_id, job.event_id, job.document_id, job.supersedes_id, job.fingerprint,
        job.options, job.prompts, job.sealed_summary, job.sealed_checklist,
        document.uid, document.sealed_text, document.page_starts
    FROM jobs_job AS job
    JOIN jobs_document AS document ON document.id = job.document_id
    WHERE job.id = jobs_load.job AND job.tenant_id = tenant
$$;

-- Whose key a tenant's calls go with, and which of these circuits let none pass.
CREATE FUNCTION jobs_standing(
    tenant uuid, names text[], OUT provider varchar, OUT sealed_key bytea, OUT away text[]
) LANGUAGE sql STABLE AS $$
    SELECT own.provider, own.sealed_key,
        ARRAY(SELECT name FROM jobs_circuit WHERE name = ANY(names) AND state <> 'closed')
    FROM (SELECT) AS one LEFT JOIN tenants_providerkey AS own ON own.tenant_id = tenant
$$;

-- The intent of a call, and what it may cost set aside; `done` of `total` passages, unless null, is
-- how far its step is. '' if it may start, 'lease' if the job is not the worker's any more, or the
-- name of the budget that does not suffice; then nothing was written.
CREATE FUNCTION jobs_intend(
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
            AND lease_expires_at > clock_timestamp();
    END IF;
    -- Answered twice if a commit's own answer was lost: the second time finds its row.
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

-- How a call ended, and what it did cost, unless that is null: then the sweep charges its bound.
-- An answer closes its model's circuit, save one that staff has to close; true if it did.
CREATE FUNCTION jobs_close(
    tenant uuid, job bigint, call_label text, ended text, code text, named text, request text,
    prompt integer, completion integer, cost_tokens bigint, cost bigint, circuit text, why text
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    call jobs_llmcall%ROWTYPE;
BEGIN
    PERFORM FROM jobs_job WHERE id = job AND tenant_id = tenant FOR NO KEY UPDATE;
    UPDATE jobs_llmcall SET
        outcome = ended, error_code = code, model = named, request_id = request,
        prompt_tokens = coalesce(prompt, 0), completion_tokens = coalesce(completion, 0),
        ended_at = clock_timestamp(),
        charged_tokens = cost_tokens,
        cost_micros = CASE WHEN cost_tokens IS NULL THEN NULL ELSE cost END
    WHERE job_id = job AND tenant_id = tenant AND label = call_label AND outcome = 'started'
        AND cost_micros IS NULL
    RETURNING * INTO call;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF cost_tokens IS NOT NULL THEN
        IF cost > 0 THEN
            UPDATE jobs_job SET cost_micros = cost_micros + cost WHERE id = job;
        END IF;
        PERFORM tenants_settle(tenant, call.day, call.bound_tokens, call.bound_micros,
            cost_tokens, cost);
    END IF;
    UPDATE jobs_circuit SET state = 'closed', failures = 0, wait_seconds = 0, open_until = NULL,
        probe_until = NULL, reason = why, changed_at = clock_timestamp()
    WHERE name = circuit AND (state <> 'closed' OR failures > 0)
        AND (state <> 'open' OR open_until IS NOT NULL);
    RETURN FOUND;
END $$;

-- The checkpoint of a step. False if the job is not the worker's any more; true as well where an
-- earlier try has written it, whose answer was lost.
CREATE FUNCTION jobs_keep_step(
    tenant uuid, job bigint, number integer, done text, following text, reply bytea,
    calls integer, prompt integer, completion integer
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE jobs_job SET
        step = following, passages_done = 0, passages = 0,
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

-- The result, made with the replies of the step `done`. Answers as jobs_keep_step.
CREATE FUNCTION jobs_complete(
    tenant uuid, job bigint, number integer, done text, result bytea, cached boolean,
    calls integer, prompt integer, completion integer
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    in_vain integer;
BEGIN
    UPDATE jobs_job SET
        status = 'COMPLETED', sealed_result = result, cache_hit = cached,
        ended_at = clock_timestamp(), worker = '', lease_expires_at = NULL,
        passages_done = passages,
        llm_calls = llm_calls + calls, prompt_tokens = prompt_tokens + prompt,
        completion_tokens = completion_tokens + completion
    WHERE id = job AND tenant_id = tenant AND attempt = number AND status = 'PROCESSING'
        AND lease_expires_at > clock_timestamp();
    IF NOT FOUND THEN
        RETURN EXISTS (SELECT FROM jobs_job WHERE id = job AND tenant_id = tenant
            AND attempt = number AND status = 'COMPLETED');
    END IF;
    UPDATE jobs_jobattempt SET outcome = 'completed', ended_at = clock_timestamp()
    WHERE job_id = job AND tenant_id = tenant AND jobs_jobattempt.number = jobs_complete.number
        AND outcome = 'running';
    -- What is no reply of that step was paid for in vain, or maybe so.
    WITH settled AS (
        UPDATE jobs_llmcall SET
            outcome = CASE WHEN outcome = 'started' THEN 'unknown' WHEN step = done THEN 'ok'
                ELSE 'lost' END,
            ended_at = coalesce(ended_at, clock_timestamp())
        WHERE job_id = job AND tenant_id = tenant AND attempt = jobs_complete.number
            AND outcome IN ('started', 'answered')
        RETURNING outcome
    )
    SELECT count(*) INTO in_vain FROM settled WHERE outcome <> 'ok';
    IF in_vain > 0 THEN
        UPDATE jobs_job SET unknown_calls = unknown_calls + in_vain WHERE id = job;
    END IF;
    RETURN true;
END $$;
"""

REVERSE = """
DROP FUNCTION jobs_claim, jobs_load, jobs_standing, jobs_intend, jobs_close, jobs_keep_step, jobs_complete;
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0022_answers_in_one_statement")]

    operations = [migrations.RunSQL(CLAIMS + FORWARD, REVERSE)]
