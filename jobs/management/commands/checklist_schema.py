"""Writes docs/checklist.v1.schema.json, from the serializers."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from jobs.exports.schema import checklist_schema


class Command(BaseCommand):
    help = "Writes the JSON Schema of exported checklists, as it is served."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--to", type=Path, required=True, help="the file")

    def handle(self, *args: Any, **options: Any) -> None:
        options["to"].write_text(json.dumps(checklist_schema(), indent=2) + "\n")
