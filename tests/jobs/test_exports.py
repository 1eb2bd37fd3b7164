"""GET /jobs/{event_id}/checklist.{ending}: who gets it, how it travels, and what is in it."""

import csv
import io
import json
import zipfile
from pathlib import Path
from urllib.parse import unquote
from uuid import UUID

import cmarkgfm
import docx
import jsonschema
import pytest
from fhir.resources.R4B.plandefinition import PlanDefinition

from jobs.export_views import file_name
from jobs.exports import FORMATS, csv_table
from jobs.exports.schema import checklist_schema
from jobs.models import Job, JobStatus
from tenants.models import Role, Scope
from tests.callers import client_of, member_of
from tests.config.test_problems import check_problem
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import failed
from tests.jobs.exported import SOURCE, chain_result, exported
from tests.llm.conftest import offline  # noqa: F401

DOCS = Path(__file__).parents[2] / "docs"
SCOPE = 3  # BEGIN, the role and tenant in one statement, COMMIT
MEDIA_TYPES = {
    "md": "text/markdown; charset=utf-8",
    "csv": "text/csv; charset=utf-8; header=present",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "fhir": "application/fhir+json; fhirVersion=4.0",
}

QUOTE = (
    "Staff MUST disinfect their hands for at least 30 seconds before every contact with a patient."
)
START = SOURCE.index(QUOTE)
PLACE = f"{START}–{START + len(QUOTE)}"

every_format = pytest.mark.parametrize("ending", list(FORMATS))


@pytest.fixture
def result(offline):  # noqa: F811
    return chain_result(offline.url)


@pytest.fixture
def made(api, tenant, result):
    return exported(api, tenant, result)


# --- The answer -----------------------------------------------------------------------------


@every_format
def test_each_format_travels_as_what_it_is(made, ending):
    _, get = made

    response = get(ending, HTTP_ACCEPT="image/png")

    assert response.status_code == 200
    assert response.headers["Content-Type"] == MEDIA_TYPES[ending]
    assert response.headers["Cache-Control"] == "no-store"
    name = f'filename="Hand hygiene - checklist.{FORMATS[ending].file_ending}"'
    how = "inline" if ending == "html" else "attachment"
    assert response.headers["Content-Disposition"] == f"{how}; {name}"


@every_format
def test_who_has_the_file_already_is_told_so(made, ending):
    _, get = made
    first = get(ending)

    again = get(ending, HTTP_IF_NONE_MATCH=f'"other", W/{first.headers["ETag"]}')
    other = get(ending, HTTP_IF_NONE_MATCH='"other"')

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"] == other.headers["ETag"]
    assert other.content == first.content


@every_format
def test_absent_and_anothers_are_the_same(made, client_for, ending):
    job, _ = made
    stranger = client_for(TenantFactory())

    body = check_problem(stranger.get(f"/jobs/{job.event_id}/checklist.{ending}"), 404, "not_found")

    unknown = stranger.get(f"/jobs/{UUID(job.event_id.hex[::-1])}/checklist.{ending}").json()
    assert {**unknown, "request_id": ""} == {**body, "request_id": ""}


def test_a_member_sees_the_checklists_of_the_jobs_that_the_member_sees(made, tenant):
    job, _ = made
    confined = client_of(member_of(tenant, Role.MEMBER, sees_own_only=True))

    assert confined.get(f"/jobs/{job.event_id}/checklist.md").status_code == 404


def test_a_deleted_job_has_no_checklist_any_more(made, api):
    job, get = made
    assert api.delete(f"/jobs/{job.event_id}").status_code == 204

    check_problem(get("md"), 404, "not_found")


def test_an_ending_that_is_none_is_not_found(made):
    _, get = made

    body = check_problem(get("pdf"), 404, "not_found")

    assert body["detail"] == "A checklist ends in one of: .md, .csv, .docx, .html, .json, .fhir."


def test_without_the_scope_there_is_no_checklist(made, client_for, tenant):
    job, _ = made
    api = client_for(tenant, scopes=[Scope.JOBS_SUBMIT])

    check_problem(api.get(f"/jobs/{job.event_id}/checklist.csv"), 403, "insufficient_scope")


@every_format
def test_a_job_that_goes_on_has_none_yet(api, tenant, ending):
    job = JobFactory(tenant=tenant)

    response = api.get(f"/jobs/{job.event_id}/checklist.{ending}")

    body = check_problem(response, 409, "not_completed")
    assert body["job_status"] == "PENDING"
    assert f"GET /jobs/{job.event_id} says COMPLETED" in body["detail"]
    assert response.headers["Retry-After"] == "1"


def test_a_job_that_failed_has_none_and_is_not_waited_for(api, tenant):
    job = failed(JobFactory(tenant=tenant))

    response = api.get(f"/jobs/{job.event_id}/checklist.md")

    body = check_problem(response, 409, "not_completed")
    assert (body["job_status"], "its `error` says why" in body["detail"]) == ("FAILED", True)
    assert "Retry-After" not in response.headers


def test_a_job_that_was_stopped_has_none_and_may_be_retried(api, tenant):
    job = JobFactory(tenant=tenant)
    api.post(f"/jobs/{job.event_id}/cancel")

    body = check_problem(api.get(f"/jobs/{job.event_id}/checklist.md"), 409, "not_completed")

    assert body["job_status"] == "CANCELLED"
    assert "error" not in body["detail"]
    assert f"POST /jobs/{job.event_id}/retry" in body["detail"]


@pytest.mark.django_db(transaction=True)
@every_format
def test_an_export_reads_one_row_and_writes_none(
    api, tenant, result, known, django_assert_num_queries, ending
):
    job, get = exported(api, tenant, result)
    before = Job.objects.across_tenants().values().get()

    with django_assert_num_queries(SCOPE + 1) as asked:
        get(ending)

    assert not [query for query in asked if "UPDATE" in query["sql"] or "INSERT" in query["sql"]]
    assert Job.objects.across_tenants().values().get() == before
    assert job.status == JobStatus.COMPLETED


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Händehygiene", "Händehygiene - checklist.md"),
        ("../../etc/passwd", "etc passwd - checklist.md"),
        ('a"b\\c:d*e?f<g>h|i', "a b c d e f g h i - checklist.md"),
        ("CON", "CON - checklist.md"),
        (".hidden. ", "hidden - checklist.md"),
        ("a\r\nSet-Cookie: x=1", "a Set-Cookie x=1 - checklist.md"),
        ("\u202egnp.exe", "gnp.exe - checklist.md"),
        ("漢" * 200, "漢" * 80 + " - checklist.md"),
        ("///", "checklist.md"),
    ],
)
def test_a_title_becomes_a_name_that_every_file_system_can_hold(title, name):
    assert file_name(title, "md") == name
    assert len(name.encode()) <= 255


def test_a_name_in_other_letters_travels_encoded(api, tenant, result):
    _, get = exported(api, tenant, result, title="Hände „7b“\u202e")

    sent = get("md").headers["Content-Disposition"]

    assert sent.isascii()
    assert unquote(sent) == "attachment; filename*=utf-8''Hände „7b“ - checklist.md"


# --- What is in it --------------------------------------------------------------------------


def test_markdown_has_boxes_quotes_gaps_and_provenance(made, result):
    job, get = made

    text = get("md").content.decode()

    page = cmarkgfm.github_flavored_markdown_to_html(text)
    assert page.count('<input type="checkbox"') == len(result["checklist"]) == 5
    assert page.count("<blockquote>") == result["grounding"]["citations"]
    assert QUOTE in page
    assert f"Hand hygiene › Before contact, characters {PLACE}, word for word" in page
    assert "<h2>Not covered by any item</h2>\n<p>Nothing that we found" in page
    assert f"<li>Job: {job.event_id}</li>" in page
    assert result["provenance"]["source_sha256"] in page
    assert "model guidepost-offline-1" in page


def test_csv_has_a_row_for_each_item_and_each_gap(api, tenant, result):
    gap = {"text": "Lock it.", "levels": ["must"], "start": 5, "end": 13, "section": "Doors"}
    result["coverage"]["missing"] = [gap]
    item = result["checklist"][0]
    item["citations"] = [item["citations"][0] | {"page": 3}, item["citations"][0] | {"page": 4}]
    item["flags"] = [{"kind": "number", "lost": "30", "found": "20"}]
    job, get = exported(api, tenant, result)

    content = get("csv").content

    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert content.startswith(b"\xef\xbb\xbfdone,kind,number,")
    assert content.count(b"\r\n") == content.count(b"\n") == len(rows) + 1
    assert [row["kind"] for row in rows] == ["item"] * 5 + ["not covered"]
    first, last = rows[0], rows[-1]
    assert (first["number"], first["level"], first["supported"]) == ("1", "must", "yes")
    assert (first["start"], first["page"]) == (f"{START} | {START}", "3 | 4")
    assert first["doubts"] == "Number: the guideline says “30”, this item “20”."
    assert (rows[1]["start"].isdigit(), rows[1]["page"]) == (True, "")
    assert (last["quote"], last["section"], last["level"]) == ("Lock it.", "Doors", "must")
    assert {row["job"] for row in rows} == {str(job.event_id)}


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", " =1", "\uff1d1", "\ufeff=1"])
def test_what_a_spreadsheet_would_run_begins_with_an_apostrophe(text):
    shown = text.strip()

    assert csv_table.cell(text).lstrip("\ufeff") == f"'{shown}".replace("'\ufeff", "'")
    assert csv_table.cell(f"a;{text}").partition(";")[2].lstrip(" \ufeff")[0] == "'"
    assert csv_table.cell(f"a {shown}") == f"a {shown}"


def test_word_opens_with_headings_boxes_quotes_and_page_numbers(made, result):
    _, get = made

    content = get("docx").content

    document = docx.Document(io.BytesIO(content))
    styles = [(p.style.name, p.text) for p in document.paragraphs]
    assert styles[0] == ("Title", "Hand hygiene")
    headings = [text for style, text in styles if style == "Heading 1"]
    assert headings[-2:] == ["Not covered by any item", "How this was made"]
    quotes = [text for style, text in styles if style == "Quote"]
    assert quotes == [c["quote"] for item in result["checklist"] for c in item["citations"]]
    source = f"Hand hygiene › Before contact, characters {PLACE} · word for word"
    assert ("Checklist Source", source) in styles
    xml = document.element.xml
    assert xml.count("<w14:checkbox") == len(result["checklist"])
    section = document.sections[0]
    assert section.header.paragraphs[0].text == "Hand hygiene"
    assert 'w:instr=" NUMPAGES "' in section.footer._element.xml
    assert document.core_properties.title == "Hand hygiene"
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None


def test_html_stands_alone_and_may_do_nothing(made):
    _, get = made

    response = get("html")

    policy = response.headers["Content-Security-Policy"]
    directives = dict(part.partition(" ")[::2] for part in policy.split("; "))
    page = response.content.decode()
    assert directives.pop("style-src").startswith("'sha256-")
    nothing = dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")
    assert directives == {**nothing, "sandbox": ""}
    assert '<html lang="en">' in page
    assert page.count("<style>") == page.count("<h1 ") == page.count("<main>") == 1
    assert "<script" not in page
    assert "src=" not in page.replace("-src", "")
    assert page.count('<input type="checkbox"') == page.count('<label class="action" for=') == 5


def test_html_names_the_languages_of_items_and_quotes(api, tenant, offline):  # noqa: F811
    source = "# Plan\n\nDie Stationsleitung muss die Liste an jedem Tag mit der Hand prüfen.\n"
    _, get = exported(api, tenant, chain_result(offline.url, source))

    page = get("html").content.decode()

    assert 'lang="de">Die Stationsleitung muss die Liste' in page


def test_fhir_is_an_r4_plan_definition_with_every_quote(made, result):
    job, get = made

    body = json.loads(get("fhir").content)

    PlanDefinition.model_validate(body)
    assert (body["id"], body["status"]) == (str(job.event_id), "draft")
    actions = [action for group in body["action"] for action in group["action"]]
    items = {item["id"]: item for item in result["checklist"]}
    assert [action["id"] for action in actions] == list(items)
    assert actions[0]["documentation"][0]["type"] == "citation"
    quote = items[actions[0]["id"]]["citations"][0]["quote"]
    assert actions[0]["documentation"][0]["citation"] == quote
    assert actions[0]["participant"][0]["role"] == {"text": "Staff"}
    assert {action["priority"] for action in actions} <= {"urgent", "routine"}
    conditions = [a["condition"][0] for a in actions if "condition" in a]
    assert [each["expression"]["description"] for each in conditions] == [
        item["condition"] for item in result["checklist"] if item["condition"]
    ]
    assert all("expression" not in each["expression"] for each in conditions)


def test_a_plan_definition_with_a_field_of_our_own_would_be_refused(made):
    _, get = made
    body = json.loads(get("fhir").content)

    with pytest.raises(ValueError, match="supported"):
        PlanDefinition.model_validate({**body, "supported": True})


# --- JSON and its schema --------------------------------------------------------------------


def closed(schema):
    """The same schema, but with no field that it does not name."""
    if isinstance(schema, dict):
        closing = {"additionalProperties": False} if "properties" in schema else {}
        return {key: closed(inner) for key, inner in schema.items()} | closing
    return [closed(inner) for inner in schema] if isinstance(schema, list) else schema


def test_json_is_the_stored_result_under_the_served_schema(made, result, api):
    job, get = made

    body = json.loads(get("json").content)

    served = api.get("/schemas/checklist.v1.json")
    assert body["$schema"].endswith("/schemas/checklist.v1.json")
    assert body["job"]["event_id"] == str(job.event_id)
    assert {key: body[key] for key in result} == result
    jsonschema.Draft202012Validator(
        closed(served.json()), format_checker=jsonschema.FormatChecker()
    ).validate(body)


def test_the_schema_refuses_what_is_no_checklist(made):
    _, get = made
    body = json.loads(get("json").content)
    body["checklist"][0]["citations"][0].pop("quote")

    with pytest.raises(jsonschema.ValidationError, match="quote"):
        jsonschema.validate(body, checklist_schema(), jsonschema.Draft202012Validator)


def test_the_schema_is_public_documented_and_the_committed_one(client):
    response = client.get("/schemas/checklist.v1.json")

    schema = response.json()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert response.headers["Content-Type"] == "application/schema+json"
    assert "no-store" not in response.headers.get("Cache-Control", "")
    assert schema == json.loads((DOCS / "checklist.v1.schema.json").read_text()), "make openapi"
    for name, part in {"": schema, **schema["$defs"]}.items():
        for field, about in part.get("properties", {}).items():
            assert about.get("description"), f"{name}.{field}"
