from django.db import migrations, models
from django.db.models import Q

from config.isolation import past_row_security

ROLES = ["viewer", "operator", "administrator"]
GIVE = """
UPDATE accounts_user SET staff_role = CASE WHEN is_superuser THEN 'administrator' ELSE 'viewer' END
WHERE is_staff
"""


def give_roles(apps, schema_editor):
    """Whoever could do everything still can; other staff begin with reading."""
    connection = schema_editor.connection
    with past_row_security("accounts_user", on=connection), connection.cursor() as cursor:
        cursor.execute(GIVE)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_addresses_in_lower_case")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="staff_role",
            field=models.CharField(
                blank=True,
                choices=[
                    ("viewer", "Viewer"),
                    ("operator", "Operator"),
                    ("administrator", "Administrator"),
                ],
                db_default="",
                default="",
                max_length=13,
            ),
        ),
        migrations.RunPython(give_roles, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=Q(staff_role__in=["", *ROLES]), name="user_staff_role_is_known"
            ),
        ),
        migrations.RemoveField(model_name="user", name="is_staff"),
    ]
