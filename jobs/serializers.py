"""Jobs on the wire: what comes in is checked, what goes out is named."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ParseError

from config.database import zulu
from config.parsers import UploadedFile, loads
from config.serializers import (
    NOT_AN_OBJECT,
    QuerySerializer,
    StrictSerializer,
    TextField,
    TruthField,
)
from jobs import shown
from jobs.documents.door import accepted
from jobs.models import Job, JobStatus, Priority, Step
from jobs.queue import WAITING_ON
from jobs.result_schema import ResultField
from jobs.shown import Row
from tenants.languages import ACCEPTED, LanguageField
from tenants.models import OnDoubt

PRIORITIES = [label for _, label in Priority.choices]
METADATA_KEYS, METADATA_BYTES = 16, 1024


class MetadataField(serializers.DictField):
    """Up to 16 pairs of strings, 1 KB together: the caller's own references, echoed back."""

    child = TextField(allow_blank=True, max_length=500)
    default_error_messages = {"not_a_dict": NOT_AN_OBJECT}

    def to_internal_value(self, data: Any) -> dict[str, str]:
        metadata: dict[str, str] = super().to_internal_value(data)
        if len(metadata) > METADATA_KEYS:
            raise serializers.ValidationError(
                f"At most {METADATA_KEYS} keys; these are {len(metadata)}.", code="too_many_keys"
            )
        size = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items())
        if size > METADATA_BYTES:
            raise serializers.ValidationError(
                f"At most {METADATA_BYTES} bytes in all; these are {size}.", code="too_large"
            )
        return metadata


class OptionsSerializer(StrictSerializer):
    """How a checklist is made. What is left out is as the tenant has it, or the default."""

    language = LanguageField(
        required=False,
        help_text="Of the checklist's `action`, `actor`, `category` and `condition`, and of the"
        f" summary's `title` and `scope`. {ACCEPTED} Quotes, and the summary's statements, stay in"
        " the guideline's language; unless given, so does all of it. Across languages fewer flags"
        " can be found: see docs/meaning-guard.md. The offline engine cannot translate: with it all"
        " stays in the guideline's language, and the result does not say that it was not done.",
    )
    on_doubt = serializers.ChoiceField(
        choices=OnDoubt.values,
        required=False,
        help_text="What becomes of an item whose meaning is in doubt: `flag` it, `drop` it, or"
        " `repair`: ask the model once more.",
    )
    report = TruthField(
        required=False,
        help_text="Whether the result says where the guideline contradicts itself or leaves gaps.",
    )
    model = TextField(
        required=False,
        max_length=200,
        help_text="One of your allowed models, see GET /settings and GET /limits. A job that"
        " names one is run with that one alone.",
    )
    cache = TruthField(
        required=False,
        help_text="False refuses an earlier result for the same text, options and versions.",
    )


class JobOptionsSerializer(OptionsSerializer):
    """What holds for a job."""

    fallback_models = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="Asked in this order while `model` is away. Empty where the job named its model.",
    )


class SubmissionSerializer(StrictSerializer):
    """What the caller wants to say about a guideline, however it is sent."""

    title = TextField(
        required=False,
        max_length=200,
        allow_blank=True,
        help_text="Stored in clear, so that it can be searched for; the guideline is sealed.",
    )
    priority = serializers.ChoiceField(
        choices=PRIORITIES,
        default="normal",
        help_text="Among your own jobs only.",
    )
    metadata = MetadataField(required=False, help_text="Stored in clear, as the title is.")
    options = OptionsSerializer(required=False)
    supersedes = serializers.UUIDField(
        required=False,
        help_text="`event_id` of your COMPLETED job for an earlier revision of this guideline. What"
        " it says of passages that have not changed is taken over and costs no model call.",
    )
    expires_in = serializers.IntegerField(
        required=False,
        min_value=60,
        max_value=7 * 86_400,
        error_messages={
            "min_value": "At least {min_value} seconds, a minute.",
            "max_value": "At most {max_value} seconds, which are 7 days.",
        },
        help_text="Seconds, a day unless given. A job that has not started by then is EXPIRED.",
    )

    def validate_expires_in(self, seconds: int) -> timedelta:
        return timedelta(seconds=seconds)

    def validate_priority(self, label: str) -> Priority:
        return Priority[label.upper()]


class JobSubmitSerializer(SubmissionSerializer):
    """A guideline, and what the caller wants to say about it."""

    guideline_text = TextField(
        trim_whitespace=False,
        min_length=1,
        error_messages={
            "required": "Send the guideline's text, 1 character to 1 MB (1,048,576 bytes).",
            "blank": "The guideline is empty. It needs 1 character to 1 MB (1,048,576 bytes).",
        },
        help_text="Markdown or plain text, 1 character to 1 MB (1,048,576 bytes of UTF-8).",
    )

    def validate_guideline_text(self, text: str) -> str:
        if not text.strip():
            raise serializers.ValidationError(
                "The guideline is only white space. It needs 1 character to 1 MB"
                " (1,048,576 bytes).",
                code="blank",
            )
        return text


@extend_schema_field({"type": "string", "format": "binary"})
class DocumentField(serializers.Field):
    """A file of a form, looked at before anything is done with it."""

    default_error_messages = {
        "required": "Send the document as a file in the field `document`.",
        "invalid": "Not a file. Send the document with a filename (RFC 7578 section 4.2).",
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Text as `guideline_text`, another document as `file`, as `services.submit_job` takes
        them. Raises FileTooLarge, UnsupportedOrUnsafeFile or DocumentTooLarge."""
        if not isinstance(data, UploadedFile):
            self.fail("invalid")
        return accepted(data)


class DocumentSubmitSerializer(SubmissionSerializer):
    """A guideline as a file, in a form. `metadata` and `options` are parts with JSON in them."""

    document = DocumentField(
        help_text="PDF, Word (DOCX), HTML, Markdown or plain text, up to 10 MB. What it is is told"
        " by its content; a name or a media type that contradicts it is refused. Its text may have"
        " up to 1 MB (1,048,576 bytes of UTF-8)."
    )

    def to_internal_value(self, data: Any) -> Any:
        parts, wrong = dict(data), {}
        for name, field in self.fields.items():
            is_json = isinstance(field, serializers.DictField | serializers.Serializer)
            if is_json and isinstance(parts.get(name), str):
                try:
                    parts[name] = loads(parts[name].encode(), f"`{name}`")
                except ParseError as error:
                    wrong[name] = [serializers.ErrorDetail(str(error.detail), "invalid_json")]
        if wrong:
            raise serializers.ValidationError(wrong)
        values = super().to_internal_value(parts)
        return values | values.pop("document")


class ProgressSerializer(serializers.Serializer):
    steps_done = serializers.IntegerField()
    steps = serializers.IntegerField(
        help_text="2, or 3 once it shows that something has to be asked for again (`repair`)."
    )
    passages_done = serializers.IntegerField(
        help_text="Of `passages`; written about once a second while a step runs."
    )
    passages = serializers.IntegerField(
        help_text="Paragraphs, list items and table rows that the present step asks about; 0 until"
        " it has begun, and where nothing is asked: an earlier result is taken (`cache`: `hit`)."
    )


class UsageSerializer(serializers.Serializer):
    llm_calls = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    unknown_calls = serializers.IntegerField(
        help_text="Model calls that were paid for in vain, or may have been: their reply was lost"
        " with their worker, or their step was not finished. They are not in the other numbers."
    )


class JobErrorSerializer(serializers.Serializer):
    code = serializers.CharField()
    detail = serializers.CharField()


class JobLinksSerializer(serializers.Serializer):
    self = serializers.CharField()
    events = serializers.CharField()
    cancel = serializers.CharField()
    retry = serializers.CharField()
    replay = serializers.CharField()


class JobSerializer(serializers.ModelSerializer):
    """A job without its result: an entry of a list, and the answer to a submission."""

    # Its fields describe what `shown.body_of` makes; a test holds both together.
    status = serializers.ChoiceField(choices=JobStatus.choices)
    step = serializers.ChoiceField(
        choices=Step.choices,
        help_text="The step that runs, or would run next; of a COMPLETED job the last one.",
    )
    priority = serializers.ChoiceField(choices=PRIORITIES, source="get_priority_display")
    options = JobOptionsSerializer(help_text="What holds for this job.")
    supersedes = serializers.UUIDField(
        source="supersedes.event_id",
        default=None,
        allow_null=True,
        help_text="The job of the earlier revision.",
    )
    replay_of = serializers.UUIDField(
        source="replay_of.event_id",
        default=None,
        allow_null=True,
        help_text="The job whose guideline runs again.",
    )
    cache = serializers.ChoiceField(
        choices=["hit", "miss"],
        allow_null=True,
        read_only=True,
        help_text="`hit`: the result is an earlier one of yours for the same text, options and"
        " versions, and cost nothing. `miss`: there was none. Null until the job is COMPLETED,"
        " and where no earlier result would do.",
    )
    progress = ProgressSerializer(read_only=True)
    completed_at = serializers.DateTimeField(source="ended_at", allow_null=True)
    usage = UsageSerializer(read_only=True)
    error = JobErrorSerializer(allow_null=True, read_only=True)
    links = JobLinksSerializer(read_only=True)

    class Meta:
        model = Job
        fields = [
            "event_id",
            "status",
            "step",
            "progress",
            "attempt",
            "title",
            "priority",
            "metadata",
            "options",
            "supersedes",
            "replay_of",
            "cache",
            "created_at",
            "started_at",
            "completed_at",
            "error",
            "usage",
            "links",
        ]
        read_only_fields = fields

    def to_representation(self, job: Job) -> dict[str, Any]:
        return shown.body_of(job)


class WaitingSerializer(serializers.Serializer):
    waiting_on = serializers.ChoiceField(
        choices=WAITING_ON,
        help_text="`document`: your file is to be read. `worker`: the next free one."
        " `concurrency`: as many of your jobs run as may."
        " `retry`: an attempt failed, the next is due later. `provider`: the language model is"
        " away. `paused`: staff has paused your queue.",
    )
    place = serializers.IntegerField(help_text="Among your own waiting jobs, from 1; up to 1,000.")
    estimated_seconds = serializers.FloatField(
        allow_null=True, help_text="Until it starts, from how long your last jobs took."
    )


class JobDetailSerializer(JobSerializer):
    waiting = WaitingSerializer(allow_null=True, read_only=True)
    result = ResultField(allow_null=True, help_text="Null until the job is COMPLETED.")

    class Meta(JobSerializer.Meta):
        fields = [*JobSerializer.Meta.fields, "waiting", "result"]
        read_only_fields = fields


class JobPageSerializer(serializers.Serializer):
    data = JobSerializer(many=True)  # type: ignore[assignment]
    next = serializers.CharField(allow_null=True, help_text="The next page, or null.")


@extend_schema_field({"type": "string", "pattern": "^[0-9a-f]{32}$"})
class CursorField(serializers.CharField):
    """Checked by the view, which has an error of its own for it."""


class JobListQuerySerializer(QuerySerializer):
    """The query string of GET /jobs."""

    status = serializers.ChoiceField(choices=JobStatus.choices, required=False)
    created_after = serializers.DateTimeField(
        required=False, help_text="`created_at` is then or later."
    )
    created_before = serializers.DateTimeField(
        required=False, help_text="`created_at` is earlier than that."
    )
    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)
    cursor = CursorField(required=False, help_text="From the `next` link of a page.")

    def to_internal_value(self, data: QueryDict) -> dict[str, Any]:
        """`metadata.ward=7b` is a pair of `metadata`, among the values."""
        pairs = [name for name in data if name.startswith(METADATA)]
        if not pairs:
            return dict(super().to_internal_value(data))
        fields = data.copy()
        for name in pairs:
            del fields[name]
        metadata = dict(_pair(name, data.getlist(name)) for name in pairs)
        return {**super().to_internal_value(fields), "metadata": metadata}


METADATA = "metadata."


def _pair(name: str, values: list[str]) -> tuple[str, str]:
    """A key of metadata and its value, from the query. Raises ValidationError."""
    if len(values) > 1:
        raise serializers.ValidationError({name: ErrorDetail("Stands more than once.", "repeated")})
    try:
        key = TextField(max_length=500).run_validation(name.removeprefix(METADATA))
        return key, TextField(allow_blank=True, max_length=500).run_validation(values[0])
    except serializers.ValidationError as error:
        raise serializers.ValidationError({name: error.detail}) from None


def next_link(query: dict[str, Any], last: Job | Row) -> str:
    fields: dict[str, Any] = {k: query[k] for k in ("status", "limit") if k in query}
    fields |= {k: zulu(query[k]) for k in ("created_after", "created_before") if k in query}
    fields |= {f"{METADATA}{key}": value for key, value in query.get("metadata", {}).items()}
    return f"{reverse('job-list')}?{urlencode(fields | {'cursor': last.event_id.hex})}"
