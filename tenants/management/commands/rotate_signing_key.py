"""A new key for access tokens."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts import keyring
from tenants import audit


class Command(BaseCommand):
    help = (
        "Makes a new key for access tokens. It is published at once and signs after the grace; the"
        " others verify until the overlap after that is over. After a leak: --grace 0 --overlap 0,"
        " which ends every token that is out within seconds."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--grace",
            type=int,
            default=int(keyring.GRACE.total_seconds()),
            help="Seconds before it signs: as long as others may cache the key set.",
        )
        parser.add_argument(
            "--overlap",
            type=int,
            default=int(keyring.OVERLAP.total_seconds()),
            help="Seconds that the others verify after that; no less than TOKEN_SECONDS.",
        )

    def handle(self, *args: Any, grace: int, overlap: int, **options: Any) -> None:
        if grace < 0 or overlap < 0:
            raise CommandError("Neither the grace nor the overlap can be negative.")
        try:
            with transaction.atomic():
                rotation = keyring.rotate(
                    grace=timedelta(seconds=grace), overlap=timedelta(seconds=overlap)
                )
                audit.record(
                    "signing_key.rotated",
                    tenant_id=None,
                    of=("signing_key", rotation.new_kid),
                    before={"kid": rotation.old_kid},
                    after={
                        "kid": rotation.new_kid,
                        "signs_from": rotation.signs_from.isoformat(),
                        "others_verify_until": rotation.old_until.isoformat(),
                    },
                )
        except keyring.NoSigningKey as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"{rotation.new_kid} signs from {rotation.signs_from:%Y-%m-%d %H:%M:%S} UTC on;"
            f" the others verify until {rotation.old_until:%Y-%m-%d %H:%M:%S} UTC."
        )
