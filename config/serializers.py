"""What requests are checked with: a name or a type we do not know is a mistake worth saying."""

import re
from functools import cache
from typing import Any

from django.core.validators import ProhibitNullCharactersValidator
from rest_framework import serializers
from rest_framework.validators import ProhibitSurrogateCharactersValidator

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
NOT_AN_OBJECT = "Not a JSON object, which holds values by their names."
TEXT_PATTERN = r"^[^\u0000]*$"


class TextField(serializers.CharField):
    """Text, and nothing that could be turned into text: neither 5 nor true."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # These look at each character in Python, for what one pattern finds.
        looked_for = ProhibitNullCharactersValidator | ProhibitSurrogateCharactersValidator
        self.validators = [each for each in self.validators if not isinstance(each, looked_for)]

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("Not a string.", code="invalid")
        if found := _UNSTORABLE.search(data):
            what = f"U+{ord(found[0]):04X} is not allowed."
            raise serializers.ValidationError(what, code="null_characters_not_allowed")
        return super().to_internal_value(data)


class TruthField(serializers.BooleanField):
    """True or false, and nothing that could be taken for it: neither 0 nor "yes"."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise serializers.ValidationError(
                "Say true or false, without quotation marks.", code="invalid"
            )
        return data


class StrictSerializer(serializers.Serializer):
    """Refuses fields that it does not have, and names them all together with other mistakes."""

    default_error_messages = {"invalid": NOT_AN_OBJECT}

    @classmethod
    def checked(cls, data: Any) -> dict[str, Any]:
        """The values that valid data stands for. Raises ValidationError.

        One instance checks for all requests: it keeps nothing of them, and making another copies
        every field.
        """
        values: dict[str, Any] = _shared(cls).run_validation(data)
        return values

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
            found = error.detail if isinstance(error.detail, dict) else {}
            wrong = {name: _named(self.fields.get(name), each) for name, each in found.items()}
            raise serializers.ValidationError({**wrong, **unknown}) from None
        if unknown:
            raise serializers.ValidationError(unknown)
        return values


def _named(field: serializers.Field | None, detail: Any) -> Any:
    """What is wrong with a field, with the choices there are where none of them was taken."""
    if isinstance(detail, dict):
        child = getattr(field, "child", None)
        return {index: _named(child, each) for index, each in detail.items()}
    is_other = [each.code for each in detail] == ["invalid_choice"]
    if not is_other or not isinstance(field, serializers.ChoiceField):
        return detail
    said = f"One of {', '.join(str(choice) for choice in field.choices)}."
    return [serializers.ErrorDetail(said, "invalid_choice")]


@cache
def _shared(kind: type[StrictSerializer]) -> StrictSerializer:
    return kind()


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
