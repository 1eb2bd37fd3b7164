"""Replays and comparisons on the wire."""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from config.serializers import NOT_AN_OBJECT, QuerySerializer, StrictSerializer, TextField
from jobs.result_schema import LEVELS, ItemSerializer
from jobs.serializers import OptionsSerializer


class ReplaySerializer(StrictSerializer):
    """What is to be different. All else is as it was for the job that is replayed."""

    prompts = serializers.DictField(
        child=serializers.IntegerField(min_value=1, max_value=10_000),
        required=False,
        error_messages={"not_a_dict": NOT_AN_OBJECT},
        help_text='Versions of prompts by name, such as `{"summarize": 2}`.',
    )
    model = TextField(required=False, max_length=200, help_text="The same as `options.model`.")
    options = OptionsSerializer(
        required=False,
        help_text="`cache` is false unless it is given: a replay asks the model again.",
    )
    reason = TextField(required=False, max_length=500, help_text="For the audit log.")

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        options = dict(data.get("options", {}))
        model = data.pop("model", options.get("model"))
        if options.get("model", model) != model:
            raise serializers.ValidationError(
                {"model": "`options.model` says otherwise. Send one of them."}, code="ambiguous"
            )
        if model is not None:
            options["model"] = model
        return {**data, "options": options}


class DiffQuerySerializer(QuerySerializer):
    """The query string of a comparison; `with` is no name that Python lets a field have."""

    def get_fields(self) -> dict[str, serializers.Field]:
        earlier = serializers.UUIDField(
            help_text="`event_id` of the earlier job.",
            error_messages={"required": "Send `with`: the event_id of the earlier job."},
        )
        return {"with": earlier}


class ComparedJobSerializer(serializers.Serializer):
    event_id = serializers.UUIDField()
    completed_at = serializers.DateTimeField()


class CountsSerializer(serializers.Serializer):
    added = serializers.IntegerField()
    removed = serializers.IntegerField()
    changed = serializers.IntegerField()
    same = serializers.IntegerField()


@extend_schema_serializer(component_name="ChangedValue")
class ChangedValueSerializer(serializers.Serializer):
    before = serializers.JSONField()
    after = serializers.JSONField()


SIMILARITY = "From 0 to 1, by shared words; 1 for an item with the same id."


class ChangedItemSerializer(serializers.Serializer):
    before = ItemSerializer()
    after = ItemSerializer()
    fields = serializers.DictField(
        child=ChangedValueSerializer(),
        help_text="What differs: `action`, `actor`, `level`, `category`, `priority`, `condition`,"
        " `flags` or `quotes`.",
    )  # type: ignore[assignment]
    similarity = serializers.FloatField(help_text=SIMILARITY)


class ItemDiffSerializer(serializers.Serializer):
    counts = CountsSerializer()
    added = ItemSerializer(many=True)
    removed = ItemSerializer(many=True)
    changed = ChangedItemSerializer(many=True)
    same = serializers.ListField(child=serializers.CharField(), help_text="`id`s.")


class ComparedStatementSerializer(serializers.Serializer):
    text = serializers.CharField()
    levels = serializers.ListField(child=serializers.ChoiceField(choices=LEVELS))
    start = serializers.IntegerField(help_text="In its own job's guideline.")
    end = serializers.IntegerField()
    state = serializers.ChoiceField(choices=["covered", "missing", "not_actionable"])


class ChangedStatementSerializer(serializers.Serializer):
    before = ComparedStatementSerializer()
    after = ComparedStatementSerializer()
    similarity = serializers.FloatField(help_text=SIMILARITY)


class StatementDiffSerializer(serializers.Serializer):
    counts = CountsSerializer()
    added = ComparedStatementSerializer(many=True)
    removed = ComparedStatementSerializer(many=True)
    changed = ChangedStatementSerializer(many=True)


class DiffSerializer(serializers.Serializer):
    """`before` is the job named by `with`, `after` the one in the path."""

    before = ComparedJobSerializer()
    after = ComparedJobSerializer()
    items = ItemDiffSerializer()
    statements = StatementDiffSerializer(
        allow_null=True, help_text="Null where one result is from before all statements were named."
    )
