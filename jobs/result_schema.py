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
FINDINGS = ["contradiction", "numbers", "reference", "vague", "actor"]
PRIORITIES = ["high", "medium", "low"]
OFFSET = (
    "In characters (code points) of the guideline as it was sent, or as it was read from a file."
)


class PlaceSerializer(serializers.Serializer):
    start = serializers.IntegerField(help_text=OFFSET)
    end = serializers.IntegerField(help_text=OFFSET)
    section = serializers.CharField(help_text="The headings above, joined by ` > `.")


class SummaryStatementSerializer(serializers.Serializer):
    text = serializers.CharField(help_text="What the guideline says, in the model's words.")
    passages = PlaceSerializer(many=True, help_text="Where it says so.")


class SummarySerializer(serializers.Serializer):
    title = serializers.CharField(help_text="Of the guideline, as the model has read it.")
    scope = serializers.CharField(
        help_text="What the guideline applies to; empty where it does not say."
    )
    audience = serializers.CharField(help_text="Whom it is for; empty where it does not say.")
    statements = SummaryStatementSerializer(many=True, help_text="What it says, in its order.")


class CitationSerializer(serializers.Serializer):
    start = serializers.IntegerField(allow_null=True, help_text=OFFSET)
    end = serializers.IntegerField(allow_null=True, help_text=OFFSET)
    quote = serializers.CharField(help_text="As it stands in the guideline, if it was found.")
    section = serializers.CharField(
        help_text="The headings above, joined by ` > `; empty if it was not found."
    )
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
    action = serializers.CharField(help_text="What to do, in one sentence.")
    actor = serializers.CharField(help_text="Who is to do it.")
    level = serializers.ChoiceField(choices=LEVELS, help_text="How binding it is.")
    category = serializers.CharField(help_text="The part of the checklist it belongs to.")
    priority = serializers.ChoiceField(
        choices=PRIORITIES, help_text="How much depends on it, as the model has judged."
    )
    condition = serializers.CharField(help_text="Empty where there is none.")
    citations = CitationSerializer(many=True, help_text="What it comes from.")
    supported = serializers.BooleanField(help_text="Every citation was found in the guideline.")
    flags = FlagSerializer(
        many=True, help_text="Empty where the meaning of what is cited survived, as far as we see."
    )


class MissingStatementSerializer(PlaceSerializer):
    text = serializers.CharField(help_text="As it stands in the guideline.")
    levels = serializers.ListField(
        child=serializers.ChoiceField(choices=LEVELS),
        help_text="How binding it is; more than one where it says several things.",
    )


class CoveredStatementSerializer(serializers.Serializer):
    start = serializers.IntegerField(help_text=OFFSET)
    end = serializers.IntegerField(help_text=OFFSET)
    levels = serializers.ListField(
        child=serializers.ChoiceField(choices=LEVELS), help_text="How binding it is."
    )
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
    must_covered = serializers.IntegerField(help_text="Those of `must` that an item cites.")
    missing = MissingStatementSerializer(
        many=True, help_text="What no item covers, in the order of the guideline."
    )
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
    number = serializers.IntegerField(help_text="A figure is another one.")
    unit = serializers.IntegerField(help_text="A unit is another one.")
    comparison = serializers.IntegerField(
        help_text="At least, at most or within was lost or turned round."
    )
    negation = serializers.IntegerField(help_text="A negation was lost or is new.")
    modal = serializers.IntegerField(help_text="Must, should or may changed.")
    condition = serializers.IntegerField(help_text="A condition was lost, turned round or is new.")
    actor = serializers.IntegerField(help_text="Somebody else is to do it.")
    citation = serializers.IntegerField(help_text="What is cited is about something else.")
    invented = serializers.IntegerField(help_text="Nothing cited says so.")


class GroundingSerializer(serializers.Serializer):
    citations = serializers.IntegerField(help_text="Of all items of `checklist`.")
    exact = serializers.IntegerField(help_text="Found word for word.")
    normalised = serializers.IntegerField(
        help_text="Found but for white space, mark-up and shapes of signs."
    )
    fuzzy = serializers.IntegerField(help_text="Nearly found.")
    unsupported = serializers.IntegerField(help_text="Not in the guideline.")
    flags = FlagCountsSerializer(help_text="Flags of all items of `checklist`, by kind.")


class StepProvenanceSerializer(serializers.Serializer):
    prompt = serializers.CharField(help_text="The prompt's name and version.")
    prompt_sha256 = serializers.CharField(help_text="Of the prompt's text.")
    model = serializers.CharField(
        help_text="As the provider names it; several where a call had to fall back."
    )
    seconds = serializers.FloatField(help_text="How long the step took.")
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
    seconds = serializers.FloatField(required=False, help_text="How long the step took.")
    failed = serializers.CharField(
        required=False,
        help_text="Why the repair, or a part of it, was given up: an error's code. What it was to"
        " repair is as step 2 left it.",
    )


class StepsSerializer(serializers.Serializer):
    summarize = StepProvenanceSerializer(help_text="Step 1: from the guideline to a summary.")
    checklist = StepProvenanceSerializer(help_text="Step 2: from both to items.")
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
    passages_asked = serializers.IntegerField(help_text="Passages that a model was asked about.")


class CacheSerializer(serializers.Serializer):
    made_at = serializers.DateTimeField(help_text="When the earlier result was made.")


class ProvenanceSerializer(serializers.Serializer):
    app_version = serializers.CharField(help_text="Of this service.")
    source_sha256 = serializers.CharField(help_text="Of the guideline's text in UTF-8.")
    steps = StepsSerializer(help_text="What each step was made with.")
    revision = RevisionSerializer(
        required=False, help_text="Of a job that supersedes another; else absent."
    )
    cache = CacheSerializer(
        required=False, help_text="Where the result is an earlier one of yours; else absent."
    )


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
    severity = serializers.ChoiceField(choices=PRIORITIES, help_text="How much it matters.")
    message = serializers.CharField(help_text="What is wrong and what to do, in English.")
    places = FindingPlaceSerializer(many=True, help_text="At most 8, in the guideline's order.")


class FindingCountsSerializer(serializers.Serializer):
    contradiction = serializers.IntegerField(help_text="Sentences that contradict each other.")
    numbers = serializers.IntegerField(help_text="Acts with two different numbers.")
    reference = serializers.IntegerField(help_text="References to what is not there.")
    vague = serializers.IntegerField(help_text="Thresholds without a number.")
    actor = serializers.IntegerField(help_text="Duties that are nobody's.")


class ReportSerializer(serializers.Serializer):
    """Conflicts and gaps of the guideline itself, found by rules and not by the model."""

    findings = FindingSerializer(
        many=True, help_text="At most 20 of a kind, the most severe of each kind first."
    )
    counts = FindingCountsSerializer(help_text="All that were found, those not listed included.")


class ResultSerializer(serializers.Serializer):
    summary = SummarySerializer(help_text="What the guideline says.")
    checklist = ItemSerializer(many=True, help_text="The items, in the order of the guideline.")
    dropped = ItemSerializer(
        many=True,
        help_text="Items left out of `checklist` because they are flagged or unsupported; empty"
        " unless `options.on_doubt` is `drop`. They cover nothing.",
    )
    coverage = CoverageSerializer(
        help_text="Which of the guideline's requirements the items cover."
    )
    grounding = GroundingSerializer(help_text="How the quotes were found.")
    provenance = ProvenanceSerializer(help_text="What the result was made of, and with.")
    report = ReportSerializer(
        required=False, help_text="Where the job was submitted with `options.report`."
    )


@extend_schema_field(ResultSerializer)
class ResultField(serializers.JSONField):
    """Passes the stored JSON through; the document says what is in it."""
