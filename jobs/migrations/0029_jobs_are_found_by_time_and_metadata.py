"""GET /jobs narrowed to a span of time, or to pairs of metadata: one statement, by an index.

Labels are looked for from the tenant on: a value that many tenants have would cost each of them all
the others' rows.
"""

from importlib import import_module

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

answers = import_module("jobs.migrations.0022_answers_in_one_statement")

FOUND = r"""
-- As jobs_page, of jobs made from `since` on and before `until`, with all of these labels. Their ids
-- lie between `first` and `before`, which is how an index finds them. A statement of its own for each
-- way to ask, so that each has its index.
CREATE FUNCTION jobs_found(
    tenant uuid, wanted text, first uuid, before uuid, since timestamptz, until timestamptz,
    labels jsonb, most integer
) RETURNS TABLE ({shown})
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off  -- a plan that is made while a table is small is kept
SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
    one record;
BEGIN
    SELECT pair.key, pair.value INTO one FROM jsonb_each_text(labels) AS pair ORDER BY 1 LIMIT 1;
    IF one.key IS NOT NULL THEN
        RETURN QUERY SELECT {columns}
        FROM jobs_joblabel AS label CROSS JOIN LATERAL (
            SELECT * FROM jobs_job
            WHERE event_id = label.event_id AND tenant_id = tenant
            OFFSET 0  -- the labels first, and each one's job by its id
        ) AS job
        -- As rows, whose order one index alone has: were each column told, PostgreSQL could take one
        -- of all tenants' labels by their ids, and read theirs until it has found enough of ours.
        WHERE (label.tenant_id, label.key, label.value, label.event_id)
                >= (tenant, one.key, one.value, first)
            AND (label.tenant_id, label.key, label.value, label.event_id)
                < (tenant, one.key, one.value, before)
            AND job.metadata @> labels
            AND (wanted IS NULL OR job.status = wanted)
            AND job.created_at >= since AND job.created_at < until AND job.deleted_at IS NULL
        ORDER BY label.tenant_id DESC, label.key DESC, label.value DESC, label.event_id DESC
        LIMIT most;
    ELSIF wanted IS NULL THEN
        RETURN QUERY SELECT {columns} FROM jobs_job AS job
        WHERE job.tenant_id = tenant AND job.event_id >= first AND job.event_id < before
            AND job.created_at >= since AND job.created_at < until AND job.deleted_at IS NULL
        ORDER BY job.event_id DESC LIMIT most;
    ELSE
        RETURN QUERY SELECT {columns} FROM jobs_job AS job
        WHERE job.tenant_id = tenant AND job.status = wanted
            AND job.event_id >= first AND job.event_id < before
            AND job.created_at >= since AND job.created_at < until AND job.deleted_at IS NULL
        ORDER BY job.event_id DESC LIMIT most;
    END IF;
END $$;
"""


class Migration(migrations.Migration):
    atomic = False  # the index is made while others write
    dependencies = [("jobs", "0028_what_a_worker_holds_is_found_by_its_key")]

    operations = [
        AddIndexConcurrently(
            model_name="joblabel",
            index=models.Index(
                fields=["tenant", "key", "value", "event_id"], name="label_of_tenant"
            ),
        ),
        migrations.RunSQL(
            FOUND.format(shown=answers.SHOWN, columns=answers.COLUMNS),
            "DROP FUNCTION jobs_found",
        ),
    ]
