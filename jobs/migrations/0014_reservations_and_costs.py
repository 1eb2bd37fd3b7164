"""What is promised to jobs, what their calls may cost, and what they did cost."""

import config.database
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0013_unique_within_the_tenant'),
        ('tenants', '0011_usage_never_exceeds_the_plan'),
    ]

    operations = [
        migrations.CreateModel(
            name='Reservation',
            fields=[
                ('job', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='jobs.job')),
                ('day', models.DateField()),
                ('tokens', models.BigIntegerField()),
                ('micros', models.BigIntegerField()),
            ],
        ),
        migrations.AddField(
            model_name='job',
            name='cost_micros',
            field=models.BigIntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name='llmcall',
            name='bound_micros',
            field=models.BigIntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name='llmcall',
            name='bound_tokens',
            field=models.BigIntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name='llmcall',
            name='charged_tokens',
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='llmcall',
            name='cost_micros',
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='llmcall',
            name='day',
            field=models.DateField(db_default=config.database.Today()),
        ),
        migrations.AddIndex(
            model_name='llmcall',
            index=models.Index(condition=models.Q(('cost_micros__isnull', True)), fields=['id'], name='call_to_be_charged'),
        ),
        migrations.AddIndex(
            model_name='llmcall',
            index=models.Index(fields=['tenant', 'day'], name='call_usage'),
        ),
        migrations.AddField(
            model_name='reservation',
            name='tenant',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant'),
        ),
        migrations.AddIndex(
            model_name='reservation',
            index=models.Index(fields=['tenant', 'job'], name='reservation_of_tenant'),
        ),
        migrations.AddConstraint(
            model_name='reservation',
            constraint=models.CheckConstraint(condition=models.Q(('tokens__gte', 0), ('micros__gte', 0)), name='reservation_is_not_negative'),
        ),
    ]
