import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.passages import MAX_STEM, split_passages


def outline(source):
    return [(p.kind, p.text) for p in split_passages(source)]


def test_headings_give_their_path_and_lose_their_mark_up():
    source = '# 7 Sessions\n\n## <a name="b"></a>7.1 *Bindings*\n\nText.\n\n# Next\n\nMore.'

    sections = [p.section for p in split_passages(source) if p.kind == "paragraph"]

    assert sections == ["7 Sessions > 7.1 Bindings", "Next"]


def test_underlined_and_plain_numbered_and_capital_headings_are_headings():
    source = "HAND HYGIENE\n\n1. Purpose\n\nA text.\n\nRules\n-----\n\nB text.\n"

    kinds = [(p.kind, p.section) for p in split_passages(source)]

    assert kinds == [
        ("heading", "HAND HYGIENE"),
        ("heading", "HAND HYGIENE > 1. Purpose"),
        ("paragraph", "HAND HYGIENE > 1. Purpose"),
        ("heading", "HAND HYGIENE > Rules"),
        ("paragraph", "HAND HYGIENE > Rules"),
    ]


def test_a_numbered_heading_may_stand_right_above_its_text_but_a_list_stays_a_list():
    source = (
        "1. First hour\n1.1 Measure it.\n\n2. Who does what\nThe nurse calls.\n\n1. Soap\n2. Gel\n"
    )

    found = [(p.kind, p.text, p.section) for p in split_passages(source)]

    assert found == [
        ("heading", "1. First hour", "1. First hour"),
        ("list_item", "Measure it.", "1. First hour"),
        ("heading", "2. Who does what", "2. Who does what"),
        ("paragraph", "The nurse calls.", "2. Who does what"),
        ("list_item", "Soap", "2. Who does what"),
        ("list_item", "Gel", "2. Who does what"),
    ]


@pytest.mark.parametrize("marker", ["1.", "1)", "(a)", "a.", "*", "-", "•", "(1)", "1.1"])
def test_an_item_knows_the_sentence_that_introduces_its_list(marker):
    source = f"Background is here. All staff must:\n\n{marker} wash hands\n{marker} wear gloves\n"

    items = [p for p in split_passages(source) if p.kind == "list_item"]

    assert [(p.text, p.stem) for p in items] == [
        ("wash hands", "All staff must:"),
        ("wear gloves", "All staff must:"),
    ]


def test_an_inner_list_joins_the_introductions_of_all_outer_lists():
    source = "Rules for users:\n\n* Text of messages:\n  * Write plainly.\n* Be kind.\n"

    stems = {p.text: p.stem for p in split_passages(source)}

    assert stems["Write plainly."] == "Rules for users: Text of messages:"
    assert stems["Be kind."] == "Rules for users:"


def test_a_lazy_continuation_line_belongs_to_its_item():
    source = "- Wash hands\nbefore each contact.\n- Next."

    assert outline(source) == [
        ("list_item", "Wash hands\nbefore each contact."),
        ("list_item", "Next."),
    ]


def test_a_number_at_the_start_of_a_wrapped_line_starts_no_list():
    source = "The rules are given in section\n5. They apply to all."

    assert [kind for kind, _ in outline(source)] == ["paragraph"]


def test_a_row_of_a_table_knows_its_caption_and_its_columns():
    source = "**Table 1 Doses**\n\n|Age|Dose|\n|---|:--:|\n|<1|5 mg|\n|1–5|10 mg|\n"

    rows = [p for p in split_passages(source) if p.kind == "table_row"]

    assert [p.text for p in rows] == ["<1|5 mg", "1–5|10 mg"]
    assert {p.stem for p in rows} == {"Table 1 Doses: Age | Dose"}


def test_fenced_code_and_form_controls_are_code_and_front_matter_is_left_out():
    source = (
        "---\ntitle: You must not read this\n---\n```sh\nrm -rf /\n```\n<label>Enter it</label>\n"
    )

    assert [kind for kind, _ in outline(source)] == ["code", "code"]


def test_a_fence_that_is_never_closed_hides_no_text():
    assert ("paragraph", "Staff must rest.") in outline("```\n\nStaff must rest.")


def test_the_lists_and_tables_of_html_are_read():
    source = (
        "<p>You must:</p><ol>\n <li>Sign.</li><li>Do also:\n<ul><li>Date it.</li></ul></li></ol>"
        "<table><tr><td>Keep <b>it</b>.</td></tr></table>"
    )

    passages = {p.text: (p.kind, p.stem) for p in split_passages(source)}

    assert passages["Sign."] == ("list_item", "You must:")
    assert passages["Date it."] == ("list_item", "You must: Do also:")
    assert "Keep <b>it</b>." in passages


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_all_systems_give_the_same_passages(end):
    source = end.join(["# A", "", "One", "two.", "", "- x y", "- z w", ""])

    texts = [p.text.replace(end, " ") for p in split_passages(source)]

    assert texts == ["A", "One two.", "x y", "z w"]


def test_offsets_count_characters_not_bytes():
    source = "# Größe 👩‍⚕️\n\n请勿吸烟。\n\nCafe\u0301 staff must wash."

    passage = split_passages(source)[-1]

    assert passage.text == "Cafe\u0301 staff must wash."
    assert source[passage.start : passage.end] == passage.text


_LINES = st.sampled_from(
    [
        "# H",
        "- a b",
        "  * c",
        "1. d",
        "> q",
        "| x | y |",
        "|--|--|",
        "```",
        "",
        "<ul><li>e</li>",
        "</ul>",
        "---",
        "text must stay:",
        "\tf",
        "===",
        "<!-- g",
        "-->",
        "**B**",
        "\u2028",
        "é́",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_LINES | st.text(max_size=20), max_size=25), st.sampled_from(["\n", "\r\n", "\r"]))
def test_passages_are_parts_of_the_source_in_order_and_never_overlap(lines, end):
    source, last = end.join(lines), 0

    for number, passage in enumerate(split_passages(source), start=1):
        assert passage.id == number
        assert last <= passage.start < passage.end
        assert source[passage.start : passage.end] == passage.text
        assert len(passage.stem) <= 2 * MAX_STEM
        last = passage.end


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "(",
        "[a](",
        "<p ",
        "`",
        "**a ",
        "<!--",
        "* a\n",
        "|a|\n|-|\n",
        "<ul><li>a",
        "> ",
        "~",
        "1. ",
        "&amp",
        "a\\",
        "<div>",
        "- [ ](",
        "__",
        "![[",
        "# a\n",
    ],
)
def test_hostile_text_costs_linear_time(unit):
    source = unit * (200_000 // len(unit))
    started = time.process_time()

    split_passages(source)

    assert time.process_time() - started < 2
