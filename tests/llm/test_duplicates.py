"""Items that say the same are one; items that differ in anything that matters are not."""

import pytest

from llm.duplicates import merged


def item(id="a", start=0, **changes):
    base = {
        "id": id,
        "action": "Wash hands for 30 seconds",
        "actor": "Staff",
        "level": "must",
        "category": "Hygiene",
        "priority": "medium",
        "condition": "",
        "citations": [{"start": start, "end": start + 20, "quote": "Staff must wash ..."}],
        "supported": True,
        "flags": [],
    }
    return {**base, **changes}


def starts(one):
    return [citation["start"] for citation in one["citations"]]


def test_the_same_action_from_two_places_is_one_item_that_cites_both():
    same = item("b", 500, action="wash  hands for 30 seconds.", actor="staff", priority="high")

    (one,) = merged([item(), same])

    assert (one["id"], one["action"]) == ("a", "Wash hands for 30 seconds")
    assert starts(one) == [0, 500]
    assert one["priority"] == "high"


def test_the_same_place_in_other_words_is_one_item():
    (one,) = merged([item(), item("b", action="Wash your hands for 30 seconds")])

    assert starts(one) == [0]


@pytest.mark.parametrize(
    "other",
    [
        {"action": "Wash hands for 300 seconds"},
        {"action": "Wash hands for 30.5 seconds"},
        {"action": "Do not wash hands for 30 seconds"},
        {"level": "should"},
        {"level": "must_not"},
        {"actor": "Visitors"},
        {"condition": "if they are dirty"},
        {"action": "Dry hands for 30 seconds"},
    ],
)
def test_what_differs_stays_apart_even_where_the_citation_is_the_same(other):
    both = [item(), item("b", **other)]

    assert merged(both) == both


@pytest.mark.parametrize("other", [{"flags": [{"kind": "number"}]}, {"supported": False}])
def test_what_is_in_doubt_is_merged_with_its_own_copy_alone(other):
    doubtful = item("b", 500, **other)

    assert merged([item(), doubtful, doubtful]) == [item(), doubtful]


def test_a_third_may_resemble_either():
    items = [
        item("a", 0),
        item("b", 500),
        item("c", 500, action="Wash your hands for 30 seconds"),
        item("d", 0, action="Wash all hands for 30 seconds"),
        item("e", 900, action="Rest"),
    ]

    found = merged(items)

    assert [one["id"] for one in found] == ["a", "e"]
    assert starts(found[0]) == [0, 500]


def test_nothing_is_lost_and_what_came_in_is_not_changed():
    items = [item(), item("b", 500)]

    merged(items)

    assert items == [item(), item("b", 500)]
    assert merged([]) == []
