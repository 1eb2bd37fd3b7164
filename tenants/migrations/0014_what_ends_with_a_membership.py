from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0013_what_staff_search_the_log_for'),
    ]

    operations = [
        migrations.AddField(
            model_name='authorizationcode',
            name='grounds',
            field=models.CharField(db_default='', default='', max_length=64),
        ),
    ]
