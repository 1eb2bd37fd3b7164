"""What moves between a tenant's budget, a job's reservation and a call, in the database.

Locks are taken in this order by everybody: job, queue, call, reservation, usage.
"""

from django.db import migrations

FORWARD = r"""
ALTER TABLE jobs_reservation ADD CONSTRAINT jobs_reservation_job_is_of_the_same_tenant
    FOREIGN KEY (tenant_id, job_id) REFERENCES jobs_job (tenant_id, id);

-- Calls that were over before anybody kept accounts.
UPDATE jobs_llmcall SET charged_tokens = prompt_tokens + completion_tokens, cost_micros = 0
WHERE outcome <> 'started';

-- '' or the name of the budget that does not suffice.
CREATE FUNCTION jobs_reserve(tenant uuid, job bigint, asked_tokens bigint, asked_micros bigint)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    refused text := tenants_reserve(tenant, asked_tokens, asked_micros);
BEGIN
    IF refused = '' THEN
        INSERT INTO jobs_reservation AS held (tenant_id, job_id, day, tokens, micros)
        VALUES (tenant, job, guidepost_today(), asked_tokens, asked_micros)
        ON CONFLICT (job_id) DO UPDATE
            SET tokens = held.tokens + excluded.tokens, micros = held.micros + excluded.micros;
    END IF;
    RETURN refused;
END $$;

-- As jobs_reserve, or 'waiting' where the tenant now has more jobs waiting than it may. The count
-- comes after the lock on the tenant's usage: it sees every submission that passed before.
CREATE FUNCTION jobs_admit(tenant uuid, job bigint, asked_tokens bigint, asked_micros bigint)
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

-- What a call may cost comes out of its job's reservation, and from the budget what is missing
-- there. What was reserved on another day is given back first: a call is that day's on which it
-- starts.
CREATE FUNCTION jobs_take(tenant uuid, job bigint, asked_tokens bigint, asked_micros bigint)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    held jobs_reservation%ROWTYPE;
    taken_tokens bigint := 0;
    taken_micros bigint := 0;
BEGIN
    SELECT * INTO held FROM jobs_reservation WHERE job_id = job AND tenant_id = tenant FOR UPDATE;
    IF FOUND THEN
        IF held.day <> guidepost_today() THEN
            PERFORM tenants_release(tenant, held.day, held.tokens, held.micros);
            held.tokens := 0;
            held.micros := 0;
        END IF;
        taken_tokens := least(held.tokens, asked_tokens);
        taken_micros := least(held.micros, asked_micros);
        UPDATE jobs_reservation SET day = guidepost_today(),
            tokens = held.tokens - taken_tokens, micros = held.micros - taken_micros
        WHERE job_id = job;
    END IF;
    RETURN tenants_reserve(tenant, asked_tokens - taken_tokens, asked_micros - taken_micros);
END $$;

-- Once for each call. The caller holds the job.
CREATE FUNCTION jobs_charge(tenant uuid, job bigint, call bigint, cost_tokens bigint, cost bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    charged jobs_llmcall%ROWTYPE;
BEGIN
    UPDATE jobs_llmcall SET charged_tokens = cost_tokens, cost_micros = cost
    WHERE id = call AND tenant_id = tenant AND cost_micros IS NULL
    RETURNING * INTO charged;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF cost > 0 THEN
        UPDATE jobs_job SET cost_micros = cost_micros + cost WHERE id = job;
    END IF;
    PERFORM tenants_settle(tenant, charged.day, charged.bound_tokens, charged.bound_micros,
        cost_tokens, cost);
END $$;

CREATE FUNCTION jobs_reservation_ends() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    held jobs_reservation%ROWTYPE;
BEGIN
    DELETE FROM jobs_reservation AS reservation USING jobs_job AS job
    WHERE reservation.job_id = NEW.id AND job.id = NEW.id AND job.ended_at IS NOT NULL
    RETURNING reservation.* INTO held;
    IF FOUND THEN
        PERFORM tenants_release(NEW.tenant_id, held.day, held.tokens, held.micros);
    END IF;
    RETURN NULL;
END $$;

-- Deferred to the commit, so that budgets are locked last and for no longer than they must be.
CREATE CONSTRAINT TRIGGER reservation_ends AFTER UPDATE ON jobs_job
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL)
    EXECUTE FUNCTION jobs_reservation_ends();
"""

REVERSE = """
DROP TRIGGER reservation_ends ON jobs_job;
DROP FUNCTION jobs_reservation_ends, jobs_charge, jobs_take, jobs_admit, jobs_reserve;
ALTER TABLE jobs_reservation DROP CONSTRAINT jobs_reservation_job_is_of_the_same_tenant;
"""

# As in 0005, but a queue begins with the caps of its tenant's plan.
QUEUE = r"""
CREATE OR REPLACE FUNCTION jobs_queue_follows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    active boolean;
BEGIN
    IF NEW.ready AND (TG_OP = 'INSERT' OR NOT OLD.ready) THEN
        SELECT is_active INTO active FROM jobs_tenantqueue WHERE tenant_id = NEW.tenant_id;
        IF active IS NULL THEN
            INSERT INTO jobs_tenantqueue (tenant_id, is_active{columns})
            {values}
            ON CONFLICT (tenant_id) DO UPDATE SET is_active = true;
        ELSIF NOT active THEN
            UPDATE jobs_tenantqueue SET is_active = true
            WHERE tenant_id = NEW.tenant_id AND NOT is_active;
        END IF;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.status = 'PROCESSING' AND OLD.status <> 'PROCESSING' THEN
        UPDATE jobs_tenantqueue SET
            running = running + 1,
            start_tag = greatest(virtual_time, system.earliest),
            virtual_time = greatest(virtual_time, system.earliest) + 1 / weight
        FROM (SELECT max(start_tag) - 1 AS earliest FROM jobs_tenantqueue) AS system
        WHERE tenant_id = NEW.tenant_id;
    ELSIF TG_OP = 'UPDATE' AND OLD.status = 'PROCESSING' AND NEW.status <> 'PROCESSING' THEN
        UPDATE jobs_tenantqueue SET running = running - 1 WHERE tenant_id = NEW.tenant_id;
    END IF;
    RETURN NULL;
END $$;
"""
OF_THE_PLAN = """SELECT tenant.id, true, plan.max_running, plan.max_waiting
            FROM tenants_tenant AS tenant JOIN tenants_plan AS plan ON plan.code = tenant.plan_id
            WHERE tenant.id = NEW.tenant_id"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0014_reservations_and_costs")]

    operations = [
        migrations.RunSQL(FORWARD, REVERSE),
        migrations.RunSQL(
            QUEUE.format(columns=", max_running, max_waiting", values=OF_THE_PLAN),
            QUEUE.format(columns="", values="VALUES (NEW.tenant_id, true)"),
        ),
    ]
