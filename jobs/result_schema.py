"""The shape of a result, for the OpenAPI document. `llm.chain.build_result` makes it."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

LEVELS = ["must", "must_not", "should", "should_not", "may"]
PRIORITIES = ["high", "medium", "low"]
OFFSET = "In characters (code points) of the guideline as it was sent."


class PlaceSerializer(serializers.Serializer):
    start = serializers.IntegerField(help_text=OFFSET)
    end = serializers.IntegerField(help_text=OFFSET)
    section = serializers.CharField(help_text="The headings above, joined by ` > `.")


class SummaryStatementSerializer(serializers.Serializer):
    text = serializers.CharField()
    passages = PlaceSerializer(many=True)


class SummarySerializer(serializers.Serializer):
    title = serializers.CharField()
    scope = serializers.CharField()
    audience = serializers.CharField()
    statements = SummaryStatementSerializer(many=True)


class CitationSerializer(serializers.Serializer):
    start = serializers.IntegerField(allow_null=True, help_text=OFFSET)
    end = serializers.IntegerField(allow_null=True, help_text=OFFSET)
    quote = serializers.CharField(help_text="As it stands in the guideline, if it was found.")
    section = serializers.CharField()
    match = serializers.ChoiceField(
        choices=["exact", "normalised", "unsupported"],
        help_text="`normalised`: found but for white space and kinds of quotes."
        " `unsupported`: not in the guideline.",
    )


class ItemSerializer(serializers.Serializer):
    id = serializers.CharField(help_text="The same for the same item of the same guideline.")
    action = serializers.CharField()
    actor = serializers.CharField()
    level = serializers.ChoiceField(choices=LEVELS)
    category = serializers.CharField()
    priority = serializers.ChoiceField(choices=PRIORITIES)
    condition = serializers.CharField(help_text="Empty where there is none.")
    citations = CitationSerializer(many=True)
    supported = serializers.BooleanField(help_text="Every citation was found in the guideline.")


class MissingStatementSerializer(PlaceSerializer):
    text = serializers.CharField()
    levels = serializers.ListField(child=serializers.ChoiceField(choices=LEVELS))


class CoveredStatementSerializer(serializers.Serializer):
    start = serializers.IntegerField(help_text=OFFSET)
    end = serializers.IntegerField(help_text=OFFSET)
    levels = serializers.ListField(child=serializers.ChoiceField(choices=LEVELS))
    items = serializers.ListField(
        child=serializers.CharField(), help_text="`id`s of the items that cite it, at most 20."
    )


class CoverageSerializer(serializers.Serializer):
    statements = serializers.IntegerField(
        help_text="Normative statements of the guideline: covered, missing and not actionable."
    )
    covered = serializers.IntegerField(help_text="Those that an item cites.")
    must = serializers.IntegerField(
        help_text="Those of level must or must_not, without the ones that are not actionable."
    )
    must_covered = serializers.IntegerField()
    missing = MissingStatementSerializer(many=True)
    not_actionable = MissingStatementSerializer(
        many=True,
        help_text="Norms that nobody carries out, such as `This Act shall be known as ...`, unless"
        " an item cites them. Absent from results made before there was this list.",
        required=False,
    )
    covered_by = CoveredStatementSerializer(
        many=True,
        help_text="One entry for each covered statement, in the order of the guideline. Absent"
        " from results made before there was this list.",
        required=False,
    )


class GroundingSerializer(serializers.Serializer):
    citations = serializers.IntegerField()
    exact = serializers.IntegerField()
    normalised = serializers.IntegerField()
    unsupported = serializers.IntegerField()


class StepProvenanceSerializer(serializers.Serializer):
    prompt = serializers.CharField()
    prompt_sha256 = serializers.CharField()
    model = serializers.CharField(help_text="As the provider names it.")
    seconds = serializers.FloatField()


class StepsSerializer(serializers.Serializer):
    summarize = StepProvenanceSerializer()
    checklist = StepProvenanceSerializer()


class ProvenanceSerializer(serializers.Serializer):
    app_version = serializers.CharField()
    source_sha256 = serializers.CharField()
    steps = StepsSerializer()


class ResultSerializer(serializers.Serializer):
    summary = SummarySerializer()
    checklist = ItemSerializer(many=True)
    coverage = CoverageSerializer()
    grounding = GroundingSerializer()
    provenance = ProvenanceSerializer()


@extend_schema_field(ResultSerializer)
class ResultField(serializers.JSONField):
    """Passes the stored JSON through; the document says what is in it."""
