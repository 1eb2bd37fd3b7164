import gc
import time

import pytest

from llm.meaning import Cited, Context, check
from llm.meaning.clauses import parse
from llm.meaning.quantities import find_quantities
from llm.meaning.words import readable

GERMAN = "Die Hände sind mindestens 30 Sekunden lang zu waschen."
FRENCH = "Les freins doivent être testés au moins deux fois par an."
SPANISH = "El personal debe guardar los libros durante 15 días."


def kinds(action, source, *, level="must", actor="You", condition="", levels=("must",), **more):
    cited = Cited(source, levels, more.get("stem", ""), more.get("section", ""))
    context = Context(nearby=more.get("nearby", ""))
    return [flag.kind for flag in check(action, actor, level, condition, [cited], context)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("fifteen minutes", "15 min"),
        ("120 minutes", "2 h"),
        ("half an hour", "30 min"),
        ("0.5 mg/kg", "0.5 mg per kg"),
        ("EUR 10,000", "10 000 €"),
        ("85 %", "85 percent"),
        ("75 °C", "75 degrees Celsius"),
        ("every year", "annually"),
        ("every 12 months", "yearly"),
        ("twice", "2 times"),
        ("at least 8 characters", "no fewer than eight characters"),
        ("at least 8 characters", "8 or more characters"),
        ("up to 3 days", "at most three days"),
        ("more than 5 kg", "over 5 kg"),
        ("2–8 °C", "between 2 °C and 8 °C"),
        ("８ characters", "8 characters"),
    ],
)
def test_quantities_are_compared_by_value_unit_and_comparison(one, other):
    found = [
        [(q.value, q.dimension, q.comparison) for q in find_quantities(readable(text))]
        for text in (one, other)
    ]

    assert found[0] == found[1] != []


@pytest.mark.parametrize(
    "text", ["the first shift", "1. Wash hands", "one of them", "5.1.1.2 Verifiers", "no one"]
)
def test_what_only_looks_like_a_quantity_is_none(text):
    assert [q for q in find_quantities(text) if not q.is_soft] == []


@pytest.mark.parametrize("text", ["see Section 4", "as in Table 7", "RFC 20 characters"])
def test_an_item_may_leave_out_a_reference_but_not_bring_in_another(text):
    source = f"Keep the file, {text}."

    assert kinds("Keep the file", source) == []
    assert "number" in kinds("Keep the file, see Section 9", source)


def test_a_sentence_of_two_requirements_does_not_accuse_the_item_of_one():
    source = "Staff should wash hands within 5 minutes and must not touch the 3 red boxes."
    levels = ("should", "must_not")

    wash = kinds(
        "Wash hands within 5 minutes", source, level="should", actor="Staff", levels=levels
    )
    touch = kinds(
        "Do not touch the three red boxes", source, level="must_not", actor="Staff", levels=levels
    )

    assert wash == touch == []


def test_a_number_of_the_other_half_is_noticed():
    source = "Staff should wash hands within 5 minutes and must keep 3 red boxes."

    flags = kinds(
        "Wash hands within 3 minutes",
        source,
        level="should",
        actor="Staff",
        levels=("should", "must"),
    )

    assert flags


@pytest.mark.parametrize(
    ("action", "source"),
    [
        ("See a doctor", "Rinse them with water for at least 15 min and see a doctor."),
        ("Test plans every 2 years", "Plans must be tested every two years and updated when used."),
        ("Work in pairs", "Work shall be carried out by two people."),
        ("Check it at least every 6 months", "Check it at intervals of no more than six months."),
        ("Delete it within 72 hours", "Delete it after 72 hours at the latest."),
        ("Stop the pump", "Stop the pump and, if it rings, call the guard."),
    ],
)
def test_what_belongs_to_the_other_half_or_is_said_otherwise_is_not_lost(action, source):
    assert kinds(action, source) == []


@pytest.mark.parametrize(
    ("action", "source", "expected"),
    [
        ("Hände mindestens 30 Sekunden waschen", GERMAN, []),
        ("Hände wenigstens dreißig Sekunden waschen", GERMAN, []),
        ("Hände höchstens 30 Sekunden waschen", GERMAN, ["comparison"]),
        ("Hände mindestens 30 Minuten waschen", GERMAN, ["unit"]),
        ("Hände nicht mindestens 30 Sekunden waschen", GERMAN, ["comparison", "negation"]),
        ("Tester les freins au moins deux fois par an", FRENCH, []),
        ("Ne pas tester les freins au moins deux fois par an", FRENCH, ["comparison", "negation"]),
        ("Guardar los libros durante quince días", SPANISH, []),
        ("Guardar los libros durante 15 semanas", SPANISH, ["unit"]),
    ],
)
def test_small_words_of_other_languages_decide_as_the_english_ones_do(action, source, expected):
    assert kinds(action, source) == expected


def test_a_condition_without_a_marker_may_be_reworded_but_not_lost():
    source = "You may start oxygen in an emergency."

    assert kinds("Start oxygen in emergencies", source, level="may", levels=("may",)) == []
    lost = kinds("Start oxygen", source, level="may", levels=("may",))
    assert lost == ["condition"]


def test_numbers_that_change_places_are_noticed():
    source = "Cool food from 60 °C to 10 °C within 2 hours."

    assert kinds("Cool food from 60 °C to 10 °C within two hours", source) == []
    assert "number" in kinds("Cool food from 10 °C to 60 °C within two hours", source)


@pytest.mark.parametrize(
    ("action", "level", "source", "levels"),
    [
        ("Do not give more than 4 g", "must_not", "The dose must not exceed 4 g.", ("must",)),
        (
            "Give a dose of at most 4 g",
            "must",
            "The dose must not exceed 4 g.",
            ("must", "must_not"),
        ),
        ("Enter only with a badge", "must", "Do not enter without a badge.", ("must_not", "must")),
        ("Disable ports that are not used", "must", "Disable unused ports.", ("must",)),
        ("Keep the door closed", "must", "The door must not be opened.", ("must_not", "must")),
    ],
)
def test_other_ways_of_negating_are_the_same(action, level, source, levels):
    found = kinds(action, source, level=level, levels=levels)

    assert "negation" not in found
    assert "comparison" not in found


def test_strength_comes_from_the_introduction_of_a_list():
    stem = "All staff should:"

    assert kinds("Rest", "rest", level="should", levels=("should",), stem=stem) == []
    assert "modal" in kinds("Rest", "rest", level="must", levels=("should",), stem=stem)


def test_a_sentence_that_only_describes_supports_no_requirement():
    assert "modal" in kinds("File the results daily", "The results are filed daily.", levels=())


def test_an_actor_may_be_named_with_what_makes_it_one():
    source = "Any reader who damages a book must pay for it."

    assert kinds("Pay for it", source, actor="Any reader who damages a book") == []
    assert kinds("Pay for it", source, actor="Any porter who damages a book") == ["actor"]


def test_whom_an_order_tells_something_is_not_who_tells():
    source = "The porter must tell visitors that they must sign in."

    assert kinds("Tell visitors that they must sign in", source, actor="The porter") == []


@pytest.mark.parametrize(
    ("actor", "source"),
    [
        ("You", "The pharmacist must count the pills."),
        ("You", "The pills are to be counted by the pharmacist."),
        ("You", "The pills are to be counted by the facilities team."),
        ("But", "The porter may wait, but must count the pills."),
        ("The porter should wait and", "The porter should wait and must count the pills."),
        ("To which the porter", "This is the bay, to which the porter must count the pills."),
    ],
)
def test_a_piece_of_a_sentence_is_nobody_and_you_are_not_whom_the_source_names(actor, source):
    assert kinds("Count the pills", source, actor=actor) == ["actor"]


@pytest.mark.parametrize(
    "source",
    [
        "All staff must count the pills.",
        "The team must count the pills.",
        "Guests must count the pills.",
        "The pills are to be counted.",
        "The pills are to be counted by Monday.",
        "Count the pills.",
    ],
)
def test_you_may_be_whoever_reads(source):
    assert kinds("Count the pills", source) == []


def test_you_may_be_the_audience():
    cited = Cited("The pharmacist must count the pills.", ("must",))

    assert check("Count the pills", "You", "must", "", [cited], Context("Pharmacists")) == []


def test_an_actor_may_be_named_nearby_if_the_sentence_names_none():
    source = "The form must be signed."

    assert kinds("Sign the form", source, actor="Nurses", nearby="For nurses.") == []
    assert kinds("Sign the form", source, actor="Nurses") == ["actor"]
    assert "actor" in kinds("Sign", "Doctors must sign.", actor="Nurses", nearby="For nurses.")


def test_nothing_cited_is_nothing_to_compare_with():
    assert check("Wash hands", "You", "must", "", []) == []


def test_conditions_hang_on_the_clause_before_them_and_leading_ones_on_all():
    text = "If it rings, open the door and call the guard unless it is night."
    found = [
        (clause.text, [part.text for part in clause.conditions]) for clause in parse(text).clauses
    ]

    assert found == [
        ("open the door", ["it rings"]),
        ("call the guard", ["it is night", "it rings"]),
    ]


HOSTILE = [
    "a" * 50_000,
    "1 " * 25_000,
    "1,000" * 10_000,
    "not " * 12_000,
    "if " * 16_000,
    "only " * 10_000,
    ", and must " * 4_500,
    "at least " * 5_500,
    "of of the " * 5_000,
    "every each per " * 3_300,
    "x-" * 25_000,
    "twenty-" * 7_000,
    "(" * 50_000,
    "5 mg/" * 10_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12])
def test_hostile_text_costs_linear_time(text):
    """Four times the text, about four times the work; quadratic would be sixteen times. CPU time,
    both here."""
    quarter = text[: len(text) // 4]

    for read in (find_quantities, parse):
        assert cpu_seconds(read, text) < 8 * cpu_seconds(read, quarter) + 0.1


def cpu_seconds(read, text):
    """The least of three: what else the machine does only adds. Without the collector, which would
    walk through all that the tests of before have left."""
    times = []
    gc.disable()
    try:
        for _ in range(3):
            started = time.process_time()
            read(text)
            times.append(time.process_time() - started)
    finally:
        gc.enable()
    return min(times)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12])
@pytest.mark.parametrize("length", [660, 3_300, 100_000])
def test_a_check_costs_less_than_50_ms_however_hostile_its_texts_are(text, length):
    part = text[:length]
    plain = Cited("Wash hands.", ("must",))

    item = cpu_seconds(lambda _: check(part, part, "must", part, [plain]), part)
    cited = cpu_seconds(lambda _: check("Wash", "You", "must", "", [Cited(part)] * 3), part)
    near = cpu_seconds(
        lambda _: check("Wash", "Cooks", "must", "", [plain], Context(part, part)), part
    )

    assert max(item, cited, near) < 0.05


def test_what_is_too_much_to_compare_is_flagged():
    assert kinds("Wash hands " * 200, "Wash hands.") == ["invented"]
    assert kinds("Wash hands", "Wash hands. " * 900) == ["citation"]
    assert kinds("Wash hands", "Wash hands. " + "1 " * 300) == ["citation"]
