"""A reply is kept with its step or lost with its attempt, and the ledger says which. An outage of
PostgreSQL is no crash of a worker, and the history says so.

Safe beside running workers: nothing is locked for longer than an instant, and the version before
goes on writing the outcomes it knows. Back again, whatever was answered is `ok`, as it was then.
"""

from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    RemoveIndexConcurrently,
    ValidateConstraint,
)
from django.db import migrations, models
from django.db.models import Q

OUTCOMES = [
    ("started", "Under way"),
    ("answered", "Answered, its step not stored yet"),
    ("ok", "Answered, its step stored"),
    ("error", "Failed"),
    ("unknown", "Unknown: its worker was lost"),
    ("lost", "Answered, but its reply was lost"),
]
FORGET = "UPDATE jobs_llmcall SET outcome = 'ok' WHERE outcome IN ('answered', 'lost')"

# As in 0003, but for what says nothing of itself and is no crash: only an outage takes a job back
# so.
HISTORY = r"""
CREATE OR REPLACE FUNCTION jobs_job_has_moved() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    said_actor text := nullif(current_setting('guidepost.actor', true), '');
    said_note text := nullif(current_setting('guidepost.note', true), '');
    lost text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO jobs_jobevent
            (tenant_id, job_id, seq, from_status, to_status, run, attempt, actor, note)
        VALUES (NEW.tenant_id, NEW.id, 1, '', NEW.status, 1, 0, NEW.submitted_by, '');
    ELSIF NEW.status <> OLD.status THEN
        lost := CASE WHEN NEW.crashes > OLD.crashes THEN 'worker_lost'
            WHEN OLD.status = 'PROCESSING' AND NEW.status = 'PENDING' AND said_note IS NULL
                THEN 'database_away' END;
        INSERT INTO jobs_jobevent
            (tenant_id, job_id, seq, at, from_status, to_status, run, attempt, actor, note)
        VALUES (
            NEW.tenant_id, NEW.id, NEW.event_seq, clock_timestamp(), OLD.status, NEW.status,
            NEW.run, NEW.attempt,
            coalesce(said_actor, CASE WHEN lost IS NULL
                THEN coalesce(nullif(NEW.worker, ''), nullif(OLD.worker, '')) END, 'pump'),
            coalesce(said_note, lost, NEW.error_code)
        );
    END IF;
    RETURN NULL;
END $$;
"""
HISTORY_BEFORE = r"""
CREATE OR REPLACE FUNCTION jobs_job_has_moved() RETURNS trigger LANGUAGE plpgsql AS $$
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
"""


class Migration(migrations.Migration):
    atomic = False  # no index is made concurrently within a transaction

    dependencies = [("jobs", "0006_calls_under_way")]

    operations = [
        migrations.AlterField(
            model_name="llmcall",
            name="outcome",
            field=models.CharField(choices=OUTCOMES, default="started", max_length=10),
        ),
        migrations.RemoveConstraint(model_name="llmcall", name="call_outcome_is_known"),
        AddConstraintNotValid(
            model_name="llmcall",
            constraint=models.CheckConstraint(
                condition=Q(outcome__in=[outcome for outcome, _ in OUTCOMES]),
                name="call_outcome_is_known",
            ),
        ),
        ValidateConstraint(model_name="llmcall", name="call_outcome_is_known"),
        AddIndexConcurrently(
            model_name="llmcall",
            index=models.Index(
                fields=["job"],
                condition=Q(outcome__in=["started", "answered"]),
                name="call_unsettled",
            ),
        ),
        RemoveIndexConcurrently(model_name="llmcall", name="call_under_way"),
        migrations.RunSQL(migrations.RunSQL.noop, FORGET),
        migrations.RunSQL(HISTORY, HISTORY_BEFORE),
    ]
