"""A job may wait for its document to be read; the file is kept until then and no longer.

Two functions of earlier migrations change in one place each. They are changed where they stand:
whatever else has become of them stays as it is.
"""

from importlib import import_module

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

CHANGE = r"""
DO $change$
DECLARE
    before text := pg_get_functiondef('{function}'::regproc);
    after text := replace(before, $part${old}$part$, $part${new}$part$);
BEGIN
    IF after = before THEN
        RAISE EXCEPTION '{function} is not what it was: %', before;
    END IF;
    EXECUTE after;
END $change$;
"""


def change(function: str, old: str, new: str) -> migrations.RunSQL:
    return migrations.RunSQL(
        CHANGE.format(function=function, old=old, new=new),
        CHANGE.format(function=function, old=new, new=old),
    )


CHANGES = [
    # A document that cannot be read ends its job before any attempt at it.
    change(
        "jobs_job_moves",
        "OR NEW.status IN ('CANCELLED', 'EXPIRED') AND NEW.attempt = OLD.attempt",
        """OR (NEW.status IN ('CANCELLED', 'EXPIRED')
                OR NEW.status = 'FAILED' AND OLD.step = 'read') AND NEW.attempt = OLD.attempt""",
    ),
    # Its file is gone, so there is nothing to try again with.
    change(
        "jobs_job_moves",
        "ELSE NEW.status = 'PENDING' AND NEW.attempt = OLD.attempt",
        "ELSE NEW.status = 'PENDING' AND NEW.attempt = OLD.attempt AND NEW.step <> 'read'",
    ),
    # A tenant's first job makes its queue, also one that is not ready yet.
    change(
        "jobs_queue_follows",
        "IF NEW.ready AND (TG_OP = 'INSERT' OR NOT OLD.ready) THEN",
        "IF TG_OP = 'INSERT' OR NEW.ready AND NOT OLD.ready THEN",
    ),
]

FORWARD = r"""
ALTER TABLE jobs_upload ALTER COLUMN sealed_original SET STORAGE EXTERNAL;
ALTER TABLE jobs_upload ADD CONSTRAINT jobs_upload_job_is_of_the_same_tenant
    FOREIGN KEY (tenant_id, job_id) REFERENCES jobs_job (tenant_id, id);
ALTER TABLE jobs_upload ADD CONSTRAINT jobs_upload_document_is_of_the_same_tenant
    FOREIGN KEY (tenant_id, document_id) REFERENCES jobs_document (tenant_id, id);

-- A text is given once, to a document whose file is there to be read, and only ever taken away.
CREATE OR REPLACE FUNCTION jobs_document_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    erased jobs_document := OLD;
    filled jobs_document := OLD;
BEGIN
    IF NEW.sealed_text IS NULL THEN
        NEW.page_starts := NULL;
    END IF;
    erased.sealed_text := NULL;
    erased.digest := '';
    erased.page_starts := NULL;
    IF NEW IS NOT DISTINCT FROM OLD OR NEW IS NOT DISTINCT FROM erased THEN
        RETURN NEW;
    END IF;
    filled.sealed_text := NEW.sealed_text;
    filled.digest := NEW.digest;
    filled.page_starts := NEW.page_starts;
    IF OLD.sealed_text IS NULL AND NEW.page_starts IS NOT NULL AND NEW IS NOT DISTINCT FROM filled
    THEN
        IF EXISTS (
            SELECT FROM jobs_upload WHERE tenant_id = OLD.tenant_id AND document_id = OLD.id
        ) THEN
            RETURN NEW;
        END IF;
    END IF;
    PERFORM jobs_refuse('document_is_only_ever_erased', NEW.uid::text);
    RETURN NEW;
END $$;

CREATE FUNCTION jobs_upload_ends() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM jobs_upload WHERE tenant_id = NEW.tenant_id AND job_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER upload_ends AFTER UPDATE ON jobs_job FOR EACH ROW
    WHEN (OLD.step = 'read' AND (NEW.step <> 'read' OR NEW.status <> 'PENDING'))
    EXECUTE FUNCTION jobs_upload_ends();
"""

REVERSE = """
DROP TRIGGER upload_ends ON jobs_job;
DROP FUNCTION jobs_upload_ends;
ALTER TABLE jobs_upload DROP CONSTRAINT jobs_upload_job_is_of_the_same_tenant,
    DROP CONSTRAINT jobs_upload_document_is_of_the_same_tenant;
"""


def earlier_document_is_kept() -> str:
    sql = import_module("jobs.migrations.0011_only_sealed_and_deletable").FORWARD
    start = sql.index("CREATE FUNCTION jobs_document_is_kept")
    body = sql[start : sql.index("END $$;", start) + len("END $$;")]
    return body.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0017_calls_say_whom_they_ask'),
        ('tenants', '0011_usage_never_exceeds_the_plan'),
    ]

    operations = [
        migrations.CreateModel(
            name='Upload',
            fields=[
                ('job', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='upload', serialize=False, to='jobs.job')),
                ('media_type', models.CharField(max_length=100)),
                ('sealed_original', models.BinaryField()),
                ('attempt', models.PositiveSmallIntegerField(default=0)),
                ('worker', models.CharField(blank=True, max_length=200)),
                ('lease_expires_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='job',
            name='job_step_is_known',
        ),
        migrations.RemoveConstraint(
            model_name='job',
            name='job_step_two_needs_the_summary',
        ),
        migrations.AddField(
            model_name='document',
            name='page_starts',
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name='tenantqueue',
            name='last_read_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name='job',
            name='step',
            field=models.CharField(choices=[('read', 'Read the document'), ('summarize', 'Summarise'), ('checklist', 'Make the checklist'), ('repair', 'Ask again for what is missing or in doubt')], default='summarize', max_length=10),
        ),
        migrations.AlterField(
            model_name='jobattempt',
            name='step',
            field=models.CharField(choices=[('read', 'Read the document'), ('summarize', 'Summarise'), ('checklist', 'Make the checklist'), ('repair', 'Ask again for what is missing or in doubt')], max_length=10),
        ),
        migrations.AlterField(
            model_name='llmcall',
            name='step',
            field=models.CharField(choices=[('read', 'Read the document'), ('summarize', 'Summarise'), ('checklist', 'Make the checklist'), ('repair', 'Ask again for what is missing or in doubt')], max_length=10),
        ),
        migrations.AddConstraint(
            model_name='document',
            constraint=models.CheckConstraint(condition=models.Q(('page_starts__isnull', True), ('sealed_text__isnull', False), _connector='OR'), name='document_has_pages_of_a_text'),
        ),
        migrations.AddConstraint(
            model_name='job',
            constraint=models.CheckConstraint(condition=models.Q(('step__in', ['read', 'summarize', 'checklist', 'repair'])), name='job_step_is_known'),
        ),
        migrations.AddConstraint(
            model_name='job',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('sealed_summary__isnull', True), ('step__in', ['read', 'summarize'])), models.Q(('sealed_summary__isnull', False), ('step', 'checklist')), models.Q(('sealed_summary__isnull', False), ('step', 'repair')), ('deleted_at__isnull', False), _connector='OR'), name='job_step_two_needs_the_summary'),
        ),
        migrations.AddConstraint(
            model_name='job',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('step', 'read'), _negated=True), models.Q(('ready', False), models.Q(('status__in', ['PROCESSING', 'COMPLETED']), _negated=True)), _connector='OR'), name='job_is_read_before_it_runs'),
        ),
        migrations.AddField(
            model_name='upload',
            name='document',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='jobs.document'),
        ),
        migrations.AddField(
            model_name='upload',
            name='tenant',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant'),
        ),
        migrations.AddIndex(
            model_name='upload',
            index=models.Index(fields=['tenant', 'job'], name='upload_of_tenant'),
        ),
        migrations.AddConstraint(
            model_name='upload',
            constraint=models.CheckConstraint(condition=models.Q(('sealed_original__length__gt', 32)), name='upload_is_not_empty'),
        ),
        migrations.RunSQL(FORWARD, earlier_document_is_kept() + REVERSE),
        *CHANGES,
    ]
