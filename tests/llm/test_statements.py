import time

import pytest

from llm.passages import split_passages
from llm.statements import find_convention, find_statements


def levels(source):
    return [(s.text, s.levels) for s in find_statements(split_passages(source))]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Staff must wear a badge.", ("must",)),
        ("Visitors shall sign in.", ("must",)),
        ("Records are required to be kept for 10 years.", ("must",)),
        ("The nurse has to double-check the dose.", ("must",)),
        ("Staff must not share passwords.", ("must_not",)),
        ("Smoking is strictly prohibited.", ("must_not",)),
        ("Samples may not be stored here.", ("must_not",)),
        ("You should not run.", ("should_not",)),
        ("A hoist is recommended.", ("should",)),
        ("It is important to rest.", ("should",)),
        ("Nurses may give paracetamol 1 g p.o. every 6 hours.", ("may",)),
        ("Visitors may only enter with an escort.", ("may",)),
        ("Wash your hands.", ("must",)),
        ("Always log out.", ("must",)),
        ("Never recap needles.", ("must_not",)),
        ("Don't share PINs.", ("must_not",)),
        ("Avoid jargon in letters.", ("should_not",)),
        ("Consider a second opinion.", ("should",)),
        ("Whenever possible, use a hoist.", ("should",)),
        ("If the patient deteriorates, call the team.", ("must",)),
        ("Before surgery, mark the site.", ("must",)),
        ("Note: Ensure that doors are locked.", ("must",)),
        ("Store between 2 °C and 8 °C.", ("must",)),
        ("Give 0.5 mg/kg i.v. within 30 minutes unless contraindicated.", ("must",)),
        ("Contractors shall sign in; visitors may only enter escorted.", ("must", "may")),
        ("STAFF MUST WASH HANDS.", ("must",)),
        ("If SpO2 < 92 % start oxygen.", ("must",)),
        ("Where possible staff must wear gloves.", ("must",)),
        ("The number of visitors must not exceed 2.", ("must_not",)),
        ("Because of the risk staff must wear masks.", ("must",)),
        ("Parents may stay with the child.", ("may",)),
        ("It is the responsibility of the registrar to document doses.", ("must",)),
        ('Staff must press "Stop!" before leaving.', ("must",)),
    ],
)
def test_the_level_of_a_sentence(sentence, expected):
    assert levels(sentence) == [(sentence, expected)]


@pytest.mark.parametrize(
    "sentence",
    [
        "What must we do?",
        "Results are reported daily.",
        "Test results are filed weekly.",
        "For example, staff must wear blue.",
        "Users forget passwords because they must remember many.",
        "You don't need to sign.",
        "Read more about hygiene.",
        "Access controls limit what people see.",
        "The drug may cause nausea.",
        "Use of phones is noted in the log.",
        "请勿吸烟。",
    ],
)
def test_what_explains_or_asks_is_no_statement(sentence):
    assert levels(sentence) == []


def test_abbreviations_doses_and_soft_line_breaks_end_no_sentence():
    source = "Dr. Lee (e.g. on duty) must give 3.5 ml\nb.i.d. unless told otherwise. It works."

    assert levels(source) == [
        ("Dr. Lee (e.g. on duty) must give 3.5 ml b.i.d. unless told otherwise.", ("must",))
    ]


def test_a_word_that_lawyers_abbreviate_ends_a_sentence_like_any_other():
    source = "Staff must rest. Guests may not be disturbed. See Sect. 4. (Note this. Then act.)"

    assert levels(source) == [
        ("Staff must rest.", ("must",)),
        ("Guests may not be disturbed.", ("must_not",)),
    ]


def test_where_capital_keywords_are_the_convention_lower_case_explains():
    source = (
        "Keys MUST exist. Logs SHALL NOT leak. Staff SHOULD rest. Guests MAY wait. Doors MUST shut."
        "\n\n"
        "Users should be happy. Press the button.\n\nNo other rule SHOULD apply."
    )

    assert find_convention(split_passages(source)) == "rfc2119"
    assert [found for _, found in levels(source)] == [
        ("must",),
        ("must_not",),
        ("should",),
        ("may",),
        ("must",),
        ("should",),
    ]


def test_two_levels_in_one_sentence_are_both_kept():
    source = "It MUST run. " * 4 + "They SHOULD discourage and SHALL NOT help."

    assert levels(source)[-1] == (
        "They SHOULD discourage and SHALL NOT help.",
        ("must_not", "should"),
    )


def test_items_complete_the_modal_verb_of_their_introduction():
    source = "All staff must:\n- wash hands\n- not wear rings\n\nDo not:\n- eat in the lab\n"

    assert levels(source) == [
        ("All staff must:", ("must",)),
        ("wash hands", ("must",)),
        ("not wear rings", ("must_not",)),
        ("eat in the lab", ("must_not",)),
    ]


def test_nouns_complete_an_introduction_that_asks_to_include_or_wear_them():
    source = "The record must include:\n- a date\n- the dose\n\nWe may see:\n- a rash\n"

    assert levels(source) == [
        ("The record must include:", ("must",)),
        ("a date", ("must",)),
        ("the dose", ("must",)),
    ]


def test_the_quote_is_verbatim_and_the_text_is_readable():
    source = "Intro. The key **must** be kept as in [Section 4](#s4), see `a_b`. End."

    (statement,) = find_statements(split_passages(source))

    assert statement.text == "The key must be kept as in Section 4, see a_b."
    assert source[statement.start : statement.end] == (
        "The key **must** be kept as in [Section 4](#s4), see `a_b`."
    )


def test_sample_rows_of_a_table_are_no_statements_but_rules_in_a_table_are():
    sample = "**Examples**\n| Task | Note |\n|---|---|\n| Send mail | All should attend |\n"
    rules = "| Area | Rule |\n|---|---|\n| Lab | You must wear goggles.<br>- Eat outside. |\n"

    assert levels(sample) == []
    assert [text for text, _ in levels(rules)] == ["You must wear goggles.", "Eat outside."]


def test_offsets_are_right_beside_wide_and_combining_characters():
    source = "👩‍⚕️ größer. Cafe\u0301 staff must wash 手 well. Ende."

    (statement,) = find_statements(split_passages(source))

    assert source[statement.start : statement.end] == "Cafe\u0301 staff must wash 手 well."


@pytest.mark.parametrize("unit", ["a ", "must ", "if a, ", "a! ", "(", "a: ", "not ", "MUST "])
def test_hostile_sentences_cost_linear_time(unit):
    passages = split_passages(unit * (200_000 // len(unit)))
    started = time.process_time()

    find_statements(passages)

    assert time.process_time() - started < 4


CAPITALS = "Keys MUST exist. Logs SHALL NOT leak. Staff SHOULD rest. Guests MAY wait. MUST it?"


@pytest.mark.parametrize(
    "says",
    [
        "Rules use the key words of RFC 2119, which bind equally in capitals and in ordinary type.",
        "The keywords have the same meaning in lower case.",
        "The key words bind regardless of case.",
    ],
)
def test_a_text_that_says_so_binds_in_lower_case_too(says):
    found = levels(f"{says}\n\n{CAPITALS}\n\nDoors must shut. Press the button.")

    assert found[-2:] == [("Doors must shut.", ("must",)), ("Press the button.", ("must",))]


@pytest.mark.parametrize(
    "says",
    [
        "The key words bind only in capitals; in lower case they explain.",
        "The key words in lower case are not normative.",
        "These key words have that meaning when, and only when, they appear in all capitals.",
        "User names must be in lower case.",
        "Both parties are equally bound. File names are in lower case.",
        "```\nThe key words bind equally in lower case.\n```",
    ],
)
def test_a_text_that_says_anything_else_of_lower_case_keeps_the_convention(says):
    assert find_convention(split_passages(f"Intro.\n\n{says}\n\n{CAPITALS}")) == "rfc2119"


def test_a_single_capital_keyword_counts_in_a_text_without_the_convention():
    passages = split_passages("The ward sister MAY allow a visit after 20:00. Doors open at 8.")

    found = find_statements(passages)

    assert [(s.text, s.levels) for s in found] == [
        ("The ward sister MAY allow a visit after 20:00.", ("may",))
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "The nurse must:\n\n- inspect the bag:\n  - confirm that the seal is intact;\n"
            "  - read the expiry date;\n- sign the log.\n",
            [("confirm that the seal is intact;", "must"), ("read the expiry date;", "must")],
        ),
        (
            "Boxes:\n\n1. shall not be used for:\n   1. food or drink;\n   2. blood samples;\n",
            [("food or drink;", "must_not"), ("blood samples;", "must_not")],
        ),
        ("The keys must be handed to:\n\n- the porter;\n", [("the porter;", "must")]),
        ("Boxes are used for:\n\n- food;\n", []),
    ],
)
def test_an_item_of_a_list_in_a_list_completes_what_introduces_both(text, expected):
    found = find_statements(split_passages(text))

    said = {statement.text: statement.levels[0] for statement in found}
    assert [(text, said.get(text)) for text, _ in expected] == expected
    assert expected or said == {}
