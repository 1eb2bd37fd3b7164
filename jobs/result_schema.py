"""The shape of a result, for the OpenAPI document. `llm.result.build_result` makes it."""

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
PRIORITIES = ["high", "medium", "low"]
OFFSET = (
    "In characters (code points) of the guideline as it was sent, or as it was read from a file."
)


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
    page = serializers.IntegerField(
        required=False, help_text="From 1, for a file that has pages and a quote that was found."
    )
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
    id = serializers.CharField(
        help_text="The same for the same item, also of a revision of the guideline in which it"
        " stands elsewhere."
    )
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
    model = serializers.CharField(
        help_text="As the provider names it; several where a call had to fall back."
    )
    seconds = serializers.FloatField()
    fallback_from = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="Models that come before in the job's order and were away.",
    )
    reason = serializers.CharField(
        required=False,
        help_text="Why the first of those was left: `circuit_open` or an error code.",
    )
    own_key = serializers.BooleanField(
        required=False, help_text="True where it was made with your own provider's key."
    )


class RepairProvenanceSerializer(StepProvenanceSerializer):
    model = serializers.CharField(required=False, help_text="Absent where no call succeeded.")
    seconds = serializers.FloatField(required=False)
    failed = serializers.CharField(
        required=False,
        help_text="Why the repair, or a part of it, was given up: an error's code. What it was to"
        " repair is as step 2 left it.",
    )


class StepsSerializer(serializers.Serializer):
    summarize = StepProvenanceSerializer()
    checklist = StepProvenanceSerializer()
    repair = RepairProvenanceSerializer(
        required=False,
        help_text="Present where something was asked for again: statements that no item covered,"
        " and with `on_doubt` `repair` items in doubt.",
    )


class RevisionSerializer(serializers.Serializer):
    supersedes = serializers.UUIDField(help_text="`event_id` of the job of the earlier revision.")
    passages_kept = serializers.IntegerField(
        help_text="Passages that have not changed, of which no model was asked. 0 where the"
        " earlier job is deleted, or had other options, prompts or another model."
    )
    passages_asked = serializers.IntegerField()


class CacheSerializer(serializers.Serializer):
    made_at = serializers.DateTimeField(help_text="When the earlier result was made.")


class ProvenanceSerializer(serializers.Serializer):
    app_version = serializers.CharField()
    source_sha256 = serializers.CharField()
    steps = StepsSerializer()
    revision = RevisionSerializer(
        required=False, help_text="Of a job that supersedes another; else absent."
    )
    cache = CacheSerializer(
        required=False, help_text="Where the result is an earlier one of yours; else absent."
    )


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


@extend_schema_field(ResultSerializer)
class ResultField(serializers.JSONField):
    """Passes the stored JSON through; the document says what is in it."""
