"""Whom web and workers sign in to PostgreSQL as: neither owns a table (see config/isolation.py)."""

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError, connection

from config.isolation import DatabaseRole, create_login

# process -> (variable with its login's password, the roles that the login holds)
LOGINS = {
    "web": ("WEB_DATABASE_PASSWORD", [DatabaseRole.API, DatabaseRole.DOOR, DatabaseRole.STAFF]),
    "worker": ("WORKER_DATABASE_PASSWORD", [DatabaseRole.WORKER]),
}


class Command(BaseCommand):
    help = (
        "Makes the logins <database>_web_login and <database>_worker_login, with passwords from"
        " WEB_DATABASE_PASSWORD and WORKER_DATABASE_PASSWORD. Run it as the tables' owner, after"
        " migrate; again to change the passwords."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        for suffix, (variable, roles) in LOGINS.items():
            password = os.environ.get(variable, "")
            if not password:
                raise CommandError(f"{variable} is not set.")
            name = f"{connection.settings_dict['NAME']}_{suffix}_login"
            try:
                create_login(name, password, roles, inherit=suffix == "worker")
            except ProgrammingError as error:
                raise CommandError(
                    f"{name} could not be made: {error} This needs CREATEROLE. Let a database"
                    " administrator run deploy/roles.sql instead; see docs/operations.md."
                ) from None
