"""What a job is asked to do is fixed with it; it may follow an earlier one; step 2 has a checkpoint.

The trigger keeps what was promised, and empties what is new when a job is deleted.
"""

from importlib import import_module

import django.db.models.deletion
from django.db import migrations, models

MOVES = r"""
CREATE OR REPLACE FUNCTION jobs_job_moves() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    allowed boolean;
    expected jobs_job;
BEGIN
    IF NEW.attempt < OLD.attempt OR NEW.run < OLD.run OR NEW.event_seq <> OLD.event_seq THEN
        PERFORM jobs_refuse('job_never_goes_back', format('attempt %s to %s, run %s to %s',
            OLD.attempt, NEW.attempt, OLD.run, NEW.run));
    END IF;
    IF (NEW.options, NEW.prompts, NEW.supersedes_id, NEW.replay_of_id) IS DISTINCT FROM
        (OLD.options, OLD.prompts, OLD.supersedes_id, OLD.replay_of_id)
    THEN
        PERFORM jobs_refuse('job_does_what_was_asked_for', OLD.status);
    END IF;
    -- Deleted is deleted. Only a call may still turn out to be one that nobody answers for.
    IF OLD.deleted_at IS NOT NULL THEN
        expected := OLD;
        expected.unknown_calls := NEW.unknown_calls;
        IF NEW IS DISTINCT FROM expected THEN
            PERFORM jobs_refuse('job_that_is_deleted_stays_deleted', OLD.status);
        END IF;
        RETURN NEW;
    END IF;
    -- Whoever deletes says only when. What goes then is decided here, not by the writer.
    IF NEW.deleted_at IS NOT NULL THEN
        expected := OLD;
        expected.deleted_at := NEW.deleted_at;
        IF OLD.ended_at IS NULL OR NEW IS DISTINCT FROM expected THEN
            PERFORM jobs_refuse('job_is_deleted_over_and_whole', OLD.status);
        END IF;
        NEW.sealed_summary := NULL;
        NEW.sealed_checklist := NULL;
        NEW.sealed_result := NULL;
        NEW.title := '';
        NEW.metadata := '{}';
        NEW.fingerprint := '';
        RETURN NEW;
    END IF;
    IF NEW.status = OLD.status THEN
        IF NEW.attempt <> OLD.attempt OR NEW.run <> OLD.run THEN
            PERFORM jobs_refuse('job_attempt_begins_with_processing', NEW.status);
        END IF;
        IF OLD.status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'EXPIRED') AND (
            NEW.step, NEW.error_code, NEW.error_detail, NEW.ended_at, NEW.llm_calls,
            NEW.prompt_tokens, NEW.completion_tokens, NEW.sealed_result, NEW.sealed_summary,
            NEW.sealed_checklist, NEW.fingerprint, NEW.cache_hit
        ) IS DISTINCT FROM (
            OLD.step, OLD.error_code, OLD.error_detail, OLD.ended_at, OLD.llm_calls,
            OLD.prompt_tokens, OLD.completion_tokens, OLD.sealed_result, OLD.sealed_summary,
            OLD.sealed_checklist, OLD.fingerprint, OLD.cache_hit
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
"""
REFERENCES = ["supersedes_id", "replay_of_id"]


def earlier_moves() -> str:
    sql = import_module("jobs.migrations.0011_only_sealed_and_deletable").FORWARD
    start = sql.index("CREATE OR REPLACE FUNCTION jobs_job_moves")
    return sql[start : sql.index("END $$;", start) + len("END $$;")]


def reference(column: str) -> migrations.RunSQL:
    name = f"jobs_job_{column.removesuffix('_id')}_is_of_the_same_tenant"
    return migrations.RunSQL(
        f"ALTER TABLE jobs_job ADD CONSTRAINT {name} FOREIGN KEY (tenant_id, {column})"
        " REFERENCES jobs_job (tenant_id, id)",
        f"ALTER TABLE jobs_job DROP CONSTRAINT {name}",
    )


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0015_budgets_are_kept'),
        ('tenants', '0011_usage_never_exceeds_the_plan'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='job',
            name='job_step_is_known',
        ),
        migrations.RemoveConstraint(
            model_name='job',
            name='job_step_two_needs_the_summary',
        ),
        migrations.RemoveConstraint(
            model_name='job',
            name='job_that_is_deleted_is_over_and_empty',
        ),
        migrations.AddField(
            model_name='job',
            name='cache_hit',
            field=models.BooleanField(db_default=False),
        ),
        migrations.AddField(
            model_name='job',
            name='fingerprint',
            field=models.CharField(blank=True, db_default='', max_length=64),
        ),
        migrations.AddField(
            model_name='job',
            name='options',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.AddField(
            model_name='job',
            name='passages',
            field=models.PositiveIntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name='job',
            name='passages_done',
            field=models.PositiveIntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name='job',
            name='prompts',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.AddField(
            model_name='job',
            name='replay_of',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='jobs.job'),
        ),
        migrations.AddField(
            model_name='job',
            name='sealed_checklist',
            field=models.BinaryField(null=True),
        ),
        migrations.AddField(
            model_name='job',
            name='supersedes',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='jobs.job'),
        ),
        migrations.AlterField(
            model_name='job',
            name='step',
            field=models.CharField(choices=[('summarize', 'Summarise'), ('checklist', 'Make the checklist'), ('repair', 'Ask again for what is missing or in doubt')], default='summarize', max_length=10),
        ),
        migrations.AlterField(
            model_name='jobattempt',
            name='step',
            field=models.CharField(choices=[('summarize', 'Summarise'), ('checklist', 'Make the checklist'), ('repair', 'Ask again for what is missing or in doubt')], max_length=10),
        ),
        migrations.AlterField(
            model_name='llmcall',
            name='step',
            field=models.CharField(choices=[('summarize', 'Summarise'), ('checklist', 'Make the checklist'), ('repair', 'Ask again for what is missing or in doubt')], max_length=10),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('deleted_at__isnull', True), ('status', 'COMPLETED'), models.Q(('fingerprint', ''), _negated=True)), fields=['tenant', 'fingerprint', '-id'], name='job_same_result'),
        ),
        migrations.AddConstraint(
            model_name='job',
            constraint=models.CheckConstraint(condition=models.Q(('step__in', ['summarize', 'checklist', 'repair'])), name='job_step_is_known'),
        ),
        migrations.AddConstraint(
            model_name='job',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('sealed_summary__isnull', True), ('step', 'summarize')), models.Q(('sealed_summary__isnull', False), ('step', 'checklist')), models.Q(('sealed_summary__isnull', False), ('step', 'repair')), ('deleted_at__isnull', False), _connector='OR'), name='job_step_two_needs_the_summary'),
        ),
        migrations.AddConstraint(
            model_name='job',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('sealed_checklist__isnull', False), ('step', 'repair')), models.Q(models.Q(('step', 'repair'), _negated=True), ('sealed_checklist__isnull', True)), ('deleted_at__isnull', False), _connector='OR'), name='job_repair_needs_the_checklist'),
        ),
        migrations.AddConstraint(
            model_name='job',
            constraint=models.CheckConstraint(condition=models.Q(('deleted_at__isnull', True), models.Q(('fingerprint', ''), ('metadata', {}), ('sealed_checklist__isnull', True), ('sealed_result__isnull', True), ('sealed_summary__isnull', True), ('status__in', ['COMPLETED', 'FAILED', 'CANCELLED', 'EXPIRED']), ('title', '')), _connector='OR'), name='job_that_is_deleted_is_over_and_empty'),
        ),
        migrations.RunSQL(
            "ALTER TABLE jobs_job ALTER COLUMN sealed_checklist SET STORAGE EXTERNAL",
            migrations.RunSQL.noop,
        ),
        *[reference(column) for column in REFERENCES],
        migrations.RunSQL(MOVES, earlier_moves()),
    ]
