"""A job's document, attempts, events and calls are its own tenant's: composite foreign keys.

PostgreSQL checks foreign keys past row-level security, so one on the id alone would accept, and
confirm the existence of, another tenant's row.
"""

import django.db.models.deletion
from django.db import migrations, models

REFERENCES = [
    ("jobs_job", "document_id", "jobs_document"),
    ("jobs_jobattempt", "job_id", "jobs_job"),
    ("jobs_jobevent", "job_id", "jobs_job"),
    ("jobs_llmcall", "job_id", "jobs_job"),
]
PARENTS = ["jobs_document", "jobs_job"]


def unique(table: str) -> migrations.RunSQL:
    name = f"{table}_within_its_tenant"
    return migrations.RunSQL(
        f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE (tenant_id, id)",
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
    )


def reference(table: str, column: str, parent: str) -> migrations.RunSQL:
    name = f"{table}_{column.removesuffix('_id')}_is_of_the_same_tenant"
    return migrations.RunSQL(
        f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY (tenant_id, {column})"
        f" REFERENCES {parent} (tenant_id, id)",
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
    )


class Migration(migrations.Migration):
    dependencies = [("jobs", "0007_replies_that_were_lost")]

    operations = [
        migrations.AlterField(
            model_name="job",
            name="document",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="jobs",
                to="jobs.document",
            ),
        ),
        *[
            migrations.AlterField(
                model_name=model,
                name="job",
                field=models.ForeignKey(
                    db_constraint=False,
                    db_index=False,
                    on_delete=on_delete,
                    related_name=name,
                    to="jobs.job",
                ),
            )
            for model, name, on_delete in [
                ("jobattempt", "attempts", django.db.models.deletion.CASCADE),
                ("jobevent", "events", django.db.models.deletion.DO_NOTHING),
                ("llmcall", "calls", django.db.models.deletion.CASCADE),
            ]
        ],
        *[unique(table) for table in PARENTS],
        *[reference(*each) for each in REFERENCES],
    ]
