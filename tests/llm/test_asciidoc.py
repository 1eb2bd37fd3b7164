import time
from itertools import pairwise

import pytest

from llm.asciidoc import is_asciidoc
from llm.passages import split_passages
from llm.statements import find_statements

HEAD = "= Rules\nA. Writer <a@example.org>\n:toc:\n:must-read: yes\n\n"


def read(body):
    return [(p.kind, p.text) for p in split_passages(HEAD + body)][1:]


def test_markdown_is_not_taken_for_asciidoc():
    assert not is_asciidoc(["# Title", "", "[[x]]", "|==="])
    assert not is_asciidoc(["A text.", "", "= not much"])
    assert is_asciidoc(HEAD.splitlines())


def test_what_steers_the_processor_is_no_passage():
    body = (
        "[[r1]]\n== Rule\n\ninclude::must.adoc[]\n// must go\n.Title\n[NOTE]\n====\nRest.\n====\n"
    )

    assert read(body) == [("heading", "Rule"), ("paragraph", "Rest.")]


def test_listings_examples_and_quotations_are_shown_not_said():
    body = (
        "----\nmust\n----\n\n....\nmust\n....\n\n====\nmust\n====\n\n____\nYou must\n____\n\nEnd.\n"
    )

    assert [kind for kind, _ in read(body)] == ["code"] * 4 + ["paragraph"]


def test_a_block_that_is_never_closed_hides_nothing_else():
    assert read("----\nDoors must shut.\n")[-1] == ("paragraph", "Doors must shut.")


def test_nested_items_know_what_introduces_them():
    passages = split_passages(HEAD + "Staff must:\n\n* wash\n** rinse well:\n*** twice\n* dry\n")

    items = [(p.text, p.stem) for p in passages if p.kind == "list_item"]
    assert items[0] == ("wash", "Staff must:")
    assert items[2] == ("twice", "Staff must: rinse well:")
    assert items[3] == ("dry", "Staff must:")


def test_cells_make_rows_with_their_heads():
    body = '[cols="1,3"]\n|===\n|Id |Rule\n\n|1\n|Doors must shut.\n\n|2 |Rest.\n|===\n'

    rows = [p for p in split_passages(HEAD + body) if p.kind == "table_row"]

    assert [(row.text, row.stem) for row in rows] == [
        ("1\n|Doors must shut.", "Id | Rule"),
        ("2 |Rest.", "Id | Rule"),
    ]


def test_a_block_that_its_author_marks_as_a_rule_is_said_and_is_one():
    body = "[rule,id=R1]\n.Tags\n====\nTags are words.\nShort ones.\n====\n\n[NOTE]\nThey are.\n"

    passages = [(p.text, p.stem) for p in split_passages(HEAD + body)][1:]
    found = [s.text for s in find_statements(split_passages(HEAD + body))]

    assert passages == [("Tags are words.\nShort ones.", "Rule:"), ("They are.", "")]
    assert found == ["Tags are words."]


def test_the_style_of_a_cell_is_no_part_of_the_one_before():
    body = '[cols="1a,2"]\n|===\n|Id |Rule\n\na|R1 |Wash hands.\na|R2 |Rest now.\n|===\n'

    assert read(body) == [("table_row", "R1 |Wash hands."), ("table_row", "R2 |Rest now.")]


def test_passages_are_verbatim_and_never_overlap():
    source = HEAD + "* a\n+\nb must c.\n\n|===\n|x |y\n|===\n\nNOTE: d.\n"

    passages = split_passages(source)

    assert all(source[p.start : p.end] == p.text for p in passages)
    assert all(a.end <= b.start for a, b in pairwise(passages))


@pytest.mark.parametrize("unit", ["|===\n", "====\n", "----\n====\n", "* a\n", "[x]\n", "|a\n"])
def test_hostile_asciidoc_costs_linear_time(unit):
    source = HEAD + unit * (100_000 // len(unit))
    started = time.process_time()

    split_passages(source)

    assert time.process_time() - started < 4
