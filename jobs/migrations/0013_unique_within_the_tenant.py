"""Unique within the tenant: a duplicate is refused before the reference is checked, and would so
tell of another tenant's row. The job stays first, for look-ups by job alone.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0012_shares'),
        ('tenants', '0002_audit_and_scopes'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='jobattempt',
            name='attempt_once_per_number',
        ),
        migrations.RemoveConstraint(
            model_name='jobevent',
            name='event_once_per_number',
        ),
        migrations.RemoveConstraint(
            model_name='llmcall',
            name='call_once_per_label',
        ),
        migrations.AddConstraint(
            model_name='jobattempt',
            constraint=models.UniqueConstraint(fields=('job', 'tenant', 'number'), name='attempt_once_per_number'),
        ),
        migrations.AddConstraint(
            model_name='jobevent',
            constraint=models.UniqueConstraint(fields=('job', 'tenant', 'seq'), name='event_once_per_number'),
        ),
        migrations.AddConstraint(
            model_name='llmcall',
            constraint=models.UniqueConstraint(fields=('job', 'tenant', 'label'), name='call_once_per_label'),
        ),
    ]
