from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0014_answers_about_a_job_go_with_it'),
    ]

    operations = [
        migrations.AddField(
            model_name='authorizationcode',
            name='grounds',
            field=models.CharField(db_default='', default='', max_length=64),
        ),
        migrations.AlterField(
            model_name='apisession',
            name='reason',
            field=models.CharField(blank=True, choices=[('by_owner', 'Ended by its owner'), ('by_client', 'Signed out by the client'), ('token_reuse', 'A refresh token or code was used twice'), ('member_removed', 'Its owner was removed from the tenant'), ('person_disabled', 'Its owner was shut out')], max_length=20),
        ),
        migrations.AddField(
            model_name='invitation',
            name='sees_own_only',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddConstraint(
            model_name='invitation',
            constraint=models.CheckConstraint(condition=models.Q(('sees_own_only', False), ('role__in', ['member', 'viewer']), _connector='OR'), name='invitation_that_manages_sees_everything'),
        ),
    ]
