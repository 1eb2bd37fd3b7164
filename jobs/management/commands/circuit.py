"""The breaker of the model's provider: look at it, open it, close it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs import breaker
from jobs.models import Circuit
from tenants.audit import acts_of, operator
from tenants.preferences import installed_models


class Command(BaseCommand):
    help = "Shows, opens or closes the circuit to the language model's provider."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("act", nargs="?", choices=["show", "open", "close"], default="show")
        parser.add_argument("--reason", default="by hand")
        parser.add_argument("--model", default="", help="the default one unless given")

    def handle(self, *args: Any, **options: Any) -> None:
        models = installed_models()
        if options["model"] not in ("", *models):
            raise CommandError(f"No model {options['model']} here. There are: {', '.join(models)}.")
        circuit_name = breaker.circuit_name(options["model"])
        with acts_of(operator()):
            if options["act"] == "open":
                breaker.hold_open(options["reason"], circuit_name)
            elif options["act"] == "close":
                breaker.close(options["reason"], circuit_name)
        for circuit in Circuit.objects.order_by("name"):
            until = circuit.open_until.isoformat(timespec="seconds") if circuit.open_until else "-"
            self.stdout.write(
                f"{circuit.name}: {circuit.state}, until {until}, reason: {circuit.reason or '-'}"
            )
        if not Circuit.objects.exists():
            self.stdout.write(f"{breaker.circuit_name()}: closed, nothing has ever failed")
