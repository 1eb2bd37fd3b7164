"""A guideline submitted by a form: the rules are the API's."""

from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client

from config import parsers
from jobs import deletion
from jobs.models import Document, Job, JobStatus, Priority, Step, Upload
from tenants import throttling
from tenants.models import AuditEntry, Role, RouteClass
from tests.factories import JobFactory, TenantFactory
from tests.jobs import files
from tests.jobs.acts import completed

pytestmark = pytest.mark.django_db
FORM = {"guideline_text": "Staff MUST wash their hands.", "priority": "normal"}


def jobs_of(tenant):
    return Job.objects.for_tenant(tenant.id).order_by("event_id")


def file(content, name="hands.pdf", media_type="application/pdf"):
    return SimpleUploadedFile(name, content, media_type)


def test_a_text_becomes_a_job_of_who_sent_it(console, tenant):
    options = {"language": "pt-br", "on_doubt": "drop", "report": "on"}

    answer = console.send("job-new", **FORM | {"title": "Hands", "priority": "high", **options})

    job = jobs_of(tenant).get()
    assert answer.redirect_chain == [(console.url("job", job.event_id), 302)]
    assert "Submitted." in answer.text
    assert (job.document.text, job.title) == (FORM["guideline_text"], "Hands")
    assert (job.priority, job.submitted_by) == (Priority.HIGH, str(console.user.public_id))
    held = {name: job.options[name] for name in ("language", "on_doubt", "report")}
    assert held == {"language": "pt-BR", "on_doubt": "drop", "report": True}
    entry = AuditEntry.objects.for_tenant(tenant.id).get(action="job.submitted")
    assert (entry.actor_kind, entry.actor) == ("person", console.user.email)


def test_a_text_is_the_same_document_as_through_the_api(console, api, tenant):
    text = "\n# Hands\n\nStaff MUST wash their hands.  \n"
    api.post("/jobs", {"guideline_text": text}, format="json")

    console.send("job-new", **FORM | {"guideline_text": text.replace("\n", "\r\n")})

    first, second = (job.document for job in jobs_of(tenant))
    assert second.text == text
    assert first.digest == second.digest


def test_what_is_left_out_is_as_the_tenant_has_it(console, tenant):
    tenant.language, tenant.on_doubt = "de", "drop"
    tenant.save()

    form = console.get("job-new").text
    console.send("job-new", **FORM)

    assert "As it is set: drop it" in form and "Empty, it is de." in form
    options = jobs_of(tenant).get().options
    assert (options["language"], options["on_doubt"]) == ("de", "drop")


def test_lines_of_metadata_are_the_pairs_that_jobs_are_found_by(console, tenant):
    console.send("job-new", **FORM | {"metadata": "ward = 7b\r\n\r\nformula=a=b\r\nempty="})

    assert jobs_of(tenant).get().metadata == {"ward": "7b", "formula": "a=b", "empty": ""}
    assert "ward" in console.get("jobs", metadata="ward=7b").text


def test_a_file_has_metadata_too(console, tenant):
    document = file(b"Staff MUST wash.", "x.md", "text/markdown")

    console.send("job-new", document=document, priority="normal", metadata="ward=7b")

    assert jobs_of(tenant).get().metadata == {"ward": "7b"}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("7b", "“7b” is no pair: say a key and its value, as in ward=7b."),
        ("ward=7b\n=8", "“=8” is no pair: say a key and its value, as in ward=7b."),
        ("ward=7b\nward=8", "“ward” stands twice, and has one value: leave one line."),
        ("\n".join(f"k{n}=" for n in range(17)), "At most 16 keys; these are 17."),
        ("ward=" + "7" * 501, "Ensure this field has no more than 500 characters."),
    ],
)
def test_metadata_that_will_not_do_is_said_beside_it_and_kept(console, tenant, typed, said):
    answer = console.send("job-new", **FORM | {"metadata": typed})

    assert answer.status_code == 422
    assert said in answer.text and typed in answer.text
    assert not jobs_of(tenant).exists()


def test_a_new_edition_begins_with_the_metadata_of_the_one_before_it(console, tenant):
    before = {"ward": "7b", "a=b": "is no key that can be typed", "note": "two\nlines"}
    earlier = completed(JobFactory(tenant=tenant, metadata=before))

    form = console.get("job-new", supersedes=earlier.event_id).text

    assert "ward=7b</textarea>" in form


@pytest.mark.parametrize(
    ("document", "step"),
    [
        (lambda: file(files.pdf(files.lines((files.TEXT, 11, 72, 700)))), Step.READ),
        (lambda: file(files.docx(), "x.docx", "application/octet-stream"), Step.READ),
        (lambda: file(files.HTML.encode(), "x.html", "text/html"), Step.READ),
        (lambda: file(b"# Hands\n\nStaff MUST wash.", "x.md", "text/markdown"), Step.SUMMARIZE),
        (lambda: file(b"Staff MUST wash.", "x.txt", "text/plain"), Step.SUMMARIZE),
    ],
)
def test_a_file_becomes_a_job_and_stands_nowhere_in_clear(
    console, tenant, document, step, monkeypatch
):
    def to_disk(*args, **kwargs):
        raise AssertionError("a file of a form was written to the disk")

    monkeypatch.setattr("django.core.files.uploadhandler.TemporaryUploadedFile", to_disk)

    console.send("job-new", document=document(), priority="low")

    job = jobs_of(tenant).get()
    assert (job.step, job.priority) == (step, Priority.LOW)
    assert Upload.objects.for_tenant(tenant.id).count() == (step == Step.READ)


def test_a_large_file_is_taken_and_a_larger_one_is_refused_on_the_form(console, tenant, settings):
    most = settings.DOCUMENT_MAX_BYTES
    text = b"Wash. " * 100_000

    console.send("job-new", document=file(text, "x.txt", "text/plain"), priority="normal")
    too_long = console.send(
        "job-new", document=file(b"x" * most, "x.txt", "text/plain"), **{"priority": "normal"}
    )
    too_large = console.send("job-new", document=file(b"x" * (most + 1)), priority="normal")

    assert jobs_of(tenant).count() == 1
    assert (too_long.status_code, too_large.status_code) == (422, 422)
    assert "The document has 10,485,760 bytes of text" in too_long.text
    assert "The file has 10,485,761 bytes; it may have 10,485,760 (10 MB)" in too_large.text


def test_a_text_that_is_too_long_is_refused_on_the_form(console, tenant, settings):
    longest = "x" * settings.GUIDELINE_MAX_BYTES

    refused = console.send("job-new", **FORM | {"guideline_text": longest + "x"})
    console.send("job-new", **FORM | {"guideline_text": longest})

    assert refused.status_code == 413
    assert "guideline_text has 1,048,577 bytes" in refused.text
    assert jobs_of(tenant).count() == 1


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"guideline_text": ""}, "guideline_text", "or choose a file"),
        ({"guideline_text": " \r\n"}, "guideline_text", "only white space"),
        ({"document": file(b"x", "x.txt", "text/plain")}, "document", "not both"),
        ({"priority": "urgent"}, "priority", "not one of the available"),
        ({"language": "german"}, "language", "A BCP 47 tag"),
        ({"on_doubt": "guess"}, "on_doubt", "not one of the available"),
        ({"supersedes": "the last one"}, "supersedes", "valid UUID"),
        ({"title": "x" * 201}, "title", "at most 200"),
        ({"title": "a\0b"}, "title", "Null characters"),
        ({"guideline_text": "a\0b"}, "guideline_text", "Null characters"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(console, tenant, typed, field, said):
    answer = console.send("job-new", **FORM | typed)

    assert answer.status_code == 422
    assert any(said in each for each in answer.context["form"].errors[field])
    assert not jobs_of(tenant).exists()


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"", "x.pdf", "The file is empty"),
        (b"Wash hands.", "x.pdf", "what is in it is plain text"),
        (files.encrypted_pdf(), "x.pdf", "protected by a password"),
        (b"%PDF-1.7 half", "x.pdf", "cut off"),
        (b"\x89PNG\r\n\x1a\n", "x.png", "an image"),
    ],
)
def test_a_file_that_will_not_do_is_refused_saying_why(console, tenant, content, name, said):
    document = file(content, name, "application/octet-stream")

    answer = console.send("job-new", document=document, priority="normal")

    assert answer.status_code == 422
    assert said in answer.context["form"].errors["document"][0]
    assert not Document.objects.for_tenant(tenant.id).exists()


def test_what_was_typed_stays_and_is_no_markup(console):
    attack = "</textarea><script>alert(1)</script>"

    answer = console.send("job-new", **FORM | {"guideline_text": attack, "language": "german"})

    assert "<script>alert" not in answer.text
    assert "&lt;/textarea&gt;&lt;script&gt;alert(1)" in answer.text


def test_a_form_that_is_sent_twice_makes_one_job(console, tenant):
    once = uuid4()

    console.send("job-new", once=once, **FORM)
    second = console.send("job-new", once=once, **FORM)

    assert second.redirect_chain == [(console.url("jobs"), 302)]
    assert "sent already" in second.text
    assert jobs_of(tenant).count() == 1


def test_a_full_queue_and_an_empty_budget_are_said_and_nothing_is_kept(console, tenant):
    tenant.plan.tokens_per_day = 1
    tenant.plan.save()

    answer = console.send("job-new", **FORM)

    assert answer.status_code == 429
    assert "A budget of your plan is used up" in answer.text
    assert not jobs_of(tenant).exists()
    assert not AuditEntry.objects.for_tenant(tenant.id).filter(action="job.submitted").exists()


# --- A new edition ------------------------------------------------------------------------------


def test_a_new_edition_is_asked_for_as_the_one_before_was(console, tenant):
    options = {"language": "de", "on_doubt": "drop", "report": True}
    job = completed(JobFactory(tenant=tenant, title="Hands <b>", options=options))

    form = console.get("job-new", supersedes=str(job.event_id))
    console.send("job-new", **FORM | {"supersedes": job.event_id})

    shown = form.context["form"]
    assert {name: shown[name].value() for name in ("title", *options)} == {
        "title": "Hands <b>",
        **options,
    }
    assert "Hands &lt;b&gt;" in form.text
    assert jobs_of(tenant).last().supersedes_id == job.pk


def test_an_edition_before_that_is_not_theirs_is_none(console, console_for, tenant):
    theirs = completed(JobFactory(tenant=TenantFactory(), title="Elsewhere"))
    secret = completed(JobFactory(tenant=tenant, title="Secret"))
    confined = console_for(tenant, Role.MEMBER, sees_own_only=True)

    for who, job in ((console, theirs), (confined, secret)):
        form = who.get("job-new", supersedes=str(job.event_id))
        refused = who.send("job-new", **FORM | {"supersedes": job.event_id})
        assert form.status_code == 404 and job.title not in form.text
        assert refused.status_code == 422
        assert "There is no such earlier job" in refused.text
    assert jobs_of(tenant).get() == secret
    assert console.get("job-new", supersedes="nonsense").status_code == 404


def test_what_was_typed_stays_if_the_edition_before_is_deleted_meanwhile(console, tenant):
    job = completed(JobFactory(tenant=tenant))
    address = f"{console.url('job-new')}?supersedes={job.event_id}"
    assert console.browser.get(address).status_code == 200
    deletion.delete_job(tenant_id=tenant.id, event_id=job.event_id)

    sent = FORM | {"once": uuid4(), "supersedes": job.event_id}
    answer = console.browser.post(address, sent)

    assert answer.status_code == 422 and "no such earlier job" in answer.text
    assert FORM["guideline_text"] in answer.text


# --- Who may, and how much ----------------------------------------------------------------------


def test_a_viewer_submits_nothing(console_for, tenant):
    console = console_for(tenant, Role.VIEWER)

    assert console.get("job-new").status_code == 403
    assert console.send("job-new", **FORM).status_code == 403
    assert not jobs_of(tenant).exists()


def test_a_form_counts_as_a_submission(console, tenant, monkeypatch):
    counted = []
    monkeypatch.setattr(throttling, "admit", lambda *asked: counted.append(asked[-1]))

    console.browser.post(console.url("job-new"), {"once": uuid4(), **FORM})

    assert counted == [RouteClass.SUBMIT]


def test_nobody_looks_into_a_file_of_who_may_not_send_it(console_for, tenant, monkeypatch):
    looked = []
    monkeypatch.setattr("jobs.documents.door.inspect", lambda *a, **k: looked.append(a))
    tenant.plan.submits_per_minute = 2
    tenant.plan.save()
    member, viewer = console_for(tenant, Role.MEMBER), console_for(tenant, Role.VIEWER)
    sent = {"document": file(files.docx(), "x.docx"), "priority": "normal"}

    refused = viewer.send("job-new", **sent)
    member.send("job-new", **FORM)
    late = member.send("job-new", **sent)

    assert (refused.status_code, late.status_code, looked) == (403, 429, [])


def test_what_nobody_may_send_is_refused_before_it_is_read(console, tenant, settings, monkeypatch):
    def read(*args):
        raise AssertionError("the form was read")

    monkeypatch.setattr(parsers.InMemoryHandler, "handle_raw_input", read)
    large = {"document": file(b"x" * (settings.DOCUMENT_MAX_BYTES + 100_000))}
    medium, text = {"name": "x" * 70_000}, {"guideline_text": "x" * 70_000}

    too_large = console.browser.post(console.url("job-new"), large)
    no_file_here = console.browser.post(console.url("key-new"), medium)
    nobody = Client().post(console.url("job-new"), text)

    answers = (too_large, no_file_here, nobody)
    assert [answer.status_code for answer in answers] == [413, 413, 413]
    assert "it may have 10,551,296" in too_large.text
    assert "it may have 65,536" in no_file_here.text
    assert "Sign in first" in nobody.text
    assert not jobs_of(tenant).exists()


@pytest.mark.django_db(transaction=True)
def test_no_transaction_waits_for_a_slow_line(console, tenant, monkeypatch):
    seen, receive = [], parsers.InMemoryHandler.receive_data_chunk

    def received(*args):
        seen.append(connection.in_atomic_block)
        return receive(*args)

    monkeypatch.setattr(parsers.InMemoryHandler, "receive_data_chunk", received)
    text = file(b"Staff MUST wash. " * 5_000, "x.txt", "text/plain")

    console.send("job-new", document=text, priority="normal")

    assert set(seen) == {False}
    assert jobs_of(tenant).count() == 1


def test_more_text_than_a_form_may_have_is_said_in_words(console, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100

    answer = console.send("job-new", **FORM | {"guideline_text": "x" * 200})

    assert answer.status_code == 413
    assert "Send a long text as a file" in answer.text


def test_a_job_that_was_submitted_here_runs_as_any_other(console, tenant):
    console.send("job-new", **FORM)

    job = completed(jobs_of(tenant).get())

    assert job.status == JobStatus.COMPLETED
