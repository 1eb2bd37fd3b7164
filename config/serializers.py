"""What requests are checked with: a name or a type we do not know is a mistake worth saying."""

from typing import Any

from rest_framework import serializers

TEXT_PATTERN = r"^[^\u0000]*$"


class TextField(serializers.CharField):
    """Text, and nothing that could be turned into text: neither 5 nor true."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("Not a string.", code="invalid")
        return super().to_internal_value(data)


class StrictSerializer(serializers.Serializer):
    """Refuses fields that it does not have, and names them all together with other mistakes."""

    def to_internal_value(self, data: Any) -> Any:
        known = ", ".join(name for name, field in self.fields.items() if not field.read_only)
        unknown = {
            name: [serializers.ErrorDetail(f"Not known. Known are: {known}.", "unknown_field")]
            for name in (data if isinstance(data, dict) else ())
            if name not in self.fields or self.fields[name].read_only
        }
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            wrong = error.detail if isinstance(error.detail, dict) else {}
            raise serializers.ValidationError({**wrong, **unknown}) from None
        if unknown:
            raise serializers.ValidationError(unknown)
        return values


class QuerySerializer(StrictSerializer):
    """The same for a query string, where every value is text and each name may stand once.

    Built with `data=request.query_params`.
    """

    def to_internal_value(self, data: Any) -> Any:
        repeated = {
            name: [serializers.ErrorDetail("Stands more than once.", "repeated")]
            for name, values in data.lists()
            if len(values) > 1
        }
        empty = {
            name: [serializers.ErrorDetail("Empty. Leave it out, or give a value.", "blank")]
            for name, values in data.lists()
            if values == [""]
        }
        if repeated or empty:
            raise serializers.ValidationError(repeated | empty)
        return super().to_internal_value(data.dict())
