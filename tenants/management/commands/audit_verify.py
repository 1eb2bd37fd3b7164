"""Is the audit log what it was? For cron, CI and whoever asks."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.models import Tenant
from tenants.sealing.verification import Verification


class Command(BaseCommand):
    help = (
        "Computes every chain of the audit log anew and compares it with seals, anchors and the"
        " triggers that keep it. Exits with 1 if anything was changed, and says where."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", default="", help="a slug; all tenants unless given")

    def handle(self, *args: Any, **options: Any) -> None:
        run = Verification(options["tenant"])
        found = 0
        try:
            for finding in run.findings():
                found += 1
                self.stdout.write(f"audit: {finding}")
        except Tenant.DoesNotExist:
            raise CommandError(f"There is no tenant {options['tenant']!r}.") from None
        checked = f"audit: tenants={run.tenants} entries={run.entries}"
        if found:
            raise CommandError(f"{checked} findings={found}", returncode=1)
        self.stdout.write(f"{checked} ok")
