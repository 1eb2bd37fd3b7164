"""Room for what will be sealed, beside what is not yet; and for the time of a deletion."""

from django.db import migrations, models

import jobs.models

SEALED = [
    ("document", "sealed_text"),
    ("job", "sealed_summary"),
    ("job", "sealed_result"),
    ("jobattempt", "sealed_error"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0008_references_stay_in_the_tenant"),
        ("tenants", "0004_a_data_key_for_each_tenant"),
    ]

    operations = [
        *[
            migrations.AddField(model, name, models.BinaryField(null=True))
            for model, name in SEALED
        ],
        migrations.AddField(
            "job", "deleted_at", models.DateTimeField(blank=True, null=True)
        ),
        # By the database: each row that is there gets an id of its own.
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    "ALTER TABLE jobs_document ADD COLUMN uid uuid NOT NULL"
                    " DEFAULT gen_random_uuid();"
                    "ALTER TABLE jobs_document ALTER COLUMN uid DROP DEFAULT",
                    "ALTER TABLE jobs_document DROP COLUMN uid",
                )
            ],
            [
                migrations.AddField(
                    "document", "uid", models.UUIDField(default=jobs.models.uuid7, editable=False)
                )
            ],
        ),
        migrations.AddConstraint(
            "document",
            models.UniqueConstraint(fields=["tenant", "uid"], name="document_uid_once_per_tenant"),
        ),
    ]
