"""A guideline from a form: typed in, or as a file."""

from functools import cached_property
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.http import Http404
from django.shortcuts import get_object_or_404

from config.errors import DomainError
from config.parsers import MultipartParser, UploadedFile
from jobs import services
from jobs.console.metadata import lines_of, pairs_of
from jobs.models import Job, JobStatus
from jobs.serializers import PRIORITIES, DocumentSubmitSerializer, JobSubmitSerializer
from tenants.console.page import ConsoleForm, FormPage, console_page
from tenants.languages import MAX_TAG
from tenants.models import OnDoubt, RouteClass, Scope
from tenants.preferences import Preferences

KINDS = ".pdf,.docx,.html,.htm,.md,.markdown,.txt"
OPTIONS = ("language", "on_doubt", "report")


class NewJobForm(ConsoleForm):
    """A text or a file, and what the API takes with either."""

    guideline_text = forms.CharField(
        label="The guideline's text",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 12}),
        help_text="Markdown or plain text, up to 1 MB.",
    )
    document = forms.FileField(
        label="or a file",
        required=False,
        allow_empty_file=True,  # what is wrong with it is said by what looks into it
        widget=forms.FileInput(attrs={"accept": KINDS}),
        help_text="PDF, Word (DOCX), HTML, Markdown or plain text, up to 10 MB; its text up to"
        " 1 MB.",
    )
    title = forms.CharField(
        required=False,
        max_length=200,
        help_text="By which you know it again. It is stored in clear; the guideline is sealed.",
    )
    priority = forms.ChoiceField(
        choices=[(each, each) for each in PRIORITIES],
        initial="normal",
        help_text="Among your own jobs only.",
    )
    language = forms.CharField(
        label="Language of the checklist",
        required=False,
        max_length=MAX_TAG,
        widget=forms.TextInput(attrs={"placeholder": "de, pt-BR, zh-Hant"}),
    )
    on_doubt = forms.ChoiceField(label="If an item's meaning is in doubt", required=False)
    report = forms.BooleanField(
        label="Report where the guideline contradicts itself or leaves gaps", required=False
    )
    metadata = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "ward=7b"}),
        help_text="Your own references, a key=value on each line: by one of them you find the job"
        " again. Stored in clear.",
    )
    supersedes = forms.UUIDField(
        label="It is a new edition of",
        required=False,
        help_text="The event_id of your completed job for the edition before. What that says of"
        " passages that have not changed is taken over, and costs nothing, if the options are the"
        " same.",
    )

    def __init__(self, *args: Any, preferences: Preferences, **more: Any):
        super().__init__(*args, **more)
        usual = OnDoubt(preferences.on_doubt).label.lower()
        on_doubt: Any = self.fields["on_doubt"]
        on_doubt.choices = [("", f"As it is set: {usual}"), *OnDoubt.choices]
        language = preferences.language or "the guideline's own"
        self.fields["language"].help_text = f"A tag of BCP 47. Empty, it is {language}."

    def clean_guideline_text(self) -> str:
        """As it was typed: forms send each end of a line as two characters."""
        typed: str = self.cleaned_data["guideline_text"]
        return typed.replace("\r\n", "\n")

    def clean_metadata(self) -> dict[str, str]:
        return pairs_of(self.cleaned_data["metadata"])

    def body(self) -> dict[str, Any]:
        typed = super().body()
        options = {name: typed.pop(name) for name in OPTIONS if name in typed}
        if "document" in typed:
            typed["document"] = UploadedFile.of(typed["document"])
        return {**typed, "options": options}

    def clean(self) -> dict[str, Any]:
        text, file = (self.cleaned_data.get(name) for name in ("guideline_text", "document"))
        if text and file:
            self.add_error("document", "Send a text or a file, not both.")
        if not text and not file and not self.errors:
            self.add_error("guideline_text", "Paste the guideline's text, or choose a file.")
        self.serializer = DocumentSubmitSerializer if file else JobSubmitSerializer
        try:
            return super().clean()
        except DomainError as refused:  # what the file is, is found out with the form
            self.add_error("document", refused.detail)
            return self.cleaned_data


@console_page("jobs/new/", name="job-new")
class NewJobPage(FormPage):
    scope = Scope.JOBS_SUBMIT
    weighs = False
    route_class = RouteClass.SUBMIT
    most_bytes = settings.DOCUMENT_MAX_BYTES + MultipartParser.FIELD_BYTES
    title = "New job"
    says = "A guideline becomes a checklist in which each item cites the sentences it comes from."
    button = "Submit"
    form_class = NewJobForm

    def form_takes(self) -> dict[str, Any]:
        return {"preferences": self.caller.preferences}

    def initial(self) -> dict[str, Any]:
        """Of a new edition what was asked for the one before: else nothing can be taken over."""
        earlier = self._earlier
        if earlier is None:
            return {}
        options = {name: earlier.options.get(name) for name in OPTIONS}
        return {
            "supersedes": earlier.event_id,
            "title": earlier.title,
            "metadata": lines_of(earlier.metadata),
            **options,
        }

    @cached_property
    def _earlier(self) -> Job | None:
        """The job that the address names. Raises Http404 where whoever asks knows of none.

        A form that is sent names it itself, and keeps what was typed if it is gone.
        """
        if self.request.method == "POST" or "supersedes" not in self.request.GET:
            return None
        try:
            named = UUID(self.request.GET["supersedes"])
        except ValueError:
            raise Http404 from None
        jobs = Job.objects.visible_to(self.caller).only("event_id", "title", "metadata", "options")
        done = jobs.filter(status=JobStatus.COMPLETED, deleted_at=None)
        return get_object_or_404(done, event_id=named)

    def perform(self, form: Any) -> str:
        caller = self.caller
        self.job = services.submit_job(
            tenant_id=caller.tenant_id,
            submitted_by=caller.subject,
            preferences=caller.preferences,
            visible_to=caller,
            **form.accepted,
        )
        return "Submitted. This page follows it until the checklist is there."

    def back(self) -> str:
        return self.url("jobs")

    def done(self) -> str:
        return self.url("job", self.job.event_id)
