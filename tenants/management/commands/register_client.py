"""A program that people use gets a client id, and the addresses it may be answered at."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.services import clients


class Command(BaseCommand):
    help = "Registers a program through which people call the API; prints its client id."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="What people are asked to let in.")
        parser.add_argument(
            "redirect_uri",
            nargs="+",
            help="https://... exactly, or http://127.0.0.1/... at any port.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            client = clients.register_client(
                name=options["name"], redirect_uris=options["redirect_uri"]
            )
        except clients.InvalidRedirectURI as error:
            raise CommandError(
                f"{error} is no address a code may be sent to: https, or http on 127.0.0.1 or"
                " [::1]; with a path, without query and fragment."
            ) from None
        self.stdout.write(client.client_id)
