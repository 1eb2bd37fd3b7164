"""Room for data keys, and how long a tenant's jobs are kept."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import config.database
class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_audit_and_scopes")]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="retention_days",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name="tenant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("retention_days__isnull", True),
                    ("retention_days__range", (1, 36500)),
                    _connector="OR",
                ),
                name="tenant_keeps_jobs_for_a_day_to_a_century",
            ),
        ),
        migrations.CreateModel(
            name="DataKey",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("version", models.PositiveSmallIntegerField()),
                ("wrapped", models.BinaryField()),
                (
                    "kek_id",
                    models.GeneratedField(
                        db_persist=True,
                        expression=config.database.KeyIdOf("wrapped"),
                        output_field=models.CharField(max_length=32),
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="data_keys",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=["tenant", "version"], name="data_key_once_per_version"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("version__gt", 0)), name="data_key_versions_from_one"
                    ),
                ],
            },
        ),
    ]
