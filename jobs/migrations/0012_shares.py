"""django-guardian's grants on single jobs. A grant ends with its job, one to a person with the
membership; neither can be of another tenant: composite foreign keys.
"""

import django.db.models.deletion
import uuid
from django.conf import settings
from django.db import migrations, models

REFERENCES = [
    ("jobs_jobuserobjectpermission", "content_object_id", "jobs_job", "id"),
    ("jobs_jobgroupobjectpermission", "content_object_id", "jobs_job", "id"),
    ("jobs_jobuserobjectpermission", "user_id", "tenants_membership", "user_id"),
]


def reference(table: str, column: str, parent: str, key: str) -> migrations.RunSQL:
    name = f"{table}_{column.removesuffix('_id')}_same_tenant"
    return migrations.RunSQL(
        f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY (tenant_id, {column})"
        f" REFERENCES {parent} (tenant_id, {key}) ON DELETE CASCADE",
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
    )


class Migration(migrations.Migration):

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ('jobs', '0011_only_sealed_and_deletable'),
        ('tenants', '0009_keys_and_invitations'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='JobGroupObjectPermission',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('content_object', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, to='jobs.job')),
                ('group', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='auth.group')),
                ('permission', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='auth.permission')),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
            ],
            options={
                'unique_together': {('tenant', 'group', 'permission', 'content_object')},
            },
        ),
        migrations.CreateModel(
            name='JobUserObjectPermission',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('content_object', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, to='jobs.job')),
                ('permission', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='auth.permission')),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'unique_together': {('tenant', 'user', 'permission', 'content_object')},
            },
        ),
        *[reference(*each) for each in REFERENCES],
    ]
