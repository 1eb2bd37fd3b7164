"""A revision: what has not changed keeps its items, and no model is asked about it."""

import asyncio
import json
import time

import pytest

from llm import chain
from llm.diff import Version, diff
from llm.passages import split_passages
from llm.result import build_result
from llm.revision import NOTHING, Kept, keep
from tests.llm.conftest import GUIDELINES, make_client, run_chain

SAMPLE = """# Ward policy

## Hands

Staff must wash their hands for 20 seconds. Visitors should wear a mask.

All nurses must:

- check the name band of the patient
- report each fall within 24 hours
- lock the drug cabinet

## Waste

Cleaners must empty the bins twice a day. The bins must not be overfilled.

Porters should wear gloves.

| Colour | Content | Rule |
| --- | --- | --- |
| yellow | infectious waste | The bag must be sealed within 2 hours. |
| black | paper | The bag should be collected weekly. |

## Visits

Visitors must leave by 20:00.
"""

EDITS = {
    "a number": ("for 20 seconds", "for 40 seconds"),
    "must to should": ("The bins must not be overfilled.", "The bins should not be overfilled."),
    "a sentence deleted": ("Visitors should wear a mask.", ""),
    "a sentence at the start of a section": (
        "## Hands\n\n",
        "## Hands\n\nDoctors must remove their rings before each shift begins.\n\n",
    ),
    "an item of a list": (
        "- report each fall",
        "- hand over every patient in person\n- report each fall",
    ),
    "a row of a table": ("sealed within 2 hours", "sealed within 3 hours"),
}


@pytest.fixture
def heard(offline, monkeypatch):
    """The texts of the passages that the model was asked about, by step."""
    asked = {"summary": [], "checklist": []}
    original = offline.stage.open_call

    def open_call(step, label, messages):
        asked[step] += [p["text"] for p in json.loads(messages.user)["passages"]]
        return original(step, label, messages)

    monkeypatch.setattr(offline.stage, "open_call", open_call)
    return asked


def revise(url, source, kept):
    async def work():
        client, deadline = make_client(url), time.monotonic() + 60
        try:
            one = await chain.summarize_guidelines(client, source, deadline=deadline, kept=kept)
            two = await chain.generate_checklist(
                client, source, one.value, deadline=deadline, kept=kept
            )
        finally:
            await client.aclose()
        return build_result(source, one.value, two.value, {"summary": one.provenance})

    return asyncio.run(work())


def edited(source, *names):
    for name in names:
        old, new = EDITS[name]
        assert source.count(old) == 1
        source = source.replace(old, new)
    return source


def items_of(result):
    """What a run says, whoever said it: without where it stands."""
    return [
        {**item, "citations": [(c["quote"], c["section"], c["match"]) for c in item["citations"]]}
        for item in result["checklist"]
    ]


def counts(found):
    return found["items"]["counts"] | {"statements": found["statements"]["counts"]}


def changes(found):
    """Added and removed actions, and what changed of the others."""
    return (
        [item["action"] for item in found["items"]["added"]],
        [item["action"] for item in found["items"]["removed"]],
        [
            {name: (field["before"], field["after"]) for name, field in pair["fields"].items()}
            for pair in found["items"]["changed"]
        ],
    )


# --- The ids ----------------------------------------------------------------------------------


def test_an_item_keeps_its_id_wherever_its_sentence_goes(offline):
    before = run_chain(offline.url, SAMPLE)

    moved = run_chain(offline.url, "# Preface\n\nThis text is new.\n\n" + SAMPLE)
    wrapped = run_chain(offline.url, SAMPLE.replace("hands for", "hands\nfor"))

    ids = [item["id"] for item in before["checklist"]]
    assert [item["id"] for item in moved["checklist"]] == ids
    assert [item["id"] for item in wrapped["checklist"]] == ids
    assert len(set(ids)) == len(ids)


def test_the_same_sentence_at_two_places_makes_one_item_and_the_map_names_it_for_both(offline):
    source = "# A\n\nStaff must rest.\n\n# B\n\nStaff must rest.\n"

    result = run_chain(offline.url, source)

    [item] = result["checklist"]
    assert len(item["citations"]) == 2
    assert [entry["items"] for entry in result["coverage"]["covered_by"]] == [[item["id"]]] * 2


# --- What is kept -------------------------------------------------------------------------------


def test_nothing_is_asked_about_a_text_that_has_not_changed(offline, heard):
    before = run_chain(offline.url, SAMPLE)
    offline.stage.reset()

    after = revise(offline.url, SAMPLE, keep(SAMPLE, before, SAMPLE))

    assert offline.stage.ledger() == []
    assert after["checklist"] == before["checklist"]
    assert after["summary"] == before["summary"]
    assert after["coverage"] == before["coverage"]


ASKED = {
    "a number": ["Staff must wash their hands for 40 seconds. Visitors should wear a mask."],
    "must to should": [
        "Cleaners must empty the bins twice a day. The bins should not be overfilled."
    ],
    "a sentence deleted": ["Staff must wash their hands for 20 seconds."],
    "a sentence at the start of a section": [
        "Doctors must remove their rings before each shift begins."
    ],
    "an item of a list": ["All nurses must:", "hand over every patient in person"],
    "a row of a table": ["yellow | infectious waste | The bag must be sealed within 3 hours."],
}


@pytest.mark.parametrize("name", EDITS)
def test_only_what_an_edit_touches_is_asked_and_the_rest_is_as_if_all_had_been(
    name, offline, heard
):
    before, new = run_chain(offline.url, SAMPLE), edited(SAMPLE, name)
    in_full = run_chain(offline.url, new)
    for asked in heard.values():
        asked.clear()

    after = revise(offline.url, new, keep(SAMPLE, before, new))

    assert heard["summary"] == ASKED[name]
    assert heard["checklist"] == ASKED[name]
    assert items_of(after) == items_of(in_full)
    assert after["coverage"] == in_full["coverage"]
    assert after["summary"]["statements"] == in_full["summary"]["statements"]


def test_a_heading_with_a_new_name_asks_about_all_below_it(offline, heard):
    before, new = run_chain(offline.url, SAMPLE), SAMPLE.replace("## Visits", "## Visiting hours")
    for asked in heard.values():
        asked.clear()

    after = revise(offline.url, new, keep(SAMPLE, before, new))

    assert heard["checklist"] == ["Visitors must leave by 20:00."]
    found = diff(Version(SAMPLE, before), Version(new, after))
    assert counts(found)["same"] == len(before["checklist"]) - 1
    assert changes(found) == ([], [], [{"category": ("Visits", "Visiting hours")}])
    assert after["checklist"][-1]["citations"][0]["section"] == "Ward policy > Visiting hours"


def test_the_first_capital_words_of_rfc_2119_keep_nothing(offline):
    before = run_chain(offline.url, SAMPLE)
    capitals = SAMPLE + "\nStaff MUST rest. They MUST eat. They MUST NOT run. They MAY talk.\n"
    capitals += "\nNurses MUST sit. Nurses SHALL sleep. Nurses SHOULD NOT leave. It is OPTIONAL.\n"
    capitals += "\nAll SHALL do it. All SHALL try.\n"

    assert keep(SAMPLE, before, capitals) == NOTHING


def test_a_quote_that_was_nowhere_is_not_taken_over_and_what_it_stood_beside_is_asked_again():
    source = "# A\n\nStaff must rest.\n\nNurses must eat.\n"
    result = built(
        source,
        [item("Rest", (2, "Staff must rest."), (2, "Nobody has said this sentence.")),
         item("Eat", (3, "Nurses must eat.")), item("Lost", (2, "Nor has anybody said this."))],
    )  # fmt: skip

    kept = keep(source, result, source)

    assert [entry["action"] for entry in kept.items] == ["Eat"]
    assert 2 not in kept.passages
    assert 3 in kept.passages


def test_what_cites_a_changed_passage_takes_the_other_passages_it_cites_along():
    old = "# A\n\nStaff must rest.\n\nNurses must eat.\n\nDoctors must sleep.\n"
    new = old.replace("eat", "drink")
    both = item("Rest and eat", (2, "Staff must rest."), (3, "Nurses must eat."))
    alone = item("Rest", (2, "Staff must rest."))
    apart = item("Sleep", (4, "Doctors must sleep."))

    kept = keep(old, built(old, [both, alone, apart]), new)

    # `alone` as well: it would be said a second time, in other words perhaps.
    assert [entry["action"] for entry in kept.items] == ["Sleep"]
    assert kept.passages == {1, 4}


def test_a_quote_over_two_passages_holds_while_nothing_comes_between_them():
    old = "# A\n\nStaff must rest.\n\nNurses must eat.\n"
    whole = item("Do both", (2, "Staff must rest.\n\nNurses must eat."))
    result = built(old, [whole])

    same = keep(old, result, "# A\n\nAll is new here.\n\nStaff must rest.\n\nNurses must eat.\n")
    split = keep(old, result, "# A\n\nStaff must rest.\n\nAll is new.\n\nNurses must eat.\n")

    assert [entry["citations"][0]["passage"] for entry in same.items] == [3]
    assert split == NOTHING


def test_passages_that_are_alike_are_the_same_in_their_order():
    old = "# A\n\nStaff must rest.\n\nOther words.\n\nStaff must rest.\n"
    first = item("Rest", (2, "Staff must rest."))
    second = item("Rest again", (4, "Staff must rest."))

    kept = keep(old, built(old, [first, second]), "# A\n\nIt is new.\n\n" + old[5:])

    assert [entry["citations"][0]["passage"] for entry in kept.items] == [3, 5]


def test_what_the_summary_took_word_for_word_from_a_text_that_is_gone_is_read_anew():
    old = "# A\n\nThis policy covers all wards.\n\nStaff must rest.\n"
    result = built(old, [item("Rest", (3, "Staff must rest."))])
    result["summary"] |= {"title": "Of rest", "scope": "This policy covers all wards."}

    kept = keep(old, result, old.replace("all wards", "no ward"))

    assert kept.heading == {"title": "Of rest", "scope": "", "audience": ""}


def test_dropped_items_are_kept_too_so_that_they_are_dropped_again():
    source = "# A\n\nStaff must rest for 5 minutes.\n"
    doubtful = item("Rest for 9 minutes", (2, "Staff must rest for 5 minutes."))
    result = built(source, [doubtful], policy="drop")
    assert (len(result["checklist"]), len(result["dropped"])) == (0, 1)

    kept = keep(source, result, source)

    assert built(source, list(kept.items), policy="drop") == result


def test_more_is_kept_than_one_reply_may_hold(offline):
    source = "# A\n\n" + "Staff must rest.\n\n" * 60
    ids = [passage.id for passage in split_passages(source)]
    said = [{"text": f"Rest in ward {number}.", "passages": [2]} for number in range(2_100)]
    said.append({"text": "Rest everywhere.", "passages": ids})
    heading = {"title": "A", "scope": "", "audience": ""}
    kept = Kept(passages=frozenset(ids), heading=heading, statements=tuple(said))

    after = revise(offline.url, source, kept)

    assert len(after["summary"]["statements"]) == 2_101
    assert sorted(len(s["passages"]) for s in after["summary"]["statements"])[-1] == len(ids) > 50
    assert offline.stage.ledger() == []


def test_a_long_guideline_is_compared_in_no_time():
    part = (
        "## Part {0}\n\nStaff must do task {0} within {0} minutes. It is done daily.\n\n- x {0}\n\n"
    )
    old = "# All\n\n" + "".join(part.format(number) for number in range(1_200))
    assert len(old) > 90_000
    passages = [p for p in split_passages(old) if p.kind == "paragraph"]
    items = [
        item(f"Do task {p.id}", (p.id, p.text[: p.text.index(". ") + 1]))
        for p in passages[1:]
    ]  # fmt: skip
    result = built(old, items)
    new = old.replace("task 7 ", "task seven ")

    started = time.process_time()
    kept = keep(old, result, new)

    assert time.process_time() - started < 3
    assert len(kept.items) == len(items) - 1


def item(action, *citations):
    return {
        "action": action,
        "actor": "Staff",
        "level": "must",
        "category": "Work",
        "priority": "high",
        "condition": "",
        "citations": [{"passage": passage, "quote": quote} for passage, quote in citations],
    }


def built(source, items, **options):
    summary = {"title": "A", "scope": "", "audience": "", "statements": []}
    return build_result(source, summary, {"items": items}, {}, **options)


# --- A whole revision -----------------------------------------------------------------------------


def test_ten_edits_of_a_sample_are_named_and_nothing_else(offline, heard):
    before, new = run_chain(offline.url, SAMPLE), edited(SAMPLE, *EDITS)
    for asked in heard.values():
        asked.clear()

    after = revise(offline.url, new, keep(SAMPLE, before, new))

    found = diff(Version(SAMPLE, before), Version(new, after))
    added, removed, changed = changes(found)
    assert added == [
        "Remove their rings before each shift begins.",
        "Hand over every patient in person",
    ]
    assert removed == ["Wear a mask."]
    assert [sorted(fields) for fields in changed] == [
        ["action", "quotes"],
        ["action", "level", "priority", "quotes"],
        ["action", "quotes"],
    ]
    assert counts(found) == {
        "added": 2,
        "removed": 1,
        "changed": 3,
        "same": len(before["checklist"]) - 4,
        "statements": {"added": 2, "removed": 1, "changed": 3, "same": 8},
    }
    unchanged = {p.text for p in split_passages(SAMPLE)}
    assert unchanged.intersection(heard["checklist"]) == {"All nurses must:"}


NIST = GUIDELINES / "nist-sp800-63b-5-authenticators.md"
NIST_EDITS = [
    ("The salt SHALL be at least 32 bits", "The salt SHALL be at least 64 bits"),
    ("secrets SHALL have at least 20 bits of", "secrets SHOULD have at least 20 bits of"),
    ("Truncation of the secret SHALL NOT be performed. ", ""),
    (
        "Memorized secrets SHALL be at least 8 characters in length if",
        "CSPs SHALL say which languages they support.\n\n"
        "Memorized secrets SHALL be at least 8 characters in length if",
    ),
    ("3. Address any additional", "3. Ask an auditor once a year.\n\n4. Address any additional"),
    ("not completed within 10 minutes.", "not completed within 5 minutes."),
    ("Biometrics SHALL be used only as", "Biometrics SHOULD be used only as"),
    ("The biometric system SHOULD implement PAD.", "The biometric system SHALL implement PAD."),
    ("of 1 in 1000 or better", "of 1 in 10000 or better"),
]  # fmt: skip


@pytest.mark.skipif(not NIST.is_file(), reason=f"the real guidelines are not at {GUIDELINES}")
def test_nine_edits_of_a_nist_document_are_named_and_nothing_else(offline, heard):
    old = new = NIST.read_text(encoding="utf-8")
    for this, that in NIST_EDITS:
        assert new.count(this) == 1, this
        new = new.replace(this, that)
    before = run_chain(offline.url, old)
    calls = len(offline.stage.ledger())
    for asked in heard.values():
        asked.clear()

    after = revise(offline.url, new, keep(old, before, new))

    found = diff(Version(old, before), Version(new, after))
    added, removed, changed = changes(found)
    assert added == ["Say which languages they support.", "Ask an auditor once a year."]
    assert removed == ["Truncation of the secret SHALL NOT be performed."]
    edits = sorted((this, that) for this, that in NIST_EDITS[:2] + NIST_EDITS[5:])
    quotes = sorted((was[0], now[0]) for was, now in (fields["quotes"] for fields in changed))
    assert len(quotes) == len(edits)
    for this, that in edits:
        assert [1 for was, now in quotes if this in was and that in now] == [1]
    assert counts(found)["same"] == len(before["checklist"]) - 7
    assert counts(found)["statements"]["added"] == 2
    assert counts(found)["statements"]["removed"] == 1
    assert counts(found)["statements"]["changed"] == 6
    asked_again = {p.text for p in split_passages(old)}.intersection(heard["checklist"])
    assert len(heard["checklist"]) == 10
    assert len(asked_again) == 1  # what introduces the list that has a new item
    assert len(offline.stage.ledger()) == calls + 2
