"""The repair asks once more for what is missing or in doubt, and makes nothing worse."""

import asyncio
import json
import time

import pytest

from llm import errors, limits
from llm.calls import How
from llm.repair import needs_repair, repair_checklist
from llm.result import Examined
from tests.llm.conftest import make_client
from tests.llm.test_lying_model import EMPTY, QUOTES, SOURCE, TRUE, item

WRONG = item("Keep the cold room at 8 °C or below", QUOTES[0])
INVENTED = item("Hire a pastry cook", "The kitchen must hire a pastry cook.")
OBEYED = item("Skip the checks", QUOTES[4], "may", "Staff")


def examined(items, source=SOURCE):
    return Examined.of(source, EMPTY, {"items": items})


def repaired(offline, found, *, doubtful=True, how=None):
    """What the checklist is after the repair, and the step."""
    step = asyncio.run(_repaired(offline.url, found, doubtful, how or How()))
    return found.revised(step.value).result({}), step


async def _repaired(url, found, doubtful, how):
    client = make_client(url)
    try:
        return await repair_checklist(
            client,
            found,
            deadline=time.monotonic() + 20,
            doubtful=doubtful,
            request_label="e.1.repair",
            how=how,
        )
    finally:
        await client.aclose()


def replies(offline, items=(), corrected=()):
    content = {"items": list(items), "corrected": list(corrected)}
    offline.stage.script([{"do": "reply", "step": "repair", "content": content}])


def messages(offline):
    """What each later call says, as the model reads it."""
    seen, original = [], offline.stage.open_call
    offline.stage.open_call = lambda step, label, said: (
        seen.append(json.loads(said.user)) or original(step, label, said)
    )
    return seen


def actions(result):
    return [i["action"] for i in result["checklist"]]


def doubted(result):
    return [i["action"] for i in result["checklist"] if i["flags"] or not i["supported"]]


def missing(result):
    return [entry["text"] for entry in result["coverage"]["missing"]]


def test_what_is_missing_is_asked_for_in_one_call_and_then_covered(offline):
    found, seen = examined(TRUE[:3]), messages(offline)

    result, step = repaired(offline, found)

    assert [entry["text"] for entry in seen[0]["missing"]] == [QUOTES[3], QUOTES[4], QUOTES[5]]
    assert seen[0]["doubtful"] == []
    assert missing(result) == []
    assert [i["action"] for i in result["checklist"][:3]] == [i["action"] for i in TRUE[:3]]
    assert step.usage["calls"] == 1
    assert step.provenance["prompt"] == "repair.v1"
    assert [c["client_request_id"] for c in offline.stage.ledger()] == ["e.1.repair.1"]


def test_a_checklist_without_gaps_or_doubts_needs_none():
    whole = examined([*TRUE, OBEYED])
    in_doubt = examined([*TRUE, OBEYED, WRONG])

    assert not needs_repair(whole, doubtful=False)
    assert not needs_repair(in_doubt, doubtful=False)
    assert needs_repair(in_doubt, doubtful=True)
    assert needs_repair(examined(TRUE), doubtful=False)


def test_a_passage_that_repeats_a_sentence_word_for_word_is_not_asked_about_again():
    source = "Staff must rest. Staff must rest.\n\nStaff must rest."
    one = item("Rest", "Staff must rest.", actor="Staff", passage=1)

    assert [s.passage_id for s in examined([one], source).missing()] == [2]


def test_what_is_in_doubt_is_shown_with_what_was_lost_and_put_right(offline):
    found, seen = examined([WRONG, *TRUE[1:], OBEYED]), messages(offline)
    replies(offline, corrected=[{"number": 0, "item": TRUE[0]}])

    result, _ = repaired(offline, found)

    (doubt,) = seen[0]["doubtful"]
    assert (doubt["number"], doubt["item"], doubt["not_found"]) == (0, WRONG, [])
    assert {"kind": "number", "lost": "5 °C", "found": "8 °C"} in doubt["lost"]
    assert doubted(result) == []
    assert TRUE[0]["action"] in actions(result)
    assert WRONG["action"] not in actions(result)


def test_doubts_are_not_asked_about_unless_that_is_wanted(offline):
    found, seen = examined([WRONG, *TRUE[1:]]), messages(offline)

    result, _ = repaired(offline, found, doubtful=False)

    assert seen[0]["doubtful"] == []
    assert doubted(result) == [WRONG["action"]]


@pytest.mark.parametrize(
    "lie",
    [
        item("Keep the cold room at 9 °C or below", QUOTES[0]),
        item("Keep the cold room at 5 °C or above", QUOTES[0], "may", "Guests"),
        item("Keep the cold room warm", "The cold room must be kept warm."),
        {**TRUE[0], "citations": []},
        TRUE[2],  # faithful, but about something else: the cold room would be covered no more
    ],
)
def test_a_repair_that_is_no_better_is_not_taken(offline, lie):
    found = examined([WRONG, *TRUE[1:], OBEYED])
    replies(offline, corrected=[{"number": 0, "item": lie}])

    result, _ = repaired(offline, found)

    assert doubted(result) == [WRONG["action"]]
    assert len(result["checklist"]) == len(TRUE) + 1
    assert missing(result) == []


@pytest.mark.parametrize("number", [-1, 1, 4, 99])
def test_an_item_that_was_not_in_doubt_cannot_be_replaced(offline, number):
    found = examined([WRONG, *TRUE[1:], OBEYED])
    replies(offline, corrected=[{"number": number, "item": INVENTED}])

    result, _ = repaired(offline, found)

    assert actions(result) == [
        WRONG["action"],
        *(i["action"] for i in [*TRUE[1:4], OBEYED, TRUE[4]]),
    ]


def test_invented_items_and_items_that_nobody_asked_for_are_left_out(offline):
    found = examined(TRUE[:3])
    half = {**TRUE[3], "citations": [*TRUE[3]["citations"], *INVENTED["citations"]]}
    replies(offline, items=[INVENTED, {**INVENTED, "citations": []}, WRONG, TRUE[1], half])

    result, _ = repaired(offline, found)

    assert actions(result) == [i["action"] for i in TRUE[:3]]
    assert missing(result) == [QUOTES[3], QUOTES[4], QUOTES[5]]


def test_an_answer_that_lies_about_a_missing_statement_is_flagged(offline):
    found = examined([*TRUE[:3], OBEYED])
    lie = item("Review the log within 70 days", QUOTES[3], "should", "The head chef")
    replies(offline, items=[lie])

    result, _ = repaired(offline, found)

    assert doubted(result) == [lie["action"]]


def test_instructions_in_the_text_that_the_repair_obeys_are_flagged_or_missing(offline):
    found = examined(TRUE)
    replies(offline, items=[item("Delete the log and lock the kitchen", QUOTES[4], "may")])

    result, _ = repaired(offline, found)

    assert doubted(result) == ["Delete the log and lock the kitchen"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [("refuse", "llm_refused"), ("truncate", "llm_truncated"), ("filter", "llm_filtered")],
)
def test_a_repair_that_is_declined_leaves_the_checklist_as_it_was(offline, fault, code):
    found = examined(TRUE[:3])
    offline.stage.script([{"do": fault, "step": "repair"}])

    result, step = repaired(offline, found)

    assert actions(result) == [i["action"] for i in TRUE[:3]]
    assert step.provenance["failed"] == code
    assert step.usage["calls"] == 0


@pytest.mark.parametrize("fault", ["html", "bad_json", "schema_break", "empty_choices"])
def test_what_is_no_repair_is_refused(offline, fault):
    offline.stage.script([{"do": fault, "step": "repair"}])

    with pytest.raises(errors.InvalidOutput):
        repaired(offline, examined(TRUE[:3]))


def test_ten_megabytes_of_repairs_are_refused(offline):
    replies(offline, items=[item(f"Keep it {n}", QUOTES[0] * 40) for n in range(4000)])

    with pytest.raises(errors.InvalidOutput):
        repaired(offline, examined(TRUE[:3]))


def test_what_does_not_fit_into_a_few_calls_stays_missing_and_the_binding_comes_first(offline):
    """Twelve calls' worth of statements: a third of the parts bind, and those are asked for."""
    part = "# Part {0}\n\n" + "Staff {1} do task {0}. " + "Filler text stands here. " * 400
    levels = ["should", "must", "may"]
    source = "\n\n".join(part.format(n, levels[n % 3]) for n in range(12))

    result, step = repaired(offline, examined([], source))

    assert step.usage["calls"] == limits.MAX_REPAIRS == 4
    assert result["coverage"]["must_covered"] == result["coverage"]["must"] == 4
    assert len(missing(result)) == 8


def test_the_statement_of_a_passage_in_parts_is_asked_for_with_its_own_part(offline):
    source = " ".join(f"Staff must do task number {number}." for number in range(1_000))

    result, step = repaired(offline, examined([], source))

    assert step.usage["calls"] == 3
    assert missing(result) == []


def test_progress_is_told(offline):
    told = []

    async def note(done, total):
        told.append((done, total))

    repaired(offline, examined(TRUE[:3]), how=How(on_progress=note))

    assert told == [(0, 3), (3, 3)]
