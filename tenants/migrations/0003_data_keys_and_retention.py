"""Data keys, one for each tenant there is, and how long a tenant's jobs are kept."""

import os

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import config.database
from config import crypto
from config.isolation import past_row_security
from tenants.vault import WRAPPED

BATCH = 500


def make_data_keys(apps, schema_editor):
    Tenant, DataKey = apps.get_model("tenants", "Tenant"), apps.get_model("tenants", "DataKey")
    with past_row_security("tenants_tenant", on=schema_editor.connection):
        ids = list(Tenant.objects.values_list("id", flat=True))
    keys = (
        DataKey(
            tenant_id=tenant_id,
            version=1,
            wrapped=crypto.seal(os.urandom(crypto.KEY_BYTES), WRAPPED.format(tenant_id, 1)),
        )
        for tenant_id in ids
    )
    DataKey.objects.bulk_create(keys, batch_size=BATCH)


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
                    ("retention_days__isnull", True), ("retention_days__gt", 0), _connector="OR"
                ),
                name="tenant_keeps_jobs_for_a_day_at_least",
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
        migrations.RunPython(make_data_keys, migrations.RunPython.noop),
    ]
