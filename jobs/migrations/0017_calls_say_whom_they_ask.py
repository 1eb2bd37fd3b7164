"""Each model call says which model it asked for, and with whose key."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0016_options_and_revisions'),
    ]

    operations = [
        migrations.AddField(
            model_name='llmcall',
            name='own_key',
            field=models.BooleanField(db_default=False),
        ),
        migrations.AddField(
            model_name='llmcall',
            name='requested_model',
            field=models.CharField(blank=True, db_default='', max_length=200),
        ),
    ]
