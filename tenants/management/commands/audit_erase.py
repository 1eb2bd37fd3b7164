"""A person's name out of the audit log."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.audit import acts_of, operator
from tenants.sealing.erasure import erase


class Command(BaseCommand):
    help = (
        "Empties the personal fields of every entry of the audit log that names a person. The"
        " chains still hold. Run it as a superuser of the database."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("who", help="the e-mail address, as it stands in the log")
        parser.add_argument("--reason", required=True, help="stands in the log; no personal data")

    def handle(self, *args: Any, **options: Any) -> None:
        with acts_of(operator()):
            erased = erase(options["who"], reason=options["reason"])
        if not erased:
            raise CommandError("No entry that this login may see names them.")
        self.stdout.write(f"erased in {erased} entries")
