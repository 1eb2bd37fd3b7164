"""A reply is kept with its step or lost with its attempt, and the ledger says which.

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
    ]
