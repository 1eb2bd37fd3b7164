"""A kept answer says which job it tells of, so that it is found, by an index, when that is deleted.

Of what is kept already, submissions say it in their Location. Other answers did not say it where it
can be read; they expire within a day.
"""

from django.db import migrations, models

FROM_LOCATION = """
UPDATE tenants_idempotencyrecord SET about = substring(headers->>'Location' FROM '^/jobs/(.*)$')::uuid
WHERE headers->>'Location' ~ '^/jobs/[0-9a-f-]{36}$'
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0013_what_staff_search_the_log_for")]

    operations = [
        migrations.AddField("idempotencyrecord", "about", models.UUIDField(null=True)),
        migrations.RunSQL(FROM_LOCATION, migrations.RunSQL.noop),
        migrations.AddIndex(
            "idempotencyrecord",
            models.Index(
                fields=["tenant", "about"],
                condition=models.Q(about__isnull=False),
                name="idempotency_about_a_job",
            ),
        ),
    ]
