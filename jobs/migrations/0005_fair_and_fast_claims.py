"""Shares that hold while many workers claim at once, and no index that another one repeats."""

import django.db.models.deletion
from django.db import migrations, models

# As in 0003, but a tenant may be up to 1 behind the system's virtual time before that is forgiven.
# A claim passes over a queue that another worker claims from at this moment; without the allowance
# each such pass cost the tenant its place, and a weight of 2 got 1.6 times the starts.
FORWARD = r"""
CREATE OR REPLACE FUNCTION jobs_queue_follows() RETURNS trigger LANGUAGE plpgsql AS $$
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

REVERSE = r"""
CREATE OR REPLACE FUNCTION jobs_queue_follows() RETURNS trigger LANGUAGE plpgsql AS $$
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
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0004_dead_letters")]

    operations = [
        migrations.RunSQL(FORWARD, REVERSE),
        migrations.AlterField(
            model_name="job",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="jobs",
                to="tenants.tenant",
            ),
        ),
        migrations.AlterField(
            model_name="jobattempt",
            name="job",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="attempts",
                to="jobs.job",
            ),
        ),
        migrations.AlterField(
            model_name="jobevent",
            name="job",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="events",
                to="jobs.job",
            ),
        ),
        migrations.AlterField(
            model_name="llmcall",
            name="job",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="calls",
                to="jobs.job",
            ),
        ),
    ]
