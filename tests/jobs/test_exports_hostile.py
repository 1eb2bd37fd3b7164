"""Text of guidelines and of models stays text in every format, whatever it is."""

import csv
import io
import json
import re
import shutil
import subprocess
import zipfile
from html.parser import HTMLParser
from xml.etree import ElementTree

import cmarkgfm
import docx
import jsonschema
import pytest
from cmarkgfm.cmark import Options
from fhir.resources.R4B.plandefinition import PlanDefinition
from markdown_it import MarkdownIt

from jobs.exports import markdown
from jobs.exports.schema import checklist_schema
from jobs.exports.text import fit, one_line
from tests.jobs.exported import ATTACKS, exported, hostile_result

pytestmark = pytest.mark.django_db

UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufdd0\ufffe\uffff]")
needs_office = pytest.mark.skipif(
    shutil.which("soffice") is None, reason="LibreOffice (soffice) is not installed"
)


@pytest.fixture
def get(api, tenant):
    return exported(api, tenant, hostile_result(), title=ATTACKS[3])[1]


class Page(HTMLParser):
    """Its elements with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    @property
    def tags(self):
        return {tag for tag, _ in self.elements}

    def shows(self, text):
        return one_line(fit(text)) in one_line(self.text.replace("\u2060", ""))


def github(text):
    """As GitHub renders it, with raw HTML let through so that it would be seen."""
    return cmarkgfm.markdown_to_html_with_extensions(
        text,
        options=Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_FOOTNOTES,
        extensions=["table", "autolink", "strikethrough", "tasklist"],
    )


# --- Markdown -------------------------------------------------------------------------------

OURS = {"h1", "h2", "p", "strong", "ul", "li", "input", "blockquote"}


@pytest.mark.parametrize("render", [github, MarkdownIt("commonmark").render])
def test_markdown_has_no_mark_up_but_ours(get, render):
    text = get("md").content.decode()

    page = Page(render(text))

    headings = [tag for tag, _ in page.elements if tag in ("h1", "h2")]
    assert page.tags - {"input"} == OURS - {"input"}
    assert headings == ["h1", "h2", "h2", "h2", "h2"]
    assert [attack for attack in ATTACKS if not page.shows(attack)] == []
    assert not UNFIT.search(text)


@pytest.mark.parametrize("attack", ATTACKS)
def test_markdown_shows_any_text_as_it_is_wherever_it_stands(attack):
    shown = markdown.escape(fit(attack))

    for around in ("{}", "> {}", "- {}", "- [ ] **1. {}** (x)", "# {}", "word {}\n=="):
        page = Page(github(around.format(shown)))
        assert page.shows(attack)
        assert page.tags <= {*OURS, "h1"}


def test_without_the_escapes_the_corpus_would_do_harm():
    page = Page(github("\n\n".join(ATTACKS)))

    assert {"a", "img", "script", "table", "code", "del", "hr"} <= page.tags


# --- CSV ------------------------------------------------------------------------------------


def cells(content, delimiter=","):
    text = content.decode("utf-8-sig")
    return [cell for row in csv.reader(io.StringIO(text), delimiter=delimiter) for cell in row]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_no_cell_begins_like_a_formula_however_the_file_is_cut(get, delimiter):
    content = get("csv").content

    found = [c for c in cells(content, delimiter) if re.match(r"[\s\ufeff]*[=+\-@＝＋－＠]", c)]

    assert found == []


def test_csv_still_shows_what_the_text_says(get):
    shown = "\n".join(cells(get("csv").content))

    assert [a for a in ATTACKS if one_line(fit(a)).lstrip("=+-@＝＋－＠") not in shown] == [
        "first;=1+1;\t@SUM(1)"
    ]
    assert "first;'=1+1; '@SUM(1)" in shown
    assert '\'=HYPERLINK("https://evil.example";"click")' in shown


@needs_office
@pytest.mark.parametrize("delimiter", [44, 59])  # as Excel cuts in the US, and in Germany
def test_a_spreadsheet_finds_no_formula(get, tmp_path, delimiter):
    (tmp_path / "a.csv").write_bytes(get("csv").content)

    office(tmp_path, "a.csv", "xlsx", f"--infilter=CSV:{delimiter},34,76,1,,0,false,true,false")

    with zipfile.ZipFile(tmp_path / "a.xlsx") as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
        strings = book.read("xl/sharedStrings.xml").decode()
    assert "<f" not in sheet.replace("<fo", "")
    assert "=HYPERLINK(" in strings


def office(folder, name, to, *options):
    profile = f"-env:UserInstallation=file://{folder}/profile"
    subprocess.run(
        ["soffice", profile, "--headless", *options, "--convert-to", to, name],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=100,
    )


# --- Word -----------------------------------------------------------------------------------


def test_word_is_well_formed_and_shows_every_text(get):
    content = get("docx").content

    with zipfile.ZipFile(io.BytesIO(content)) as package:
        for part in package.namelist():
            ElementTree.fromstring(package.read(part))
    shown = [one_line(p.text) for p in docx.Document(io.BytesIO(content)).paragraphs]
    quotes = {one_line(fit(attack)) for attack in ATTACKS}
    assert quotes <= set(shown)


@needs_office
def test_an_office_opens_the_word_document(get, tmp_path):
    (tmp_path / "a.docx").write_bytes(get("docx").content)

    office(tmp_path, "a.docx", "txt:Text (encoded):UTF8")

    text = one_line((tmp_path / "a.txt").read_text("utf-8-sig"))
    assert "How this was made" in text
    assert "<script>alert(1)</script>" in text
    assert "{{ 7|add:7 }} {% debug %}" in text


# --- HTML -----------------------------------------------------------------------------------


ELEMENTS = {"html", "head", "meta", "title", "style", "body", "header", "main", "section", "footer"}
ELEMENTS |= {"h1", "h2", "nav", "a", "p", "ol", "ul", "li", "dl", "dt", "dd", "div", "span", "b"}
ELEMENTS |= {"input", "label", "figure", "blockquote", "figcaption"}
ATTRIBUTES = {"lang", "dir", "id", "class", "type", "for", "href", "aria-label", "aria-labelledby"}
ATTRIBUTES |= {"charset", "http-equiv", "content", "name"}


def test_html_has_no_element_but_ours(get):
    page = Page(get("html").content.decode())

    names = {name for _, attributes in page.elements for name in attributes}
    assert page.tags <= ELEMENTS
    assert names <= ATTRIBUTES
    assert {a["href"][:6] for tag, a in page.elements if tag == "a"} == {"#part-", "#gaps"}
    assert [attack for attack in ATTACKS if not page.shows(attack)] == []


# --- FHIR and JSON --------------------------------------------------------------------------


def test_fhir_is_valid_with_no_empty_text_and_no_control_characters(get):
    text = get("fhir").content.decode()

    body = json.loads(text)
    PlanDefinition.model_validate(body)
    assert all(parts(body))
    assert not UNFIT.search("".join(part for part in parts(body) if isinstance(part, str)))


def parts(value):
    """The value, and all that it is made of."""
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    for each in inner:
        yield from parts(each)


def test_json_keeps_every_sign(get):
    body = json.loads(get("json").content)

    jsonschema.validate(body, checklist_schema(), jsonschema.Draft202012Validator)
    assert body["checklist"] == hostile_result()["checklist"]


# --- What text may hold ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("a\x00b\ud800c", "a\ufffdb\ufffdc"),
        ("\u202eabc", "\u202eabc\u202c"),
        ("\u2067a\u202db", "\u2067a\u202db\u202c\u2069"),
        ("\u2067a\u202db\u2069c", "\u2067a\u202db\u2069c"),
        ("\u2069a\u202c", "a"),
        ("\u202aa\u2069b\u202c", "\u202aab\u202c"),
        ("\u2066a\u202cb\u2069", "\u2066ab\u2069"),
        ("שלום\n", "שלום\n"),
    ],
)
def test_control_characters_are_seen_and_directions_end_with_the_text(text, held):
    assert fit(text) == held


@pytest.mark.parametrize("text", ["\u202e" * 100_000, "\u2067\u2069" * 50_000, "\x00" * 100_000])
def test_fitting_takes_no_longer_than_the_text_is_long(text):
    assert len(fit(text)) <= 2 * len(text)


# --- Many items -----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["md", "csv", "docx", "html", "json", "fhir"])
def test_two_thousand_items_are_no_trouble(api, tenant, ending):
    _, get = exported(api, tenant, hostile_result(2_000))

    response = get(ending)

    assert response.status_code == 200
    assert len(response.content) > 100_000
