"""Two results side by side."""

import random
import time

import pytest

from llm.diff import SIMILAR, Version, diff


def item(quote, *, id="", at=0, action="", **fields):
    citation = {"start": at, "end": at + len(quote), "quote": quote}
    return {
        "id": id or quote,
        "action": action or quote,
        "actor": "Staff",
        "level": "must",
        "category": "Work",
        "priority": "high",
        "condition": "",
        "flags": [],
        "citations": [citation] if quote else [],
    } | fields


def version(*items, source="", **coverage):
    nothing = {"covered_by": [], "missing": [], "not_actionable": []}
    return Version(source, {"checklist": list(items), "coverage": nothing | coverage})


def compared(before, after):
    return diff(version(*before), version(*after))["items"]


def pairs(found):
    return [(pair["before"]["id"], pair["after"]["id"]) for pair in found["changed"]]


def test_the_same_id_is_the_same_wherever_it_stands():
    found = compared([item("Rest.", at=5), item("Eat.")], [item("Eat."), item("Rest.", at=90)])

    assert found["counts"] == {"added": 0, "removed": 0, "changed": 0, "same": 2}
    assert found["same"] == ["Eat.", "Rest."]


def test_the_same_item_of_which_something_else_is_said_has_changed_in_just_that():
    found = compared([item("Rest.")], [item("Rest.", actor="Nurses", priority="low")])

    assert found["changed"][0]["fields"] == {
        "actor": {"before": "Staff", "after": "Nurses"},
        "priority": {"before": "high", "after": "low"},
    }
    assert found["changed"][0]["similarity"] == 1.0


def test_another_item_of_the_same_sentence_is_the_item_changed():
    quote = "Staff must disinfect their hands before they touch a patient."
    before = item(quote, id="a", action="Disinfect your hands")
    after = item(quote, id="b", action="Clean hands first", level="should")

    found = compared([before], [after])

    assert pairs(found) == [("a", "b")]
    assert set(found["changed"][0]["fields"]) == {"action", "level"}


def test_an_edited_sentence_is_found_wherever_it_was_moved():
    others = [item(f"Sentence {word} stands here.") for word in ["one", "two", "three", "four"]]
    before = item("Porters must wear blue gloves in the kitchen.", id="a")
    after = item("Porters must wear red gloves in the kitchen.", id="b")

    found = compared([before, *others], [*others, after])

    assert pairs(found) == [("a", "b")]
    assert found["counts"]["same"] == 4


def test_what_has_little_in_common_is_one_item_less_and_one_more():
    before, after = item("Porters must wear gloves."), item("Visitors may enter at noon.")

    found = compared([before], [after])

    assert (found["removed"], found["added"], found["changed"]) == ([before], [after], [])


@pytest.mark.parametrize(("neighbours", "changed"), [(True, 1), (False, 0)])
def test_less_is_enough_between_the_same_two_neighbours(neighbours, changed):
    before, after = item("Nurses must rest daily."), item("Nurses must sit down.")
    first, last = item("The first of all."), item("The last of all.")
    moved = [first, after, last] if neighbours else [after, first, last]

    found = compared([first, before, last], moved)

    assert found["counts"]["changed"] == changed


def test_the_best_pair_is_made_first_and_each_item_has_one():
    near = item("Staff must wash both hands for 20 seconds at noon.", id="near")
    nearer = item("Staff must wash both hands for 30 seconds.", id="nearer")
    new = item("Staff must wash both hands for 40 seconds.", id="new")

    found = compared([near, nearer], [new])

    assert pairs(found) == [("nearer", "new")]
    assert [entry["id"] for entry in found["removed"]] == ["near"]


def test_two_levels_of_one_sentence_are_paired_by_level():
    old, new = (
        "Staff must rest and may sleep for 5 hours.",
        "Staff must rest and may sleep for 6 hours.",
    )
    before = [item(old, id=f"old {level}", level=level) for level in ("must", "may")]
    after = [item(new, id=f"new {level}", level=level) for level in ("may", "must")]

    found = compared(before, after)

    assert sorted(pairs(found)) == [("old may", "new may"), ("old must", "new must")]


def test_scripts_without_blanks_are_compared_sign_by_sign():
    before, after = (
        item("病院では手を洗うこと。", id="a"),
        item("病院では必ず手を洗うこと。", id="b"),
    )

    assert pairs(compared([before], [after])) == [("a", "b")]


def test_statements_are_compared_by_what_they_say_and_their_level():
    source = "Staff must rest. Nurses must eat by 8. Old words must go. Norm shall be."
    spans = {"rest": (0, 16), "eat": (17, 38), "old": (39, 57), "norm": (58, 72)}

    def entry(name, level="must"):
        start, end = spans[name]
        return {"start": start, "end": end, "levels": [level]}

    before = version(
        source=source,
        covered_by=[entry("rest"), entry("eat")],
        missing=[entry("old")],
        not_actionable=[entry("norm")],
    )
    other = source.replace("by 8", "by 9").replace("Old words must go", "Fresh air is a must")
    spans["old"], spans["norm"] = (39, 59), (60, 74)
    after = version(
        source=other,
        missing=[entry("rest"), entry("eat"), entry("old")],
        not_actionable=[entry("norm", "should")],
    )

    found = diff(before, after)["statements"]

    assert found["counts"] == {"added": 1, "removed": 1, "changed": 2, "same": 1}
    assert [entry["text"] for entry in found["added"]] == ["Fresh air is a must."]
    assert found["removed"] == [
        {
            "text": "Old words must go.",
            "levels": ["must"],
            "start": 39,
            "end": 57,
            "state": "missing",
        }
    ]
    assert [(p["before"]["text"], p["after"]["text"]) for p in found["changed"]] == [
        ("Nurses must eat by 8.", "Nurses must eat by 9."),
        ("Norm shall be.", "Norm shall be."),
    ]


def test_a_result_from_before_statements_were_all_named_has_none_to_compare():
    old = version(item("Rest."))
    del old.result["coverage"]["covered_by"]

    found = diff(old, version(item("Rest.")))

    assert found["statements"] is None
    assert found["items"]["same"] == ["Rest."]


def test_two_thousand_unrelated_items_are_compared_in_about_a_second():
    words = [f"word{number}" for number in range(3_000)]
    few = ["staff", "must", "do", "the", "task", "of", "each", "day"]

    def many(seed, vocabulary):
        rng = random.Random(seed)
        quotes = (" ".join(rng.choices(vocabulary, k=20)) for _ in range(2_000))
        return [item(quote, id=f"{seed}.{at}", at=at) for at, quote in enumerate(quotes)]

    for vocabulary in (words, few):
        before, after = many(1, vocabulary), many(2, vocabulary)
        started = time.process_time()

        found = compared(before, after)

        assert time.process_time() - started < 2
        counts = found["counts"]
        assert counts["removed"] + counts["changed"] == counts["added"] + counts["changed"] == 2_000
        assert all(pair["similarity"] >= 0.4 for pair in found["changed"])
    assert SIMILAR == 0.6
