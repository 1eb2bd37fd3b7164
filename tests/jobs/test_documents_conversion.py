"""What an ordinary document becomes: Markdown with everything that a reader of it relies on."""

import pytest

from jobs.documents import docx, html, pdf
from jobs.documents.formats import UNREADABLE, Unreadable
from jobs.documents.pages import page_of, with_pages
from llm.passages import split_passages
from tests.jobs import files
from tests.jobs.files import cell, lines, paragraph, row

HEAD, FOOT = ("Trust policy 7", 8, 72, 810), 30


def guideline_pdf():
    """Two pages: a running head, page numbers, headings, a list, a paragraph that goes on."""
    first = lines(
        HEAD,
        ("Hand hygiene", 20, 72, 760),
        ("1. Scope", 14, 72, 720),
        ("This policy is for all staff of the hospital, and for every visi-", 11, 72, 695),
        ("tor who comes near a patient.", 11, 72, 681),
        ("1.1 Duties", 11, 72, 650, True),
        ("Staff must:", 11, 72, 630),
        ("• wash their hands before", 11, 80, 616),
        ("every contact", 11, 92, 602),
        ("• take off rings", 11, 80, 588),
        ("The ward sister must keep the record and", 11, 72, 560),
        ("1", 8, 290, FOOT),
    )
    second = lines(
        HEAD,
        ("hand it in each month.", 11, 72, 760),
        ("2. Review", 14, 72, 720),
        ("The board reviews this policy once a year.", 11, 72, 695),
        ("2", 8, 290, FOOT),
    )
    return files.pdf(first, second)


def test_a_pdf_keeps_headings_lists_and_paragraphs_and_loses_what_stands_on_every_page():
    reading = pdf.read(guideline_pdf())

    assert reading.text == (
        "# Hand hygiene\n\n"
        "## 1. Scope\n\n"
        "This policy is for all staff of the hospital, and for every visi-\n"
        "tor who comes near a patient.\n\n"
        "#### 1.1 Duties\n\n"
        "Staff must:\n\n"
        "- wash their hands before every contact\n"
        "- take off rings\n\n"
        "The ward sister must keep the record and hand it in each month.\n\n"
        "## 2. Review\n\n"
        "The board reviews this policy once a year.\n"
    )


def test_the_pages_of_a_pdf_begin_where_their_first_word_does():
    reading = pdf.read(guideline_pdf())

    first, second = reading.page_starts
    assert first == 0
    assert reading.text[second:].startswith("hand it in each month.")
    assert page_of(reading.text.index("ward sister"), reading.page_starts) == 1
    assert page_of(reading.text.index("hand it in"), reading.page_starts) == 2


def test_an_empty_page_counts_and_begins_where_the_next_does():
    page = lines((files.TEXT, 11, 72, 700))
    reading = pdf.read(files.pdf(page, b"", page))

    assert [page_of(start, reading.page_starts) for start in (0, reading.page_starts[2])] == [1, 3]


def test_the_passages_of_a_read_pdf_know_their_section_and_their_stem():
    reading = pdf.read(guideline_pdf())

    item = next(p for p in split_passages(reading.text) if p.text == "take off rings")
    assert (item.kind, item.stem) == ("list_item", "Staff must:")
    assert item.section == "Hand hygiene > 1. Scope > 1.1 Duties"


def test_a_table_of_a_pdf_whose_rows_are_lines_becomes_rows_with_heads():
    rows = [("Task", "Level"), ("Log the fridge twice a day", "Mandatory"), ("Wear a hat", "May")]
    shown = [(files.TEXT, 11, 72, 760)]
    for number, cells in enumerate(rows):
        shown += [(text, 11, 72 + 250 * n, 700 - 20 * number) for n, text in enumerate(cells)]

    reading = pdf.read(files.pdf(lines(*shown)))

    assert reading.text.endswith(
        "| Task | Level |\n"
        "| --- | --- |\n"
        "| Log the fridge twice a day | Mandatory |\n"
        "| Wear a hat | May |\n"
    )


def test_text_in_two_columns_is_read_column_by_column_and_is_no_table():
    left = [(f"Staff must wash {n}", 11, 72, 700 - 14 * n) for n in range(4)]
    right = [(f"Visitors should ask {n}", 11, 320, 700 - 14 * n) for n in range(4)]

    text = pdf.read(files.pdf(lines(*left, *right))).text

    assert "|" not in text
    assert text.index("wash 3") < text.index("ask 0")


def test_a_table_of_contents_is_no_text_of_its_own():
    shown = [("1. Scope ............................ 3", 11, 72, 700), (files.TEXT, 11, 72, 600)]

    assert pdf.read(files.pdf(lines(*shown))).text == f"{files.TEXT}\n"


def test_a_pdf_without_text_says_that_it_looks_like_a_scan():
    with pytest.raises(Unreadable, match="OCR") as refused:
        pdf.read(files.pdf(b"0 0 100 100 re f", lines(("2", 8, 290, FOOT))))

    assert refused.value.code == UNREADABLE


# --- Word ---------------------------------------------------------------------------------------

STYLES = """
<w:style w:styleId="T"><w:name w:val="Title"/></w:style>
<w:style w:styleId="H1"><w:name w:val="heading 1"/><w:pPr><w:numPr><w:numId w:val="7"/></w:numPr>
</w:pPr></w:style>
<w:style w:styleId="Mine"><w:name w:val="My heading"/><w:basedOn w:val="H2"/></w:style>
<w:style w:styleId="H2"><w:name w:val="heading 2"/><w:pPr><w:numPr><w:ilvl w:val="1"/>
<w:numId w:val="7"/></w:numPr></w:pPr></w:style>
<w:style w:styleId="C"><w:name w:val="toc 1"/></w:style>
"""


def level(number, form, text):
    return (
        f'<w:lvl w:ilvl="{number}"><w:start w:val="1"/><w:numFmt w:val="{form}"/>'
        f'<w:lvlText w:val="{text}"/></w:lvl>'
    )


NUMBERING = (
    f'<w:abstractNum w:abstractNumId="1">{level(0, "decimal", "%1.")}'
    f"{level(1, 'decimal', '%1.%2')}</w:abstractNum>"
    f'<w:abstractNum w:abstractNumId="2">{level(0, "bullet", "•")}'
    f"{level(1, 'lowerLetter', '(%2)')}</w:abstractNum>"
    '<w:num w:numId="7"><w:abstractNumId w:val="1"/></w:num>'
    '<w:num w:numId="8"><w:abstractNumId w:val="2"/></w:num>'
)


def read_docx(*body):
    return docx.read(files.docx("".join(body), styles=STYLES, numbering=NUMBERING)).text


def test_a_word_document_keeps_headings_and_lists_with_the_numbers_that_word_shows():
    text = read_docx(
        paragraph("Hand hygiene", "T"),
        paragraph("Scope ... 3", "C"),
        paragraph("Scope", "H1"),
        paragraph("Duties", "H1"),
        paragraph("Of staff", "Mine"),
        paragraph("Of visitors", "H2"),
        paragraph("Visitors must:"),
        paragraph("ask the sister:", number="8"),
        paragraph("at the door", number="8", level=1),
        paragraph("by telephone", number="8", level=1),
        paragraph("wash their hands", number="8"),
        paragraph("Review", "H1"),
    )

    assert text == (
        "# Hand hygiene\n\n"
        "## 1. Scope\n\n"
        "## 2. Duties\n\n"
        "### 2.1 Of staff\n\n"
        "### 2.2 Of visitors\n\n"
        "Visitors must:\n\n"
        "- ask the sister:\n"
        "   (a) at the door\n"
        "   (b) by telephone\n"
        "- wash their hands\n\n"
        "## 3. Review\n"
    )


def test_a_table_of_word_keeps_its_heads_and_shows_a_merged_cell_in_each_row():
    table = "".join(
        [
            row(cell("Task"), cell("When"), cell("Level"), head=True),
            row(cell("Log | fridge", '<w:vMerge w:val="restart"/>'), cell("at 8:00"), cell("Must")),
            row(cell("", "<w:vMerge/>"), cell("at 20:00", '<w:gridSpan w:val="2"/>')),
        ]
    )

    assert read_docx(f"<w:tbl>{table}</w:tbl>") == (
        "| Task | When | Level |\n"
        "| --- | --- | --- |\n"
        "| Log &#124; fridge | at 8:00 | Must |\n"
        "| Log &#124; fridge | at 20:00 | at 20:00 |\n"
    )


def test_what_was_deleted_or_hidden_is_not_read_and_what_was_inserted_is():
    runs = (
        "<w:r><w:t>Staff must </w:t></w:r><w:del><w:r><w:delText>not </w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>always </w:t></w:r></w:ins>"
        "<w:r><w:rPr><w:vanish/></w:rPr><w:t>never </w:t></w:r><w:r><w:t>wash.</w:t></w:r>"
    )

    assert read_docx(f"<w:p>{runs}</w:p>") == "Staff must always wash.\n"


def test_a_word_document_without_text_says_so():
    with pytest.raises(Unreadable, match="no text"):
        read_docx(paragraph(""))


# --- HTML ---------------------------------------------------------------------------------------


def test_a_page_keeps_what_its_author_says_and_loses_what_its_site_says():
    page = """<!doctype html><html><head><title>Site</title><style>p {}</style></head><body>
    <header><h1>The Trust</h1></header><nav><ul><li>Home</li></ul></nav>
    <div role="navigation">Menu</div>
    <main><article><header><h1>Hand  hygiene</h1></header>
    <p>Staff must:</p><ul><li>wash <b>both</b> hands<ul><li>with soap</li></ul></li><li>dry
    them</li></ul><ol type="a" start="3"><li>third</li><li><p>fourth</p><p>more</p></li></ol>
    <p><strong>Visitors</strong></p><p hidden>secret</p>
    <table><thead><tr><th>Task</th><th>Level</th></tr></thead>
    <tr><td rowspan="2">Fridge<br>log</td><td>Must</td></tr><tr><td>May</td></tr></table>
    </article></main><aside>Offers</aside><footer>Imprint</footer><script>alert(1)</script>
    </body></html>"""

    assert html.read(page.encode()).text == (
        "# Hand hygiene\n\n"
        "Staff must:\n\n"
        "- wash both hands\n"
        "   - with soap\n"
        "- dry them\n\n"
        "c. third\n"
        "d. fourth\n\n"
        "   more\n\n"
        "**Visitors**\n\n"
        "| Task | Level |\n"
        "| --- | --- |\n"
        "| Fridge<br>log | Must |\n"
        "| Fridge<br>log | May |\n"
    )


def test_a_page_that_scripts_fill_says_that_it_holds_no_text():
    with pytest.raises(Unreadable, match="no text of its own"):
        html.read(b"<!doctype html><html><body><div id=app></div><script>x</script></body></html>")


# --- Pages of citations -------------------------------------------------------------------------


def test_a_citation_that_was_found_says_its_page_and_no_other_does():
    found = {"start": 5, "end": 9, "quote": "x"}
    lost = {"start": None, "end": None, "quote": "y"}
    result = {"checklist": [{"id": "a", "citations": [found, lost]}], "dropped": [], "more": 1}

    paged = with_pages(result, [0, 5, 20])

    assert paged["checklist"][0]["citations"] == [found | {"page": 2}, lost]
    assert paged["more"] == 1
    assert with_pages(result, []) == with_pages(result, None) == result
