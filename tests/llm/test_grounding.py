import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.alignment import MIN_SIMILARITY
from llm.grounding import Locator, Match, covers, normalise
from llm.markup import plain
from llm.passages import split_passages
from llm.statements import find_statements

SOURCE = "Wash **hands** well.\n\nDo it.\n\nShe said “wear  gloves” – always.\nWash **hands** well."


def locate(quote, source, passage):
    return Locator(source).locate(quote, passage)


def test_a_quote_is_found_in_its_passage_before_anywhere_else():
    last = split_passages(SOURCE)[-1]

    match = locate("Wash **hands** well.", SOURCE, last)

    assert match == Match(SOURCE.rindex("Wash"), len(SOURCE), "exact")


def test_a_quote_from_another_passage_than_named_is_still_found():
    wrong = split_passages(SOURCE)[-1]

    assert locate("Do it.", SOURCE, wrong) == Match(22, 28, "exact")


@pytest.mark.parametrize("quote", ['"wear gloves" - always.', "Wash hands well.", "wear\ngloves"])
def test_other_quotes_blanks_and_missing_mark_up_are_normalised(quote):
    match = locate(quote, SOURCE, None)

    assert match.kind == "normalised"
    assert normalise(SOURCE[match.start : match.end]) == normalise(quote)


@pytest.mark.parametrize(
    "quote", ["Wash feet well.", "", "  ", "it.", "ash **hands** well.", "\x00"]
)
def test_what_the_source_does_not_say_is_unsupported(quote):
    assert locate(quote, SOURCE, None) == Match(None, None, "unsupported")


def test_a_quote_may_not_begin_inside_a_word_or_drop_an_accent():
    assert locate("able to work", "You are unable to work.", None).kind == "unsupported"
    assert locate("at the cafe", "at the cafe\u0301 you rest", None).kind == "unsupported"


_WORDS = st.sampled_from(
    [
        "wash",
        "**wash**",
        "_a",
        "b_",
        "[see](u)",
        "“x y”",
        '"x y"',
        "–",
        "é",
        "手",
        "&amp;",
        "<b>",
        "a*b",
        "`q",
        "\n",
        "> ",
        "|",
        "\\_",
        "(z",
        ")",
        "***",
    ]
)
_CHANGES = st.sampled_from(
    [str, plain, lambda t: t.replace(" ", "\n "), lambda t: t.replace("–", "-"), lambda t: t[1:]]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(_WORDS, min_size=3, max_size=20), st.integers(0, 19), st.integers(2, 20), _CHANGES)
def test_a_found_span_reads_like_the_quote(words, start, length, change):
    source = " ".join(words)
    quote = change(" ".join(words[start : start + length]))

    match = locate(quote, source, None)

    if match.kind == "exact":
        assert source[match.start : match.end] == quote.strip()
    elif match.kind == "normalised":
        assert normalise(source[match.start : match.end]) == normalise(quote)


def test_a_statement_is_covered_by_half_of_it_or_by_a_quote_from_within_it():
    source = "Staff must wash both of their hands before each and every contact with patients."
    (statement,) = find_statements(split_passages(source))

    assert covers(0, 45, statement)
    assert covers(0, 25, statement)
    assert not covers(0, 10, statement)
    assert not covers(len(source), len(source) + 50, statement)


@pytest.mark.parametrize(
    ("source", "quote"),
    [
        ("Clean the cafe\u0301 table daily.", "Clean the caf\u00e9 table daily."),
        ("Clean the caf\u00e9 table daily.", "Clean the cafe\u0301 table daily."),
        ("Keep the infor-\nmation safe.", "Keep the information safe."),
        ("Keep the long-\nterm plan safe.", "Keep the long-term plan safe."),
        ("Keep the in\u00adfor\u00adma\u00adtion safe.", "Keep the information safe."),
        ("手洗いは３０秒以上\n行うこと。", "手洗いは30秒以上行うこと。"),
        ("ｶﾞｲﾄﾞ に従うこと", "ガイド に従うこと"),
        ("يجب غسل اليدين", "يجب غسل اليد\u0640ين"),
        ("\ufee3\ufee6 يجب غسل اليدين", "من يجب غسل اليدين"),
        ("می\u200cشود شستن دست", "میشود شستن دست"),
        ("\u200fיש לרחוץ ידיים\u200f היטב", "יש לרחוץ ידיים היטב"),
        ("The o\ufb03ce must ﬁle it.", "The office must file it."),
        ("한\u1100\u1161\u11ab국 규칙을 지켜라", "한간국 규칙을 지켜라"),
        ("Wash **hands**\twell – now.", "Wash hands well - now."),
    ],
)
def test_other_shapes_of_the_same_signs_are_normalised(source, quote):
    padded = f"Öffnung.\n\n{source}\n\nEnde."

    match = locate(quote, padded, None)

    assert match.kind == "normalised"
    assert padded[match.start : match.end].strip("\u200f") == source.strip("\u200f")


def test_a_superscript_is_another_number():
    assert locate("Keep 102 litres apart", "Keep 10² litres apart", None).kind == "unsupported"


@pytest.mark.parametrize(
    "quote",
    [
        "Staff must wash both hands for 20 seconds before every contact with a patient",
        "Staff must wash there hands for 20 seconds before every contact with a patient.",
        "Staff must wash both of their hands for 20 seconds before every contact with patient.",
    ],
)
def test_a_quote_with_a_slip_is_fuzzy_and_gives_the_words_of_the_source(quote):
    said = "Staff must wash both their hands for 20 seconds before every contact with a patient"
    source = f"# Hands\n\n{said}.\n\nVisitors must wash hands too."

    match = locate(quote, source, None)

    assert match.kind == "fuzzy"
    assert source[match.start : match.end] == said
    assert MIN_SIMILARITY <= match.similarity < 1


@pytest.mark.parametrize(
    "quote",
    [
        "Staff must wash both their hands for 30 seconds before every contact with a patient",
        "Staff must not wash both their hands for 20 seconds before every contact with a patient",
        "Staff should wash both their hands for 20 seconds before every contact with a patient",
        "Staff must wash both their hands for 20 seconds after every contact with a patient",
        "Staff must dry both their arms for 20 seconds before each meeting of a visitor",
    ],
)
def test_another_figure_negation_or_strength_is_no_slip(quote):
    source = "Staff must wash both their hands for 20 seconds before every contact with a patient."

    assert locate(quote, source, None).kind == "unsupported"


@pytest.mark.parametrize("unit", ["a ", "word ", "a-\n", "\u0301", "手", "\u200d", "ﬁ", "must "])
def test_a_hostile_source_costs_linear_time(unit):
    source = unit * (100_000 // len(unit))
    started = time.process_time()

    locate("word " * 300 + "end", source, None)

    assert time.process_time() - started < 3
