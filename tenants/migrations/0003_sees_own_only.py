from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_audit_and_scopes")]

    operations = [
        migrations.AddField(
            model_name="membership",
            name="sees_own_only",
            field=models.BooleanField(default=False),
        ),
    ]
