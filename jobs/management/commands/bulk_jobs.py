"""Retry or cancel many jobs by a filter, watch the progress, or stop it."""

import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs import bulk
from jobs.filters import JobFilter
from jobs.models import BulkAction, JobStatus
from tenants.audit import acts_of, operator
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Retries or cancels many jobs, some a second; lists or aborts such actions."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        for kind, status in (("retry", "FAILED"), ("cancel", "PENDING")):
            begin = commands.add_parser(kind)
            begin.add_argument("--status", choices=JobStatus.values, default=status)
            begin.add_argument("--error-code", default="", help="only jobs that failed with it")
            begin.add_argument("--tenant", default="", help="a slug; all tenants unless given")
            begin.add_argument("--rate", type=int, default=10, help="jobs a second")
            begin.add_argument("--reason", required=True, help="stands in each job's history")
        commands.add_parser("list")
        commands.add_parser("abort").add_argument("id", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        with acts_of(operator()):
            self._act(options)

    def _act(self, options: dict[str, Any]) -> None:
        match options["command"]:
            case "list":
                actions = list(BulkAction.objects.order_by("-pk")[:20])
                for action in actions:
                    self._show(action)
                if not actions:
                    self.stdout.write("No bulk actions so far.")
            case "abort":
                self._abort(options["id"])
            case kind:
                self._start(kind, options)

    def _start(self, kind: str, options: dict[str, Any]) -> None:
        slug = options["tenant"]
        if slug and not Tenant.objects.filter(slug=slug).exists():
            raise CommandError(f"There is no tenant {slug!r}.")
        try:
            action = bulk.start(
                kind=kind,
                chosen=JobFilter(
                    status=options["status"], error_code=options["error_code"], tenant=slug
                ),
                rate=options["rate"],
                actor=getpass.getuser(),
                reason=options["reason"],
            )
        except bulk.ImpossibleAction as refused:
            raise CommandError(refused.detail) from None
        self._show(action)

    def _abort(self, pk: int) -> None:
        action = BulkAction.objects.filter(pk=pk).first()
        if action is None or not bulk.abort(action):
            raise CommandError(f"No bulk action {pk} is running.")
        action.refresh_from_db()
        self._show(action)

    def _show(self, action: BulkAction) -> None:
        self.stdout.write(
            f"{action.pk}: {action.name}, {action.state}, {action.changed} of {action.total}"
        )
