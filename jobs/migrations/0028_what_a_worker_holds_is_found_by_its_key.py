"""A worker finds its job and its calls by their keys, however many others are under way.

A condition that a partial index has too lets PostgreSQL choose that index: it walked all leases, or
all of a tenant's calls, to find one row that it was given the key of. What stands in CASE is a
condition and no more. Which index looked cheaper hung on how many jobs there were when the plan was
made, and what it cost on how many are under way now. Nor does a plan that was made while a table was
small read all of it later.

A call's intent has no block with an exception, which is a transaction within the transaction.

Attempts, events, calls and reservations are of their job's tenant, by a key of both: a key of the tenant
alone, and an index for it, said no more, and each row looked it up. The documents' index of the tenant is
the beginning of another one, and was taken for it: then each submission read all of a tenant's.

Pages keep room for the changes of a job: those that touch no index then write none.

Source: PostgreSQL manual, section 11.8 (partial indexes) and "Heap-Only Tuples (HOT)".
"""

from importlib import import_module

from django.db import migrations, models

budgets = import_module("jobs.migrations.0015_budgets_are_kept")
first = import_module("jobs.migrations.0023_a_jobs_way_in_few_statements")
before = import_module("jobs.migrations.0027_a_call_begins_in_one_statement")

# Is the job this attempt's, as far as its worker can know?
HELD = """CASE WHEN tenant_id = tenant AND attempt = number AND status = 'PROCESSING'
        THEN lease_expires_at > clock_timestamp() ELSE false END"""

FORWARD = rf"""
-- As in 0015. A refusal leaves everything as it was, save that what was reserved on another day has
-- been given back: nobody has to roll back.
CREATE OR REPLACE FUNCTION jobs_take(
    tenant uuid, job bigint, asked_tokens bigint, asked_micros bigint
) RETURNS text LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    held jobs_reservation%ROWTYPE;
    is_of_today boolean;
    taken_tokens bigint := 0;
    taken_micros bigint := 0;
    refused text := '';
BEGIN
    SELECT * INTO held FROM jobs_reservation WHERE job_id = job AND tenant_id = tenant FOR UPDATE;
    is_of_today := held.day = guidepost_today();
    IF is_of_today THEN
        taken_tokens := least(held.tokens, asked_tokens);
        taken_micros := least(held.micros, asked_micros);
    ELSIF held.day IS NOT NULL THEN
        PERFORM tenants_release(tenant, held.day, held.tokens, held.micros);
        UPDATE jobs_reservation SET day = guidepost_today(), tokens = 0, micros = 0
        WHERE job_id = job;
    END IF;
    IF asked_tokens > taken_tokens OR asked_micros > taken_micros THEN
        refused := tenants_reserve(
            tenant, asked_tokens - taken_tokens, asked_micros - taken_micros
        );
    END IF;
    IF refused = 'tokens' THEN  -- the money was to be had
        PERFORM tenants_release(tenant, guidepost_today(), 0, asked_micros - taken_micros);
    ELSIF refused = '' AND is_of_today THEN
        UPDATE jobs_reservation SET
            tokens = held.tokens - taken_tokens, micros = held.micros - taken_micros
        WHERE job_id = job;
    END IF;
    RETURN refused;
END $$;

-- As in 0023. The job is held from here on, so a call that is not there is nobody else's to write; and
-- as nobody can wait for a row that is new, it may come after the locks of the budget.
CREATE OR REPLACE FUNCTION jobs_intend(
    tenant uuid, job bigint, number integer, call_label text, asked text, own boolean,
    tokens bigint, micros bigint, done integer, total integer
) RETURNS text LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    current_step text;
    refused text;
BEGIN
    SELECT step INTO current_step FROM jobs_job WHERE id = job AND {HELD} FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 'lease';
    END IF;
    -- Asked twice if a commit's own answer was lost.
    PERFORM FROM jobs_llmcall WHERE job_id = job AND label = call_label;
    IF FOUND THEN
        RETURN '';
    END IF;
    refused := jobs_take(tenant, job, tokens, micros);
    IF refused <> '' THEN
        RETURN refused;
    END IF;
    INSERT INTO jobs_llmcall
        (tenant_id, job_id, attempt, step, label, outcome, requested_model, own_key, bound_tokens,
        bound_micros)
    VALUES (tenant, job, number, current_step, call_label, 'started', asked, own, tokens, micros);
    IF total IS NOT NULL THEN
        UPDATE jobs_job SET passages_done = done, passages = total
        WHERE id = job AND (passages_done <> done OR passages <> total);
    END IF;
    RETURN '';
END $$;

CREATE OR REPLACE FUNCTION jobs_close(
    tenant uuid, job bigint, call_label text, ended text, code text, named text, request text,
    prompt integer, completion integer, cost_tokens bigint, cost bigint, circuit text, why text
) RETURNS boolean LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
    WHERE job_id = job AND label = call_label AND CASE
        WHEN tenant_id = tenant AND outcome = 'started' THEN cost_micros IS NULL ELSE false END
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

CREATE OR REPLACE FUNCTION jobs_keep_step(
    tenant uuid, job bigint, number integer, done text, following text, reply bytea,
    calls integer, prompt integer, completion integer
) RETURNS boolean LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    UPDATE jobs_job SET
        step = following, passages_done = 0,
        sealed_summary = CASE done WHEN 'summarize' THEN reply ELSE sealed_summary END,
        sealed_checklist = CASE done WHEN 'checklist' THEN reply ELSE sealed_checklist END,
        llm_calls = llm_calls + calls, prompt_tokens = prompt_tokens + prompt,
        completion_tokens = completion_tokens + completion
    WHERE id = job AND {HELD} AND step = done;
    IF NOT FOUND THEN
        RETURN EXISTS (SELECT FROM jobs_job WHERE id = job AND CASE WHEN tenant_id = tenant
            AND attempt = number AND status = 'PROCESSING' THEN step = following ELSE false END);
    END IF;
    UPDATE jobs_llmcall SET outcome = 'ok'
    WHERE job_id = job AND CASE WHEN tenant_id = tenant AND attempt = number AND step = done
        THEN outcome = 'answered' ELSE false END;
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION jobs_complete(
    tenant uuid, job bigint, number integer, done text, result bytea, cached boolean,
    calls integer, prompt integer, completion integer
) RETURNS boolean LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    in_vain integer;
BEGIN
    UPDATE jobs_job SET
        status = 'COMPLETED', sealed_result = result, cache_hit = cached,
        ended_at = clock_timestamp(), worker = '', lease_expires_at = NULL,
        passages_done = passages,
        llm_calls = llm_calls + calls, prompt_tokens = prompt_tokens + prompt,
        completion_tokens = completion_tokens + completion
    WHERE id = job AND {HELD};
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
        WHERE job_id = job AND CASE WHEN tenant_id = tenant AND attempt = jobs_complete.number
            THEN outcome IN ('started', 'answered') ELSE false END
        RETURNING outcome
    )
    SELECT count(*) INTO in_vain FROM settled WHERE outcome <> 'ok';
    IF in_vain > 0 THEN
        UPDATE jobs_job SET unknown_calls = unknown_calls + in_vain WHERE id = job;
    END IF;
    RETURN true;
END $$;
"""
REVERSE = "".join(
    f"CREATE OR REPLACE FUNCTION {text}"
    for sql, names in (
        (budgets.FORWARD, ("jobs_take",)),
        (first.FORWARD, ("jobs_close", "jobs_complete")),
        (before.FORWARD.replace("OR REPLACE ", ""), ("jobs_intend(", "jobs_keep_step")),
    )
    for text in sql.split("CREATE FUNCTION ")
    if text.startswith(names)
)

ROOM = """
ALTER TABLE jobs_job SET (fillfactor = 70);
ALTER TABLE jobs_reservation SET (fillfactor = 70);
"""
NO_ROOM = """
ALTER TABLE jobs_job RESET (fillfactor);
ALTER TABLE jobs_reservation RESET (fillfactor);
"""


def of_a_tenant(model: str, *, db_constraint: bool) -> migrations.AlterField:
    field = models.ForeignKey(
        "tenants.Tenant",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=db_constraint,
    )
    return migrations.AlterField(model, "tenant", field)


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0027_a_call_begins_in_one_statement"),
        ("tenants", "0013_what_staff_search_the_log_for"),
    ]

    operations = [
        migrations.RunSQL(FORWARD, REVERSE),
        migrations.RunSQL(ROOM, NO_ROOM),
        *[
            of_a_tenant(model, db_constraint=False)
            for model in ("jobattempt", "jobevent", "llmcall", "reservation")
        ],
        of_a_tenant("document", db_constraint=True),
    ]
