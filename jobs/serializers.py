"""Jobs on the wire: what comes in is checked, what goes out is named."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.serializers import QuerySerializer, StrictSerializer, TextField
from jobs import languages
from jobs.languages import ACCEPTED
from jobs.models import Job, JobStatus, Priority, Step
from jobs.options import ON_DOUBT
from jobs.queue import WAITING_ON
from jobs.result_schema import ResultField

PRIORITIES = [label for _, label in Priority.choices]
METADATA_KEYS, METADATA_BYTES = 16, 1024


class MetadataField(serializers.DictField):
    """Up to 16 pairs of strings, 1 KB together: the caller's own references, echoed back."""

    child = TextField(allow_blank=True, max_length=500)

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

    language = TextField(
        required=False,
        max_length=35,
        help_text="Of the checklist's `action`, `actor`, `category` and `condition`, and of the"
        f" summary's `title` and `scope`. {ACCEPTED} Quotes, and the summary's statements, stay in"
        " the guideline's language; unless given, so does all of it. Across languages fewer flags"
        " can be found: see docs/meaning-guard.md. The offline model cannot translate.",
    )
    on_doubt = serializers.ChoiceField(
        choices=ON_DOUBT,
        required=False,
        error_messages={"invalid_choice": f"One of {', '.join(ON_DOUBT)}."},
        help_text="What becomes of an item whose meaning is in doubt: `flag` it, `drop` it, or"
        " `repair`: ask the model once more.",
    )
    report = serializers.BooleanField(
        required=False,
        help_text="Whether the result says where the guideline contradicts itself or leaves gaps.",
    )
    model = TextField(required=False, max_length=200, help_text="One of your allowed models.")
    cache = serializers.BooleanField(
        required=False,
        help_text="False refuses an earlier result for the same text, options and versions.",
    )

    def validate_language(self, tag: str) -> str:
        try:
            return languages.canonical(tag)
        except ValueError as error:
            raise serializers.ValidationError(str(error), code="unknown_language") from None


class JobSubmitSerializer(StrictSerializer):
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
    title = TextField(
        required=False,
        max_length=200,
        allow_blank=True,
        help_text="Stored in clear, so that it can be searched for; the guideline is sealed.",
    )
    priority = serializers.ChoiceField(
        choices=PRIORITIES,
        default="normal",
        error_messages={"invalid_choice": f"One of {', '.join(PRIORITIES)}."},
        help_text="Among your own jobs only.",
    )
    metadata = MetadataField(required=False, help_text="Stored in clear, as the title is.")
    options = OptionsSerializer(required=False)
    expires_in = serializers.IntegerField(
        required=False,
        min_value=60,
        max_value=7 * 86_400,
        help_text="Seconds, a day unless given. A job that has not started by then is EXPIRED.",
    )

    def validate_guideline_text(self, text: str) -> str:
        if not text.strip():
            raise serializers.ValidationError(
                "The guideline is only white space. It needs 1 character to 1 MB"
                " (1,048,576 bytes).",
                code="blank",
            )
        return text

    def validate_expires_in(self, seconds: int) -> timedelta:
        return timedelta(seconds=seconds)

    def validate_priority(self, label: str) -> Priority:
        return Priority[label.upper()]


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
        " it has begun."
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
    cancel = serializers.CharField()
    retry = serializers.CharField()


class JobSerializer(serializers.ModelSerializer):
    """A job without its result: an entry of a list, and the answer to a submission."""

    status = serializers.ChoiceField(choices=JobStatus.choices)
    step = serializers.ChoiceField(
        choices=Step.choices, help_text="The step that runs, or would run next."
    )
    priority = serializers.ChoiceField(choices=PRIORITIES, source="get_priority_display")
    options = OptionsSerializer(help_text="What holds for this job.")
    progress = serializers.SerializerMethodField()
    completed_at = serializers.DateTimeField(source="ended_at", allow_null=True)
    usage = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    links = serializers.SerializerMethodField()

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
            "created_at",
            "started_at",
            "completed_at",
            "error",
            "usage",
            "links",
        ]
        read_only_fields = fields

    @extend_schema_field(ProgressSerializer)
    def get_progress(self, job: Job) -> dict[str, int]:
        steps = 3 if job.step == Step.REPAIR else 2
        done = Step.values.index(job.step)
        return {
            "steps_done": steps if job.status == JobStatus.COMPLETED else done,
            "steps": steps,
            "passages_done": job.passages_done,
            "passages": job.passages,
        }

    @extend_schema_field(UsageSerializer)
    def get_usage(self, job: Job) -> dict[str, int]:
        return {
            "llm_calls": job.llm_calls,
            "prompt_tokens": job.prompt_tokens,
            "completion_tokens": job.completion_tokens,
            "unknown_calls": job.unknown_calls,
        }

    @extend_schema_field(JobErrorSerializer(allow_null=True))
    def get_error(self, job: Job) -> dict[str, str] | None:
        if not job.error_code:
            return None
        return {"code": job.error_code, "detail": job.error_detail}

    @extend_schema_field(JobLinksSerializer)
    def get_links(self, job: Job) -> dict[str, str]:
        return {
            "self": reverse("job-detail", args=[job.event_id]),
            "cancel": reverse("job-cancel", args=[job.event_id]),
            "retry": reverse("job-retry", args=[job.event_id]),
        }


class WaitingSerializer(serializers.Serializer):
    waiting_on = serializers.ChoiceField(
        choices=WAITING_ON,
        help_text="`worker`: the next free one. `concurrency`: as many of your jobs run as may."
        " `retry`: an attempt failed, the next is due later. `provider`: the language model is"
        " away. `paused`: staff has paused your queue.",
    )
    place = serializers.IntegerField(help_text="Among your own waiting jobs, from 1; up to 1,000.")
    estimated_seconds = serializers.FloatField(
        allow_null=True, help_text="Until it starts, from how long your last jobs took."
    )


class JobDetailSerializer(JobSerializer):
    waiting = serializers.SerializerMethodField()
    result = ResultField(allow_null=True, help_text="Null until the job is COMPLETED.")

    class Meta(JobSerializer.Meta):
        fields = [*JobSerializer.Meta.fields, "waiting", "result"]
        read_only_fields = fields

    @extend_schema_field(WaitingSerializer(allow_null=True))
    def get_waiting(self, job: Job) -> None:
        """The view asks for it, of jobs that wait: it costs a query."""


class JobPageSerializer(serializers.Serializer):
    data = JobSerializer(many=True)  # type: ignore[assignment]
    next = serializers.CharField(allow_null=True, help_text="The next page, or null.")


@extend_schema_field({"type": "string", "pattern": "^[0-9a-f]{32}$"})
class CursorField(serializers.CharField):
    """Checked by the view, which has an error of its own for it."""


class JobListQuerySerializer(QuerySerializer):
    """The query string of GET /jobs."""

    status = serializers.ChoiceField(
        choices=JobStatus.choices,
        required=False,
        error_messages={"invalid_choice": f"One of {', '.join(JobStatus.values)}."},
    )
    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)
    cursor = CursorField(required=False, help_text="From the `next` link of a page.")


def next_link(query: dict[str, Any], last: Job) -> str:
    fields = {k: query[k] for k in ("status", "limit") if k in query}
    return f"{reverse('job-list')}?{urlencode(fields | {'cursor': last.event_id.hex})}"
