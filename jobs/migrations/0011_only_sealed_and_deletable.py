"""What stands in clear goes; a job that is over can be deleted, once and whole.

From here there is no way back: what was sealed is not laid open again.
"""

from importlib import import_module

from django.db import migrations, models
from django.db.models import Q

ENDED = ["COMPLETED", "FAILED", "CANCELLED", "EXPIRED"]
OVERHEAD = 32  # of tenants.vault, as it was

LOCK = "LOCK TABLE jobs_document, jobs_job, jobs_jobattempt IN ACCESS EXCLUSIVE MODE"

FORWARD = r"""
-- Already compressed where that helps; nothing can be won from ciphertext.
ALTER TABLE jobs_document ALTER COLUMN sealed_text SET STORAGE EXTERNAL;
ALTER TABLE jobs_job ALTER COLUMN sealed_summary SET STORAGE EXTERNAL,
    ALTER COLUMN sealed_result SET STORAGE EXTERNAL;

CREATE OR REPLACE FUNCTION jobs_job_moves() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    allowed boolean;
    expected jobs_job;
BEGIN
    IF NEW.attempt < OLD.attempt OR NEW.run < OLD.run OR NEW.event_seq <> OLD.event_seq THEN
        PERFORM jobs_refuse('job_never_goes_back', format('attempt %s to %s, run %s to %s',
            OLD.attempt, NEW.attempt, OLD.run, NEW.run));
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
        NEW.sealed_result := NULL;
        NEW.title := '';
        NEW.metadata := '{}';
        RETURN NEW;
    END IF;
    IF NEW.status = OLD.status THEN
        IF NEW.attempt <> OLD.attempt OR NEW.run <> OLD.run THEN
            PERFORM jobs_refuse('job_attempt_begins_with_processing', NEW.status);
        END IF;
        IF OLD.status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'EXPIRED') AND (
            NEW.step, NEW.error_code, NEW.error_detail, NEW.ended_at, NEW.llm_calls,
            NEW.prompt_tokens, NEW.completion_tokens, NEW.sealed_result, NEW.sealed_summary
        ) IS DISTINCT FROM (
            OLD.step, OLD.error_code, OLD.error_detail, OLD.ended_at, OLD.llm_calls,
            OLD.prompt_tokens, OLD.completion_tokens, OLD.sealed_result, OLD.sealed_summary
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

CREATE FUNCTION jobs_document_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    erased jobs_document := OLD;
BEGIN
    erased.sealed_text := NULL;
    erased.digest := '';
    IF NEW IS DISTINCT FROM OLD AND NEW IS DISTINCT FROM erased THEN
        PERFORM jobs_refuse('document_is_only_ever_erased', NEW.uid::text);
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER document_is_kept BEFORE UPDATE ON jobs_document
    FOR EACH ROW EXECUTE FUNCTION jobs_document_is_kept();
"""


def seal_the_rest(apps, schema_editor):
    """What was written since the last migration looked; nobody writes while this one runs."""
    earlier = import_module("jobs.migrations.0010_seal_what_is_there")
    for seal in (earlier.seal_documents, earlier.seal_jobs, earlier.seal_attempts):
        while earlier.seal_batch(schema_editor.connection, seal):
            pass


class Migration(migrations.Migration):
    dependencies = [("jobs", "0010_seal_what_is_there")]

    operations = [
        migrations.RunSQL(LOCK),
        migrations.RunPython(seal_the_rest),
        migrations.RemoveConstraint("document", "document_is_not_empty"),
        migrations.RemoveConstraint("document", "document_sha256_is_hex"),
        migrations.RemoveConstraint("job", "job_has_a_result_exactly_when_completed"),
        migrations.RemoveConstraint("job", "job_step_two_needs_the_summary"),
        migrations.RemoveField("document", "text"),
        migrations.RenameField("document", "sha256", "digest"),
        migrations.RemoveField("job", "summary"),
        migrations.RemoveField("job", "result"),
        migrations.RemoveField("jobattempt", "error"),
        migrations.RunSQL(FORWARD),
        migrations.AddConstraint(
            "document",
            models.CheckConstraint(
                condition=Q(("sealed_text__isnull", True))
                | Q(("sealed_text__length__gt", OVERHEAD)),
                name="document_is_not_empty",
            ),
        ),
        migrations.AddConstraint(
            "document",
            models.CheckConstraint(
                condition=Q(("digest__regex", "^[0-9a-f]{64}$"), ("sealed_text__isnull", False))
                | Q(("digest", ""), ("sealed_text__isnull", True)),
                name="document_is_whole_or_erased",
            ),
        ),
        migrations.AddConstraint(
            "job",
            models.CheckConstraint(
                condition=Q(("sealed_result__isnull", False), ("status", "COMPLETED"))
                | Q(
                    Q(("status", "COMPLETED"), _negated=True), ("sealed_result__isnull", True)
                )
                | Q(("deleted_at__isnull", False)),
                name="job_has_a_result_exactly_when_completed",
            ),
        ),
        migrations.AddConstraint(
            "job",
            models.CheckConstraint(
                condition=Q(("sealed_summary__isnull", True), ("step", "summarize"))
                | Q(("sealed_summary__isnull", False), ("step", "checklist"))
                | Q(("deleted_at__isnull", False)),
                name="job_step_two_needs_the_summary",
            ),
        ),
        migrations.AddConstraint(
            "job",
            models.CheckConstraint(
                condition=Q(("deleted_at__isnull", True))
                | Q(
                    ("metadata", {}),
                    ("sealed_result__isnull", True),
                    ("sealed_summary__isnull", True),
                    ("status__in", ENDED),
                    ("title", ""),
                ),
                name="job_that_is_deleted_is_over_and_empty",
            ),
        ),
        migrations.RemoveIndex("job", "job_list"),
        migrations.AddIndex(
            "job",
            models.Index(
                fields=["tenant", "-event_id"],
                condition=Q(("deleted_at__isnull", True)),
                name="job_list",
            ),
        ),
        migrations.RemoveIndex("job", "job_list_by_status"),
        migrations.AddIndex(
            "job",
            models.Index(
                fields=["tenant", "status", "-event_id"],
                condition=Q(("deleted_at__isnull", True)),
                name="job_list_by_status",
            ),
        ),
        migrations.AddIndex(
            "job",
            models.Index(
                fields=["tenant", "ended_at"],
                condition=Q(("deleted_at__isnull", True), ("ended_at__isnull", False)),
                name="job_retention",
            ),
        ),
    ]
