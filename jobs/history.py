"""What a transaction says of itself to the history of jobs, which triggers write."""

from django.db import connection


def say(actor: str, note: str) -> None:
    """Tells the history who does what follows in this transaction, and why."""
    with connection.cursor() as cursor:
        for name, value in (("guidepost.actor", actor[:200]), ("guidepost.note", note[:500])):
            cursor.execute("SELECT set_config(%s, %s, true)", [name, value])
