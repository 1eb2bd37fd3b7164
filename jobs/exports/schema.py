"""The JSON Schema that JSON exports follow, taken from the serializers that describe a result."""

import json
from functools import cache
from typing import Any

from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from rest_framework import serializers

from config.views import PublicView
from jobs.result_schema import ResultSerializer

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ID = "urn:guidepost:schema:checklist:v1"
COMPONENT = "ChecklistExport"
_HERE, _THERE = "#/components/schemas/", "#/$defs/"


class ExportedJobSerializer(serializers.Serializer):
    event_id = serializers.UUIDField(help_text="The job's id, as in `GET /jobs/{event_id}`.")
    title = serializers.CharField(
        help_text="The job's title; without one the guideline's, as the model has read it."
    )
    created_at = serializers.DateTimeField(help_text="When the guideline was submitted.")
    completed_at = serializers.DateTimeField(help_text="When the checklist was there.")


class ChecklistExportSerializer(ResultSerializer):
    """A checklist with its citations, its gaps and where it comes from."""

    job = ExportedJobSerializer(help_text="The job that made it.")

    def get_fields(self) -> dict[str, serializers.Field]:
        schema = serializers.URLField(help_text="Where this schema is served.")
        return {"$schema": schema, **super().get_fields()}


class _Described(PublicView):
    """Serves nobody: schemas are made of what views answer with."""

    @extend_schema(responses=ChecklistExportSerializer)
    def get(self, request: Any) -> None: ...


_PATTERNS = [path("described", _Described.as_view())]


@cache
def checklist_schema() -> dict[str, Any]:
    """JSON Schema 2020-12. Fields that are added later keep its version: readers ignore them."""
    generator: Any = SchemaGenerator  # untyped
    document = generator(patterns=_PATTERNS).get_schema(public=True)
    known = document["components"]["schemas"]
    needed = {name: known[name] for name in sorted(_reachable(known, COMPONENT))}
    schemas = json.loads(json.dumps(needed).replace(_HERE, _THERE))
    return {
        "$schema": DIALECT,
        "$id": ID,
        "title": "Guidepost checklist, version 1",
        **schemas.pop(COMPONENT),
        "$defs": schemas,
    }


def _reachable(known: dict[str, Any], name: str) -> set[str]:
    found, waiting = set(), [name]
    while waiting:
        name = waiting.pop()
        found.add(name)
        text = json.dumps(known[name])
        waiting += [other for other in known if f'"{_HERE}{other}"' in text and other not in found]
    return found
