"""What the generated OpenAPI document says of errors, the same for every operation."""

from http import HTTPStatus
from typing import Any

from rest_framework import serializers

from config.serializers import TEXT_PATTERN


class FieldErrorSerializer(serializers.Serializer):
    pointer = serializers.CharField(help_text="JSON pointer (RFC 6901) to the field.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer):
    """RFC 9457 problem document."""

    type = serializers.CharField(help_text="The page about this kind of problem.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What happened here and what to do.")
    code = serializers.CharField(help_text="Stable slug: decide on this.")
    retryable = serializers.BooleanField()
    request_id = serializers.CharField()
    errors = FieldErrorSerializer(many=True, required=False)  # type: ignore[assignment]


def describe_problems(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Post-processing hook: error answers have our media type, every operation can answer 500."""
    reference = {"$ref": "#/components/schemas/Problem"}
    content = {"application/problem+json": {"schema": reference}}
    for operations in result["paths"].values():
        for operation in operations.values():
            responses = operation["responses"]
            responses["500"] = {"description": "Our mistake; the request id finds it in our logs."}
            for status, response in responses.items():
                response["description"] = response["description"] or HTTPStatus(int(status)).phrase
                wrapped = response.get("content", {}).get("application/json", {}).get("schema")
                if int(status) >= 400 and (wrapped in (None, reference)):
                    response["content"] = content
    return result


def close_bodies(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Post-processing hook: a body has the fields that are named, and no NUL in its text.

    That is what `config.serializers` and `config.parsers` enforce. Urlencoded forms are left open:
    an OAuth server has to ignore fields that it does not know (RFC 6749 section 3.2).
    """
    components = result.get("components", {}).get("schemas", {})
    for operations in result["paths"].values():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {})
            if "application/x-www-form-urlencoded" in content:
                continue
            for body in content.values():
                reference = body["schema"].get("$ref", "")
                _close(components.get(reference.rpartition("/")[2], {}))
    return result


def _close(schema: dict[str, Any]) -> None:
    schema["additionalProperties"] = False
    for field in schema.get("properties", {}).values():
        if isinstance(field.get("additionalProperties"), dict):
            field["propertyNames"] = {"pattern": TEXT_PATTERN}
            field["additionalProperties"].setdefault("pattern", TEXT_PATTERN)
        elif field.get("type") == "string" and not {"enum", "format", "pattern"} & set(field):
            field["pattern"] = TEXT_PATTERN
