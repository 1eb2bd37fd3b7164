"""What a tenant sets for all its jobs, its own key of a model provider, and a scope for both.

Tenants that are there already get the scope for the roles that have it.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


# For tenants made from now on `tenants.permissions.create_groups` does this.
GRANT = """
INSERT INTO auth_permission (name, content_type_id, codename)
SELECT 'Change settings and the provider''s key', id, 'manage_settings'
FROM django_content_type WHERE app_label = 'tenants' AND model = 'tenant'
ON CONFLICT DO NOTHING;

INSERT INTO guardian_groupobjectpermission (object_pk, content_type_id, group_id, permission_id)
SELECT tenant.id::text, permission.content_type_id, holder.id, permission.id
FROM tenants_tenant AS tenant
JOIN auth_group AS holder ON holder.name IN (tenant.id || ':owner', tenant.id || ':admin')
JOIN auth_permission AS permission ON permission.codename = 'manage_settings'
ON CONFLICT DO NOTHING;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0011_usage_never_exceeds_the_plan'),
        ('auth', '0012_alter_user_first_name_max_length'),
        ('guardian', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ProviderKey',
            fields=[
                ('tenant', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='tenants.tenant')),
                ('provider', models.CharField(max_length=40)),
                ('sealed_key', models.BinaryField()),
                ('last4', models.CharField(max_length=4)),
                ('set_at', models.DateTimeField()),
            ],
        ),
        migrations.AlterModelOptions(
            name='tenant',
            options={'permissions': [('submit_jobs', 'Submit jobs'), ('read_jobs', 'Read jobs'), ('manage_jobs', 'Cancel, retry, share and delete jobs'), ('manage_keys', 'Make, rotate and revoke API keys'), ('manage_members', 'Invite, change and remove members'), ('manage_settings', "Change settings and the provider's key"), ('read_usage', 'Read usage and limits'), ('read_audit', 'Read the audit log')]},
        ),
        migrations.RemoveConstraint(
            model_name='apikey',
            name='api_key_scopes_are_known',
        ),
        migrations.RemoveConstraint(
            model_name='apikey',
            name='api_key_manages_no_members',
        ),
        migrations.AddField(
            model_name='plan',
            name='allowed_models',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=200), blank=True, db_default=models.Value([], django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=200), size=None)), default=list, size=None),
        ),
        migrations.AddField(
            model_name='tenant',
            name='language',
            field=models.CharField(blank=True, db_default='', default='', max_length=35),
        ),
        migrations.AddField(
            model_name='tenant',
            name='on_doubt',
            field=models.CharField(choices=[('flag', 'Flag it'), ('drop', 'Drop it'), ('repair', 'Ask the model once more')], db_default='flag', default='flag', max_length=10),
        ),
        migrations.AddField(
            model_name='tenant',
            name='preferred_models',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=200), blank=True, db_default=models.Value([], django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=200), size=None)), default=list, size=None),
        ),
        migrations.AlterField(
            model_name='apikey',
            name='scopes',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('jobs:submit', 'Submit jobs'), ('jobs:read', 'Read jobs'), ('jobs:manage', 'Cancel, retry, share and delete jobs'), ('keys:manage', 'Make, rotate and revoke API keys'), ('members:manage', 'Invite, change and remove members'), ('settings:manage', "Change settings and the provider's key"), ('usage:read', 'Read usage and limits'), ('audit:read', 'Read the audit log')], max_length=20), size=None),
        ),
        migrations.AlterField(
            model_name='apisession',
            name='scopes',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('jobs:submit', 'Submit jobs'), ('jobs:read', 'Read jobs'), ('jobs:manage', 'Cancel, retry, share and delete jobs'), ('keys:manage', 'Make, rotate and revoke API keys'), ('members:manage', 'Invite, change and remove members'), ('settings:manage', "Change settings and the provider's key"), ('usage:read', 'Read usage and limits'), ('audit:read', 'Read the audit log')], max_length=20), size=None),
        ),
        migrations.AlterField(
            model_name='authorizationcode',
            name='scopes',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('jobs:submit', 'Submit jobs'), ('jobs:read', 'Read jobs'), ('jobs:manage', 'Cancel, retry, share and delete jobs'), ('keys:manage', 'Make, rotate and revoke API keys'), ('members:manage', 'Invite, change and remove members'), ('settings:manage', "Change settings and the provider's key"), ('usage:read', 'Read usage and limits'), ('audit:read', 'Read the audit log')], max_length=20), size=None),
        ),
        migrations.AddConstraint(
            model_name='apikey',
            constraint=models.CheckConstraint(condition=models.Q(('scopes__contained_by', ['jobs:submit', 'jobs:read', 'jobs:manage', 'keys:manage', 'members:manage', 'settings:manage', 'usage:read', 'audit:read']), ('scopes__len__gt', 0)), name='api_key_scopes_are_known'),
        ),
        migrations.AddConstraint(
            model_name='apikey',
            constraint=models.CheckConstraint(condition=models.Q(('scopes__overlap', ['members:manage', 'settings:manage']), _negated=True), name='api_key_has_no_scope_of_people_alone'),
        ),
        migrations.AddConstraint(
            model_name='tenant',
            constraint=models.CheckConstraint(condition=models.Q(('on_doubt__in', ['flag', 'drop', 'repair'])), name='tenant_on_doubt_is_known'),
        ),
        migrations.AddField(
            model_name='providerkey',
            name='set_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.RunSQL(GRANT, migrations.RunSQL.noop),
    ]
