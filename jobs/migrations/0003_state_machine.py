"""The state machine in the database: allowed moves, history, and the tenants' counters.

What stands here holds for every writer, whatever the code above it says.
"""

from django.db import migrations

FORWARD = r"""
-- A refusal looks like any other constraint's: SQLSTATE 23514 and the name of the rule.
CREATE FUNCTION jobs_refuse(rule text, what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'job violates "%": %', rule, what
        USING ERRCODE = 'check_violation', CONSTRAINT = rule;
END $$;

CREATE FUNCTION jobs_job_is_made() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> 'PENDING' OR NEW.attempt <> 0 OR NEW.run <> 1 THEN
        PERFORM jobs_refuse('job_begins_pending', NEW.status);
    END IF;
    NEW.event_seq := 1;
    RETURN NEW;
END $$;

CREATE FUNCTION jobs_job_moves() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    allowed boolean;
BEGIN
    IF NEW.attempt < OLD.attempt OR NEW.run < OLD.run OR NEW.event_seq <> OLD.event_seq THEN
        PERFORM jobs_refuse('job_never_goes_back', format('attempt %s to %s, run %s to %s',
            OLD.attempt, NEW.attempt, OLD.run, NEW.run));
    END IF;
    IF NEW.status = OLD.status THEN
        IF NEW.attempt <> OLD.attempt OR NEW.run <> OLD.run THEN
            PERFORM jobs_refuse('job_attempt_begins_with_processing', NEW.status);
        END IF;
        IF OLD.status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'EXPIRED') AND (
            NEW.step, NEW.error_code, NEW.error_detail, NEW.ended_at, NEW.llm_calls,
            NEW.prompt_tokens, NEW.completion_tokens, NEW.result, NEW.summary
        ) IS DISTINCT FROM (
            OLD.step, OLD.error_code, OLD.error_detail, OLD.ended_at, OLD.llm_calls,
            OLD.prompt_tokens, OLD.completion_tokens, OLD.result, OLD.summary
        ) THEN
            PERFORM jobs_refuse('job_that_is_over_stays_as_it_is', OLD.status);
        END IF;
        RETURN NEW;
    END IF;
    allowed := CASE OLD.status
        WHEN 'PENDING' THEN NEW.status = 'PROCESSING' AND NEW.attempt = OLD.attempt + 1
            OR NEW.status IN ('CANCELLED', 'EXPIRED') AND NEW.attempt = OLD.attempt
        WHEN 'PROCESSING' THEN NEW.status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'PENDING')
            AND NEW.attempt = OLD.attempt
        WHEN 'COMPLETED' THEN false
        ELSE NEW.status = 'PENDING' AND NEW.attempt = OLD.attempt
    END AND NEW.run = OLD.run + (OLD.ended_at IS NOT NULL)::int;
    IF NOT allowed THEN
        PERFORM jobs_refuse('job_move_is_allowed', format('%s to %s', OLD.status, NEW.status));
    END IF;
    NEW.event_seq := OLD.event_seq + 1;
    RETURN NEW;
END $$;

-- Who did it and why: what the transaction says of itself, else the worker and the error.
CREATE FUNCTION jobs_job_has_moved() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    said_actor text := nullif(current_setting('guidepost.actor', true), '');
    said_note text := nullif(current_setting('guidepost.note', true), '');
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO jobs_jobevent
            (tenant_id, job_id, seq, from_status, to_status, run, attempt, actor, note)
        VALUES (NEW.tenant_id, NEW.id, 1, '', NEW.status, 1, 0, NEW.submitted_by, '');
    ELSIF NEW.status <> OLD.status THEN
        INSERT INTO jobs_jobevent
            (tenant_id, job_id, seq, at, from_status, to_status, run, attempt, actor, note)
        VALUES (
            NEW.tenant_id, NEW.id, NEW.event_seq, clock_timestamp(), OLD.status, NEW.status,
            NEW.run, NEW.attempt,
            coalesce(said_actor, CASE WHEN NEW.crashes > OLD.crashes THEN NULL
                ELSE nullif(coalesce(nullif(NEW.worker, ''), OLD.worker), '') END, 'pump'),
            coalesce(said_note, CASE WHEN NEW.crashes > OLD.crashes THEN 'worker_lost'
                ELSE NEW.error_code END)
        );
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION jobs_history_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM jobs_refuse('event_is_never_changed', TG_OP);
    RETURN NULL;
END $$;

-- The counters of fair claiming. A queue's row is locked by whoever claims from it, so that
-- `running` is exact; submitting only reads it once it is active.
CREATE FUNCTION jobs_queue_follows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    active boolean;
BEGIN
    IF NEW.ready AND (TG_OP = 'INSERT' OR NOT OLD.ready) THEN
        SELECT is_active INTO active FROM jobs_tenantqueue WHERE tenant_id = NEW.tenant_id;
        IF active IS NULL THEN
            INSERT INTO jobs_tenantqueue (tenant_id, is_active) VALUES (NEW.tenant_id, true)
            ON CONFLICT (tenant_id) DO UPDATE SET is_active = true;
        ELSIF NOT active THEN
            UPDATE jobs_tenantqueue SET is_active = true
            WHERE tenant_id = NEW.tenant_id AND NOT is_active;
        END IF;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.status = 'PROCESSING' AND OLD.status <> 'PROCESSING' THEN
        UPDATE jobs_tenantqueue SET
            running = running + 1,
            start_tag = greatest(virtual_time, system.now),
            virtual_time = greatest(virtual_time, system.now) + 1 / weight
        FROM (SELECT max(start_tag) AS now FROM jobs_tenantqueue) AS system
        WHERE tenant_id = NEW.tenant_id;
    ELSIF TG_OP = 'UPDATE' AND OLD.status = 'PROCESSING' AND NEW.status <> 'PROCESSING' THEN
        UPDATE jobs_tenantqueue SET running = running - 1 WHERE tenant_id = NEW.tenant_id;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER job_is_made BEFORE INSERT ON jobs_job
    FOR EACH ROW EXECUTE FUNCTION jobs_job_is_made();
CREATE TRIGGER job_moves BEFORE UPDATE ON jobs_job
    FOR EACH ROW EXECUTE FUNCTION jobs_job_moves();
CREATE TRIGGER job_has_been_made AFTER INSERT ON jobs_job
    FOR EACH ROW EXECUTE FUNCTION jobs_job_has_moved();
CREATE TRIGGER job_has_moved AFTER UPDATE ON jobs_job
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION jobs_job_has_moved();
CREATE TRIGGER queue_follows_insert AFTER INSERT ON jobs_job
    FOR EACH ROW EXECUTE FUNCTION jobs_queue_follows();
CREATE TRIGGER queue_follows_update AFTER UPDATE ON jobs_job
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.ready <> NEW.ready)
    EXECUTE FUNCTION jobs_queue_follows();
CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE ON jobs_jobevent
    FOR EACH ROW EXECUTE FUNCTION jobs_history_is_kept();
"""

REVERSE = """
DROP TRIGGER job_is_made ON jobs_job;
DROP TRIGGER job_moves ON jobs_job;
DROP TRIGGER job_has_been_made ON jobs_job;
DROP TRIGGER job_has_moved ON jobs_job;
DROP TRIGGER queue_follows_insert ON jobs_job;
DROP TRIGGER queue_follows_update ON jobs_job;
DROP TRIGGER history_is_kept ON jobs_jobevent;
DROP FUNCTION jobs_job_is_made, jobs_job_moves, jobs_job_has_moved, jobs_history_is_kept,
    jobs_queue_follows, jobs_refuse(text, text);
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0002_durability")]

    operations = [migrations.RunSQL(FORWARD, REVERSE)]
