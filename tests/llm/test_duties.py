import json

import pytest

from llm.offline.duties import find_duties
from llm.offline.engine import answer
from tests.llm.test_meaning import cpu_seconds


def said(text, *fields):
    """These fields of the engine's items, in their order."""
    items = json.loads(answer(text, "checklist"))["items"]
    return [tuple(item[field] for field in fields) for item in items]


def actors(text):
    return [actor for (actor,) in said(text, "actor")]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            "Any nurse who sees or causes a wrong dose or a near miss must report it.",
            ["Any nurse who sees or causes a wrong dose or a near miss"],
        ),
        ("Ladders are to be inspected monthly by the facilities team.", ["The facilities team"]),
        ("Exceptions may be granted by the head of IT.", ["The head of IT"]),
        ("Patients must be seen by a neurologist the same day.", ["A neurologist"]),
        ("Medicines must be given by registered nurses only.", ["Registered nurses"]),
        ("The limit must be raised by asking the clerk.", ["The organisation"]),
        ("The porter, once told, must go home.", ["The porter"]),
        ("The nurse and the porter must rest.", ["The nurse and the porter"]),
        ("The gate is shut and the porter must open it.", ["The porter"]),
        ("Porters — mostly the younger ones — must rest.", ["Porters"]),
        ("In a fire the duty warden must open the gate.", ["The duty warden"]),
        ("The bay has a gate, to which the warden must keep the key.", ["The warden"]),
        ("The director must be reachable by telephone.", ["The director"]),
        ("Each manager is responsible for the keys.", ["Each manager"]),
        ("The door must stay closed.", ["The organisation"]),
        ("One of the following must take place.", ["The organisation"]),
        ("Although the gates differ, half of them must stay open.", ["The organisation"]),
        ("Only the service desk may open a device.", ["The service desk"]),
    ],
)
def test_who_acts_is_whom_the_sentence_names_and_never_a_piece_of_it(text, named):
    assert actors(text) == named


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            "Visitors should be accompanied, and they must sign in.",
            ["Visitors", "The organisation"],
        ),
        ("Guests are welcome on Sundays. They must sign in.", ["Guests"]),
        ("Guests must be accompanied. They must sign in.", ["The organisation", "Guests"]),
        ("If the pharmacist finds a fault, she must report it.", ["The pharmacist"]),
        ("The door must be closed, and it must stay locked.", ["The organisation"] * 2),
        ("They must rest.", ["The team"]),
        ("## Guests\n\nThey must rest.", ["The organisation"]),
    ],
)
def test_a_pronoun_means_somebody_near_and_not_whom_another_section_named(text, named):
    assert actors(f"The team must replace lamps.\n\n{text}") == ["The team", *named]


def test_the_subject_is_carried_over_to_the_second_duty_and_a_condition_is_not():
    text = "The porter should return the bed, but may leave it overnight if the ward agrees."

    assert said(text, "level", "actor", "action", "condition") == [
        ("should", "The porter", "Return the bed.", ""),
        (
            "may",
            "The porter",
            "The porter may leave the bed overnight if the ward agrees.",
            "if the ward agrees",
        ),
    ]


def test_a_second_duty_in_ordinary_type_counts_where_the_text_says_so():
    text = (
        "The key words bind equally in lower case.\n\n"
        "The porter MAY lend the key, but must sign for it. MUST MAY SHALL SHOULD MUST"
    )

    assert said(text, "level", "actor", "action")[:2] == [
        ("must", "The porter", "Sign for it."),
        ("may", "The porter", "The porter MAY lend the key."),
    ]


def test_the_audience_names_nobody_twice():
    text = "The verifier must wait. Verifiers must rest. The verifier must go. Verifiers must stay."

    assert json.loads(answer(text, "summary"))["audience"] == "The verifier"


def test_an_order_to_one_of_several_roles_is_no_order_to_all_of_them():
    passages = [{"id": 1, "section": "", "stem": "", "text": "Wash your hands."}]
    message = {"summary": {"audience": "Nurses, Porters"}, "passages": passages}

    assert actors(json.dumps(message)) == ["You"]


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        ("If the bell rings, staff must leave.", ["Leave."]),
        ("If the bell rings, doors must be shut.", ["Doors must be shut."]),
        ("If a bell rings, it must be stopped.", ["If a bell rings, it must be stopped."]),
        ("In a drought, staff must save water.", ["In a drought, save water."]),
        ("Note: staff must save water.", ["Save water."]),
        ("Staff must check whether guests may enter.", ["Check whether guests may enter."]),
        ("Staff must rest, but may walk.", ["Staff must rest, but may walk."]),
        ("Nurses must call or must write.", ["Nurses must call or must write."]),
        (
            "Nurses may keep a list if the line is dead, but must sign it.",
            [
                "Nurses may keep a list if the line is dead, but must sign it.",
                "Nurses may keep a list if the line is dead.",
            ],
        ),
        (
            "Keys must never be lent and must be kept.",
            ["Keys must be kept.", "Keys must never be lent."],
        ),
        (
            "Nurses must count the pills and must sign the list.",
            ["Count the pills.", "Sign the list."],
        ),
        (
            "Nurses must read, must sign and must file it.",
            ["Nurses must read, must sign and must file it."],
        ),
        (
            "Nurses should note and must report faults.",
            ["Report faults.", "Nurses should note and must report faults."],
        ),
        (
            "Under no circumstances may an employee lend keys.",
            ["Under no circumstances may an employee lend keys."],
        ),
    ],
)
def test_an_item_says_its_own_duty_and_the_whole_sentence_only_where_it_must(text, actions):
    assert [action for (action,) in said(text, "action")] == actions


@pytest.mark.parametrize(
    "unit",
    ["must and ", "they must, and ", "if it, the nurse must ", "by the by ", "— must — ", "a-"],
)
def test_hostile_sentences_cost_linear_time(unit):
    text, quarter = unit * 20_000, unit * 5_000

    assert cpu_seconds(find_duties, text) < 8 * cpu_seconds(find_duties, quarter) + 0.1
