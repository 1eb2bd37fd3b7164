"""Changing the keys that content is sealed under. The steps stand in docs/security.md."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from config import crypto, rotation
from config.isolation import past_row_security
from tenants import audit, vault
from tenants.models import Tenant


class Command(BaseCommand):
    help = (
        "Seals every key anew with the first key of ENCRYPTION_KEYS. It may be interrupted and"
        " run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, default=rotation.BATCH, help="Values at a time.")
        parser.add_argument(
            "--retire", metavar="ID", help="Only say whether this key may be taken away."
        )
        parser.add_argument(
            "--tenant",
            metavar="SLUG",
            help="Instead, give this tenant a new data key for what it writes from now on.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["retire"]:
            self._retire(options["retire"])
        elif options["tenant"]:
            self._new_data_key(options["tenant"])
        else:
            self._rewrap(options["batch"])

    def _rewrap(self, batch: int) -> None:
        current, total = crypto.ring().current, 0
        try:
            for column, changed in rotation.rewrap(batch):
                total += changed
                self.stdout.write(f"{column.table}.{column.column}: {changed} more, {total} in all")
                self.stdout.flush()
        except crypto.CannotUnseal as error:
            raise CommandError(f"{error} {total} were sealed anew before that.") from None
        if total:
            _record("encryption_key.rotated", current, {"sealed_anew": total})
        self.stdout.write(f"Everything is sealed with {current}.")

    def _retire(self, key_id: str) -> None:
        try:
            rotation.refuse_if_in_use(key_id)
        except rotation.StillInUse as error:
            raise CommandError(str(error)) from None
        _record("encryption_key.retired", key_id)
        self.stdout.write(f"Nothing is sealed with {key_id}: take it out of ENCRYPTION_KEYS.")

    @transaction.atomic(durable=True)
    def _new_data_key(self, slug: str) -> None:
        with past_row_security("tenants_tenant", "tenants_datakey", "tenants_auditentry"):
            tenant = Tenant.objects.filter(slug=slug).first()
            if tenant is None:
                raise CommandError(f"There is no tenant {slug!r}.")
            version = vault.make_data_key(tenant.id)
            audit.record("data_key.made", tenant_id=tenant.id, of=("data_key", version))
        self.stdout.write(f"{slug} seals with version {version} from now on.")


def _record(action: str, key_id: str, after: dict[str, Any] | None = None) -> None:
    with transaction.atomic(), past_row_security("tenants_auditentry"):
        audit.record(action, tenant_id=None, of=("encryption_key", key_id), after=after)
