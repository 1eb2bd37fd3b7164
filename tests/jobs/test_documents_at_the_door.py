"""What POST /jobs lets in as a file, and what it refuses, before anything is parsed."""

import contextlib
import time
import zipfile
import zlib

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from jobs.documents.formats import Format
from jobs.documents.inspection import inspect
from jobs.errors import UnsupportedOrUnsafeFile
from jobs.models import Document, Job, Upload
from tests.config.test_problems import check_problem
from tests.jobs import files

DOCX = Format.DOCX.value


def send(api, content, name="guideline", media_type="application/octet-stream", **fields):
    document = SimpleUploadedFile(name, content, content_type=media_type)
    return api.post("/jobs", {"document": document} | fields, format="multipart")


HOSTILE = {
    "a stream of 400 MB in a PDF": (files.flate_bomb, "unpacks to more than"),
    "a stream packed twice": (files.nested_flate, "several times over"),
    "a PDF of a million pages": (files.many_pages, "1,000,000 pages"),
    "3,000 pages packed in a PDF": (files.packed_pages, "pages; it may have 2,000"),
    "a protected PDF": (files.encrypted_pdf, "protected"),
    "a PDF of many streams": (
        lambda: files.full_pdf(b" obj/F/Fl stream\n" + zlib.compress(b"")),
        "more than 50,000 streams",
    ),
    "streams within streams": (files.overlapping_streams, "holds streams within others"),
    "a PDF that counts and counts": (
        lambda: files.full_pdf(b"/Count 1\n"),
        "counts pages more than 100,000 times",
    ),
    "half of a PDF": (lambda: files.pdf(files.lines((files.TEXT, 11, 72, 700)))[:500], "cut off"),
    "a PDF that begins later": (lambda: b"GIF87a" + files.pdf(b""), "an image"),
    "text before a PDF": (lambda: b"Hello\n%PDF-1.7\nx", "does not begin with it"),
    "a PDF that is a ZIP too": (lambda: files.pdf(b"") + files.docx(), "a ZIP archive at once"),
    "a part of 300 MB": (files.zip_bomb, "unpacks to more than"),
    "an entity bomb": (files.entity_bomb, "declares a DTD"),
    "an external entity": (files.external_entity, "declares a DTD"),
    "a DTD behind a tag in a comment": (
        lambda: files.with_doctype("<!-- <a --><!DOCTYPE x [<!ENTITY x 'y'>]>"),
        "declares a DTD",
    ),
    "a DTD behind a tag in an instruction": (
        lambda: files.with_doctype("<?a <a ?><!DOCTYPE x SYSTEM 'file:///etc/passwd'>", "y"),
        "declares a DTD",
    ),
    "a DTD that begins late": (
        lambda: files.relations(
            "<r>&x;</r>", start=f"<!-- <a {'a' * 65_480} --><!DOCTYPE r [<!ENTITY x 'y'>]>"
        ),
        "declares a DTD",
    ),
    "an encoding declared late": (
        lambda: files.docx(
            parts={
                "word/more.xml": f"<?xml version='1.0'{' ' * 300}encoding='cp1252'?><a/>".encode()
            }
        ),
        "not in UTF-8",
    ),
    "no XML where XML should be": (
        lambda: files.docx(parts={"word/more.xml": "Staff must <wash> their hands."}),
        "no XML that Word writes",
    ),
    "an entity in UTF-16": (files.hidden_entity, "not in UTF-8"),
    "a name that leads out": (lambda: files.with_entry("../../etc/cron.d/x"), "leads outside"),
    "an absolute name": (lambda: files.with_entry("/etc/passwd"), "leads outside"),
    "a name with a backslash": (lambda: files.with_entry("..\\x"), "leads outside"),
    "a part packed as bzip2": (
        lambda: files.with_entry("word/more.xml", bytes(10**7), packing=zipfile.ZIP_BZIP2),
        "packed as Word packs none",
    ),
    "a damaged part packed as LZMA": (files.damaged_lzma, "packed as Word packs none"),
    "a link": (files.symlink, "a link or a device"),
    "a file twice": (lambda: files.with_entry("WORD/document.xml"), "two files of one name"),
    "3,000 files": (files.many_entries, "more than 2,000 files"),
    "a directory longer than it says": (files.long_directory, "no part of it"),
    "parts that share their data": (files.overlapping_entries, "lie in one another"),
    "a protected part": (files.encrypted_entry, "without a password"),
    "macros": (lambda: files.with_entry("word/vbaProject.bin"), "macros"),
    "a kind with macros": (
        lambda: files.docx(
            parts={
                "[Content_Types].xml": files.CONTENT_TYPES.format(kind="document").replace(
                    "vnd.openxmlformats", "vnd.ms-word.document.macroEnabled"
                )
            }
        ),
        "macros",
    ),
    "a template from elsewhere": (
        lambda: files.external_relation("attachedTemplate"),
        "from elsewhere (attachedTemplate)",
    ),
    "an object from elsewhere": (lambda: files.external_relation("oleObject"), "from elsewhere"),
    "a document from elsewhere": (lambda: files.external_relation("subDocument"), "from elsewhere"),
    "a frame from elsewhere": (lambda: files.external_relation("frame"), "from elsewhere"),
    "half of a Word document": (lambda: files.docx()[:400], "cut off or damaged"),
    "a Word document with a tail": (lambda: files.docx() + b"x", "no part of it"),
    "a ZIP of something else": (
        lambda: files.docx(parts={"word/document.xml": None}),
        "no Word document",
    ),
    "an old Office file": (lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "old Office"),
    "an image": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "an image"),
    "noise": (lambda: b"\x00\xff" * 400, "nor text in UTF-8"),
    "text in Latin-1": (lambda: "Hände waschen".encode("latin-1"), "nor text in UTF-8"),
    "text with a NUL": (lambda: b"Staff\x00 must", "control character U+0000"),
    "white space": (lambda: b" \n\t", "empty"),
    "nothing": (lambda: b"", "empty"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_saying_why_and_nothing_is_kept(api, name):
    make, why = HOSTILE[name]
    content = make()
    started = time.process_time()

    response = send(api, content)

    body = check_problem(response, 422, "unsupported_or_unsafe_file")
    assert why in body["detail"]
    assert body["errors"][0]["pointer"] == "/document"
    assert time.process_time() - started < 3
    assert not Job.objects.across_tenants().exists()
    assert not Document.objects.across_tenants().exists()


COSTLY = {
    "beginnings of streams": files.crowded_pdf,
    "streams of nothing": lambda: files.full_pdf(b" obj/F/Fl stream\n" + zlib.compress(b"")),
    "damaged streams": lambda: files.full_pdf(b" obj/F/Fl stream\n\xff"),
    "bare beginnings of streams": lambda: files.full_pdf(b"stream\n"),
    "escapes": lambda: files.full_pdf(b"#41" * 1_363 + b"stream\n"),
    "lists of filters": lambda: files.full_pdf(b"/F[" * 1_363 + b"stream\n"),
    "streams in streams": files.overlapping_streams,
    "counts of pages": lambda: files.assembled(
        files.one_page(files.stream(b"/Count 1" * 7_900_000))
    ),
    "a directory longer than it says": files.long_directory,
    "parts that share their data": files.overlapping_entries,
    "blanks": lambda: b" " * 10_485_759 + b"<",
    "long names": files.endless_names,
    "long entities": files.hidden_entities,
    "a million relations": lambda: files.relations(*[f"<r>{'<a/>' * 100_000}</r>"] * 70),
}


@pytest.mark.parametrize("make", COSTLY.values(), ids=COSTLY)
def test_a_file_that_is_made_to_take_long_is_looked_at_in_time(make):
    content = make()
    assert len(content) <= 10_485_760
    started = time.process_time()

    with contextlib.suppress(UnsupportedOrUnsafeFile):
        inspect(content)

    assert time.process_time() - started < 3


def test_the_bombs_are_as_large_as_they_are_said_to_be():
    assert len(files.flate_bomb()) < 800_000
    assert len(files.zip_bomb()) < 342_000


@pytest.mark.parametrize(
    ("make", "name", "media_type"),
    [
        (lambda: files.pdf(b""), "x.docx", ""),
        (lambda: files.pdf(b""), "x.pdf", DOCX),
        (files.docx, "x.pdf", ""),
        (files.docx, "x", "text/html"),
        (files.HTML.encode, "x.md", ""),
        (lambda: b"Wash hands.", "x.pdf", ""),
        (lambda: b"Wash hands.", "x", "application/pdf"),
        (lambda: b"Wash hands.", "x.html", ""),
    ],
)
def test_a_file_that_is_not_what_it_is_called_is_refused(api, make, name, media_type):
    response = send(api, make(), name, media_type or "application/octet-stream")

    body = check_problem(response, 422, "unsupported_or_unsafe_file")
    assert "what is in it is" in body["detail"]


@pytest.mark.parametrize(
    ("make", "name", "kind"),
    [
        (lambda: files.pdf(files.lines((files.TEXT, 11, 72, 700))), "x.pdf", Format.PDF),
        (lambda: files.pdf(files.lines((files.TEXT, 11, 72, 700))), "blob", Format.PDF),
        (files.docx, "x.docx", Format.DOCX),
        (lambda: files.external_relation("hyperlink"), "x.docx", Format.DOCX),
        (files.HTML.encode, "x.html", Format.HTML),
        (lambda: b"<h1>Hands</h1><p>Wash.</p>", "x.html", Format.HTML),
        (lambda: b"# Hands\n\n<p>Wash.</p>", "x.md", Format.MARKDOWN),
        (lambda: "Hände".encode("utf-16"), "x.txt", Format.TEXT),
        (lambda: b"%PDF is a format", "x.txt", Format.TEXT),
    ],
)
def test_an_ordinary_file_is_told_by_its_content(make, name, kind):
    assert inspect(make(), name=name) == kind


def test_the_name_of_a_packing_may_be_written_in_codes():
    bomb = files.flate_bomb().replace(b"/Filter /FlateDecode", b"/#46ilter [/Fl#61te#44ecode]")

    with pytest.raises(UnsupportedOrUnsafeFile, match="unpacks to more than"):
        inspect(bomb)


def test_a_stream_that_is_damaged_or_no_zlib_at_all_hides_none_that_comes_later():
    damaged = [
        files.stream(b"", packed=b"Gb!$F>u~>" * 20, filters="[/ASCII85Decode /FlateDecode]"),
        files.stream(b"", packed=zlib.compress(b"BT ET" * 1_000)[:-9]),
    ]
    objects = files.one_page(files.stream(files.lines((files.TEXT, 11, 72, 700))))
    objects |= dict(enumerate(damaged * 2_000, start=5))
    assert inspect(files.assembled(objects)) == Format.PDF

    objects[90_000] = files.stream(b"<< /Type /Page >> " * 3_000)
    with pytest.raises(UnsupportedOrUnsafeFile, match="pages"):
        inspect(files.assembled(objects))


def test_looking_at_an_ordinary_file_takes_no_time():
    page = files.lines(*[(files.TEXT, 11, 72, 750 - 15 * n) for n in range(45)])
    content = files.pdf(*[page] * 300)
    started = time.process_time()

    inspect(content)

    assert time.process_time() - started < 0.2


# --- What becomes of an accepted file -----------------------------------------------------------


def test_a_file_is_accepted_and_kept_sealed_until_it_is_read(api, tenant):
    content = files.docx()

    response = send(
        api, content, title="Hands", metadata='{"ward": "7b"}', options='{"on_doubt": "drop"}'
    )

    body = response.json()
    job = Job.objects.for_tenant(tenant.id).get()
    upload = Upload.objects.for_tenant(tenant.id).get()
    assert response.status_code == 202
    assert (body["status"], body["step"], body["title"]) == ("PENDING", "read", "Hands")
    assert body["metadata"] == {"ward": "7b"}
    assert body["options"]["on_doubt"] == "drop"
    assert body["progress"]["steps_done"] == 0
    assert (job.ready, job.document.text) == (False, None)
    assert (upload.original, upload.media_type) == (content, DOCX)
    assert files.TEXT.encode() not in bytes(upload.sealed_original)


def test_whoever_asks_is_told_that_the_document_is_to_be_read(api):
    event_id = send(api, files.docx()).json()["event_id"]

    waiting = api.get(f"/jobs/{event_id}").json()["waiting"]

    assert (waiting["waiting_on"], waiting["estimated_seconds"]) == ("document", None)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("# Hände\r\n".encode(), "# Hände\r\n"),
        (b"\xef\xbb\xbf# Hands\n", "# Hands\n"),
        ("Hände\n".encode("utf-16"), "Hände\n"),
    ],
)
def test_text_needs_no_reading_and_is_kept_unaltered(api, content, text):
    response = send(api, content, "x.md", "text/markdown")

    assert response.json()["step"] == "summarize"
    assert Job.objects.across_tenants().get().document.text == text
    assert not Upload.objects.across_tenants().exists()


def test_a_text_that_is_too_long_is_413(api, settings):
    response = send(api, b"x" * (settings.GUIDELINE_MAX_BYTES + 1), "x.txt")

    body = check_problem(response, 413, "document_too_large")
    assert body["errors"][0]["pointer"] == "/document"


def test_a_file_that_is_too_large_is_413_and_says_how_large_it_may_be(api, settings):
    body = check_problem(send(api, b"x" * (settings.DOCUMENT_MAX_BYTES + 1)), 413, "file_too_large")
    assert "10,485,760" in body["detail"]

    far = send(api, b"x" * (settings.DOCUMENT_MAX_BYTES + 100_000))
    assert "10,485,760" in check_problem(far, 413, "body_too_large")["detail"]


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"metadata": "{"}, "/metadata", "invalid_json"),
        ({"metadata": '{"a": 1}'}, "/metadata/a", "invalid"),
        ({"options": '{"colour": "red"}'}, "/options/colour", "unknown_field"),
        ({"priority": "urgent"}, "/priority", "invalid_choice"),
        ({"guideline_text": "x"}, "/guideline_text", "unknown_field"),
        ({"document": "x"}, "/document", "invalid"),
    ],
)
def test_a_field_of_the_form_that_will_not_do_is_named(api, fields, pointer, code):
    body = check_problem(send(api, files.docx(), **fields), 422, "invalid_fields")

    assert [(e["pointer"], e["code"]) for e in body["errors"]] == [(pointer, code)]
    assert not Job.objects.across_tenants().exists()


def test_a_form_without_a_document_is_told_what_to_send(api):
    response = api.post("/jobs", {"title": "Hands"}, format="multipart")

    body = check_problem(response, 422, "invalid_fields")
    assert "in the field `document`" in body["errors"][0]["detail"]


def test_a_form_that_is_cut_off_is_400(api):
    body = b'--b\r\nContent-Disposition: form-data; name="document"; filename="x"\r\n\r\nWash'

    response = api.post("/jobs", body, content_type="multipart/form-data; boundary=b")

    check_problem(response, 400, "malformed_body")


@pytest.mark.parametrize(
    "media_type",
    [
        "Multipart/Form-Data; Boundary=b",
        "MULTIPART/FORM-DATA;boundary=b",
        "multipart/form-data ; boundary=b",
    ],
)
def test_a_form_is_a_form_however_its_type_is_written(api, media_type):
    """RFC 9110, 8.3.1."""
    body = b'--b\r\nContent-Disposition: form-data; name="document"; filename="x.txt"\r\n\r\nWash'

    response = api.post("/jobs", body + b"\r\n--b--\r\n", content_type=media_type)

    assert response.status_code == 202
    assert Job.objects.across_tenants().get().document.text == "Wash"


def test_a_field_that_stands_twice_is_400(api):
    response = api.post("/jobs", {"title": ["a", "b"]}, format="multipart")

    assert "'title'" in check_problem(response, 400, "malformed_body")["detail"]


def test_the_same_file_with_the_same_key_is_one_job(api):
    content = files.docx()
    key = {"HTTP_IDEMPOTENCY_KEY": "k1"}

    def repeat(content):
        document = SimpleUploadedFile("x.docx", content, content_type=DOCX)
        return api.post("/jobs", {"document": document}, format="multipart", **key)

    first, again = repeat(content), repeat(content)
    other = repeat(files.docx(files.paragraph("Another")))

    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    check_problem(other, 422, "idempotency_key_reused")
    assert Job.objects.across_tenants().count() == 1
