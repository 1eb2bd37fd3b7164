"""The shape of a result, for the OpenAPI document. `llm.chain.build_result` makes it."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

FLAGS = [
    "number",
    "unit",
    "comparison",
    "negation",
    "modal",
    "condition",
    "actor",
    "citation",
    "invented",
]
LEVELS = ["must", "must_not", "should", "should_not", "may"]
FINDINGS = ["contradiction", "numbers", "reference", "vague", "actor"]
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
        choices=["exact", "normalised", "fuzzy", "unsupported"],
        help_text="`normalised`: found but for white space, mark-up and shapes of signs."
        " `fuzzy`: nearly found, see `similarity`; figures and negations are the guideline's."
        " `unsupported`: not in the guideline.",
    )
    similarity = serializers.FloatField(
        allow_null=True,
        min_value=0,
        max_value=1,
        help_text="Of a `fuzzy` match, 1 being the same words; null for every other.",
    )


class FlagSerializer(serializers.Serializer):
    """What of the cited sentences did not survive in the item."""

    kind = serializers.ChoiceField(
        choices=FLAGS,
        help_text="`number`, `unit`, `comparison` (at least, at most, within), `negation`, `modal`"
        " (must, should, may), `condition` (lost, turned round or new), `actor` (another one),"
        " `citation` (about something else), `invented` (nothing cited says so).",
    )
    lost = serializers.CharField(
        allow_blank=True, help_text="The guideline's words; empty where it has none."
    )
    found = serializers.CharField(
        allow_blank=True, help_text="The item's words; empty where it has none."
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
    flags = FlagSerializer(
        many=True, help_text="Empty where the meaning of what is cited survived, as far as we see."
    )


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


class FlagCountsSerializer(serializers.Serializer):
    number = serializers.IntegerField()
    unit = serializers.IntegerField()
    comparison = serializers.IntegerField()
    negation = serializers.IntegerField()
    modal = serializers.IntegerField()
    condition = serializers.IntegerField()
    actor = serializers.IntegerField()
    citation = serializers.IntegerField()
    invented = serializers.IntegerField()


class GroundingSerializer(serializers.Serializer):
    citations = serializers.IntegerField()
    exact = serializers.IntegerField()
    normalised = serializers.IntegerField()
    fuzzy = serializers.IntegerField()
    unsupported = serializers.IntegerField()
    flags = FlagCountsSerializer(help_text="Flags of all items of `checklist`, by kind.")


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


class FindingPlaceSerializer(PlaceSerializer):
    text = serializers.CharField(help_text="The guideline's words from `start` to `end`.")


class FindingSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(
        choices=FINDINGS,
        help_text="`contradiction`: a sentence forbids what another asks for or allows. `numbers`:"
        " one act has two different numbers. `reference`: to a section, appendix, table or figure"
        " that the text does not have. `vague`: a duty depends on a word such as `regularly` and no"
        " number is given. `actor`: a duty in the passive, and nothing near says whose it is.",
    )
    severity = serializers.ChoiceField(choices=PRIORITIES)
    message = serializers.CharField(help_text="What is wrong and what to do, in English.")
    places = FindingPlaceSerializer(many=True, help_text="At most 8, in the guideline's order.")


class FindingCountsSerializer(serializers.Serializer):
    contradiction = serializers.IntegerField()
    numbers = serializers.IntegerField()
    reference = serializers.IntegerField()
    vague = serializers.IntegerField()
    actor = serializers.IntegerField()


class ReportSerializer(serializers.Serializer):
    """Conflicts and gaps of the guideline itself, found by rules and not by the model."""

    findings = FindingSerializer(
        many=True, help_text="At most 20 of a kind, the most severe of each kind first."
    )
    counts = FindingCountsSerializer(help_text="All that were found, those not listed included.")


class ResultSerializer(serializers.Serializer):
    summary = SummarySerializer()
    checklist = ItemSerializer(many=True)
    dropped = ItemSerializer(
        many=True,
        help_text="Items left out of `checklist` because they are flagged or unsupported; empty"
        " unless the server is told to drop such items. They cover nothing.",
    )
    coverage = CoverageSerializer()
    grounding = GroundingSerializer()
    provenance = ProvenanceSerializer()
    report = ReportSerializer(
        required=False, help_text="Where the job was submitted with `options.report`."
    )


@extend_schema_field(ResultSerializer)
class ResultField(serializers.JSONField):
    """Passes the stored JSON through; the document says what is in it."""
