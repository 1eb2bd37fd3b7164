"""Whoever waits for its turn at a queue holds no other: two of them cannot wait for each other.

A statement that locks the first of some rows in an order, and finds that one changed while it
waited, goes on to the next and keeps the lock of the first. So the queue is chosen without a lock,
then locked, then looked at again.

Source: PostgreSQL manual, section 13.3.4 (deadlocks) and SELECT, "The Locking Clause".
"""

from importlib import import_module

from django.db import migrations

before = import_module("jobs.migrations.0023_a_jobs_way_in_few_statements")

# As in 0023.
FAIREST = """
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
"""
IN_TURN = "ORDER BY virtual_time, tenant_id LIMIT 1"
CLAIM = """
WITH fairest AS ({fairest}), next AS (
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
FIRST_THAT_IS_FREE = f"{FAIREST} {IN_TURN} FOR NO KEY UPDATE OF queue SKIP LOCKED"
THE_CHOSEN_ONE = f"{FAIREST} AND queue.tenant_id = chosen FOR NO KEY UPDATE OF queue"

# No row: no queue may be claimed from. A row without a job: the queue that was chosen has none left,
# or its cap was reached while it was waited for.
FORWARD = f"""
CREATE OR REPLACE FUNCTION jobs_claim(
    holder text, lease interval, names text[], circuits integer, probing boolean, in_turn boolean
) RETURNS TABLE (
    id bigint, event_id uuid, tenant_id uuid, document_id bigint, attempt smallint,
    failures smallint, step varchar, seconds_left double precision
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    chosen uuid;
BEGIN
    IF NOT in_turn THEN
        RETURN QUERY {CLAIM.format(fairest=FIRST_THAT_IS_FREE)};
        RETURN;
    END IF;
    SELECT fairest.tenant_id INTO chosen FROM ({FAIREST} {IN_TURN}) AS fairest;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM FROM jobs_tenantqueue AS queue WHERE queue.tenant_id = chosen FOR NO KEY UPDATE;
    RETURN QUERY {CLAIM.format(fairest=THE_CHOSEN_ONE)};
    IF NOT FOUND THEN
        RETURN NEXT;
    END IF;
END $$;
"""  # noqa: S608


class Migration(migrations.Migration):
    dependencies = [("jobs", "0025_hot_tables_are_vacuumed_often")]

    operations = [
        migrations.RunSQL(FORWARD, before.CLAIMS.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    ]
