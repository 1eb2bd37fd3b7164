"""Writes docs/permissions.md, from the code."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from jobs.permission_matrix import matrix


class Command(BaseCommand):
    help = "Writes who may call what, as docs/permissions.md has it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--to", type=Path, required=True, help="the file")

    def handle(self, *args: Any, **options: Any) -> None:
        options["to"].write_text(matrix())
