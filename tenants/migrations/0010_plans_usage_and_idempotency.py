"""Plans, with one that every tenant has from now on; and what their limits count."""

import django.db.models.deletion
from django.db import migrations, models

STANDARD = """
INSERT INTO tenants_plan (
    code, name, submits_per_minute, reads_per_minute, manages_per_minute,
    max_running, max_waiting, tokens_per_day, money_per_month, retention_days
) VALUES ('standard', 'Standard', 600, 6000, 600, 16, 10000, 100000000, 1000000000, NULL)
"""


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0009_keys_and_invitations'),
    ]

    operations = [
        migrations.AddField(
            model_name='apikey',
            name='requests_per_minute',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.CreateModel(
            name='Plan',
            fields=[
                ('code', models.SlugField(max_length=40, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=100)),
                ('submits_per_minute', models.PositiveIntegerField(default=600)),
                ('reads_per_minute', models.PositiveIntegerField(default=6000)),
                ('manages_per_minute', models.PositiveIntegerField(default=600)),
                ('max_running', models.PositiveIntegerField(default=16)),
                ('max_waiting', models.PositiveIntegerField(default=10000)),
                ('tokens_per_day', models.BigIntegerField(default=100000000)),
                ('money_per_month', models.BigIntegerField(default=1000000000)),
                ('retention_days', models.PositiveIntegerField(blank=True, null=True)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('submits_per_minute__gt', 0), ('reads_per_minute__gt', 0), ('manages_per_minute__gt', 0), ('max_running__gt', 0), ('max_waiting__gt', 0)), name='plan_allows_something'), models.CheckConstraint(condition=models.Q(('tokens_per_day__gte', 0), ('money_per_month__gte', 0)), name='plan_budgets_are_not_negative')],
            },
        ),
        migrations.RunSQL(STANDARD, migrations.RunSQL.noop),
        migrations.AddField(
            model_name='tenant',
            name='plan',
            field=models.ForeignKey(default='standard', on_delete=django.db.models.deletion.PROTECT, related_name='tenants', to='tenants.plan'),
        ),
        migrations.CreateModel(
            name='RateBucket',
            fields=[
                ('pk', models.CompositePrimaryKey('tenant_id', 'route_class', blank=True, editable=False, primary_key=True, serialize=False)),
                ('route_class', models.CharField(choices=[('submit', 'Submit jobs'), ('read', 'Read'), ('manage', 'Change anything else')], max_length=10)),
                ('tokens', models.FloatField()),
                ('refilled_at', models.DateTimeField()),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
            ],
        ),
        migrations.CreateModel(
            name='IdempotencyRecord',
            fields=[
                ('pk', models.CompositePrimaryKey('tenant_id', 'route', 'key', blank=True, editable=False, primary_key=True, serialize=False)),
                ('route', models.CharField(max_length=200)),
                ('key', models.CharField(max_length=255)),
                ('request_hash', models.BinaryField()),
                ('status', models.PositiveSmallIntegerField(default=0)),
                ('headers', models.JSONField(default=dict)),
                ('body', models.BinaryField(default=bytes)),
                ('expires_at', models.DateTimeField()),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
            ],
            options={
                'indexes': [models.Index(fields=['expires_at'], name='idempotency_expiry')],
            },
        ),
        migrations.CreateModel(
            name='Usage',
            fields=[
                ('pk', models.CompositePrimaryKey('tenant_id', 'kind', 'starts_on', blank=True, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('money', 'Money in a month'), ('tokens', 'Tokens in a day')], max_length=10)),
                ('starts_on', models.DateField()),
                ('spent', models.BigIntegerField(db_default=0)),
                ('reserved', models.BigIntegerField(db_default=0)),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
            ],
            options={
                'verbose_name_plural': 'usage',
                'constraints': [models.CheckConstraint(condition=models.Q(('spent__gte', 0), ('reserved__gte', 0)), name='usage_is_not_negative')],
            },
        ),
    ]
