"""Tries every route, method and role with another tenant's ids, and the tables with plain SQL."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.isolation_proof.over_http import RateLimited
from jobs.isolation_proof.proof import NotProvable, prove


class Command(BaseCommand):
    help = (
        "Proves that tenants are isolated, or names what leaks and exits with 1. Run it as the"
        " tables' owner. It makes three tenants of its own and suspends them in the end."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--url", default="", help="of a running server over the same database, asked too"
        )
        parser.add_argument("--only", default="", help="routes whose path begins so: jobs")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = prove(options["url"], only=options["only"])
        except (NotProvable, RateLimited) as error:
            raise CommandError(str(error)) from None
        for leak in sorted(set(report.leaks)):
            self.stdout.write(str(leak))
        self.stdout.write(
            f"isolation: routes={report.routes} checks={report.checks} leaks={len(report.leaks)}"
        )
        if report.leaks:
            raise CommandError("Tenants are not isolated: see the leaks above.")
