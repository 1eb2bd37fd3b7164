"""A checklist in another language: judged by what is written the same in every language."""

import asyncio
import json
import time

import pytest

from llm import chain
from llm.calls import How
from llm.result import build_result
from tests.llm.conftest import make_client
from tests.llm.test_lying_model import EMPTY, QUOTES, SOURCE, TRUE, item

GERMAN = [
    item("Kühlraum bei höchstens 5 °C halten", QUOTES[0], actor="Küchenpersonal"),
    item("Das Thermometer alle 4 Stunden prüfen", QUOTES[1], actor="Küchenpersonal"),
    item("Rohes Fleisch nicht über verzehrfertigen Speisen lagern", QUOTES[2], "must_not"),
    item("Das Protokoll innerhalb von 7 Tagen durchsehen", QUOTES[3], "should", "Küchenchef"),
    item("Gäste dürfen die Küche besuchen", QUOTES[5], "may", "Gäste", "nur mit Zustimmung"),
]
SPANISH = item("Mantenga la cámara fría a 5 °C o menos", QUOTES[0], actor="El personal")
JAPANESE = item("冷蔵室を5 °C以下に保つ", QUOTES[0], actor="厨房職員")


def flags(items, language, source=SOURCE):
    result = build_result(source, EMPTY, {"items": items}, {}, language=language)
    return [[flag["kind"] for flag in item["flags"]] for item in result["checklist"]]


@pytest.mark.parametrize(
    ("items", "language"),
    [(GERMAN, "de"), (GERMAN, "de-AT"), ([SPANISH], "es"), ([JAPANESE], "ja")],
)
def test_a_faithful_translation_is_not_flagged_for_its_language(items, language):
    assert flags(items, language) == [[]] * len(items)


def test_the_same_items_are_flagged_where_nobody_asked_for_another_language():
    assert all(flags(GERMAN, ""))
    assert all(flags(GERMAN, "en"))


@pytest.mark.parametrize(
    ("lie", "kind"),
    [
        (item("Kühlraum bei höchstens 8 °C halten", QUOTES[0]), "number"),
        (item("Kühlraum kühl halten", QUOTES[0]), "number"),
        (item("Kühlraum bei höchstens 5 °F halten", QUOTES[0]), "unit"),
        (item("Kühlraum bei höchstens 5 °C halten", QUOTES[0], "should"), "modal"),
        (item("Rohes Fleisch über den Speisen lagern", QUOTES[2], "must_not"), "negation"),
        (item("Rohes Fleisch über den Speisen lagern", QUOTES[2], "must"), "modal"),
        (item("Kühlraum nicht bei 5 °C halten", QUOTES[0]), "negation"),
        (item("Kühlraum bauen", QUOTES[6]), "modal"),
        (item("Alle 4 Stunden prüfen " * 90, QUOTES[1]), "invented"),
    ],
)
def test_what_is_lost_in_translation_is_flagged(lie, kind):
    assert kind in flags([lie], "de")[0]


def test_an_item_in_the_sources_language_after_all_is_judged_word_by_word():
    lies = [
        item("Keep the cold room at 5 °C or above", QUOTES[0]),
        item("Hire a pastry cook who is the best of them all", QUOTES[0], actor="The owner"),
        item("Visit the kitchen", QUOTES[5], "may", "Guests"),
        item("Let them all in at any of the doors", QUOTES[4], "may", "Staff"),
    ]

    assert flags(TRUE, "de") == [[]] * len(TRUE)
    assert all(flags(lies, "de"))


@pytest.mark.parametrize(
    ("said", "translated"),
    [
        ("Give 0.5 mg.", "Gib 0,5 mg."),
        ("Keep 1,000 kg ready.", "Halte 1.000 kg bereit."),
        ("Keep below < 10 kg.", "Halte < 10 kg."),
    ],
)
def test_figures_may_be_written_as_the_language_does(said, translated):
    assert flags([item(translated, said, passage=1)], "de", said) == [[]]


@pytest.mark.parametrize(
    ("said", "translated", "kind"),
    [
        ("Give 1.5 mg.", "Gib 15 mg.", "number"),
        ("Give 0.5 mg.", "Gib 0,5 g.", "unit"),
        ("Keep below < 10 kg.", "Halte > 10 kg.", "comparison"),
        ("Give 5 mg and wait 10 min.", "Gib 5 mg und warte 20 min.", "number"),
    ],
)
def test_figures_must_stay_what_they_are(said, translated, kind):
    assert kind in flags([item(translated, said, passage=1)], "de", said)[0]


def test_an_unsupported_translation_is_unsupported():
    lie = item("Kühlraum bei 5 °C halten", "Den Kühlraum bei 5 °C halten.")

    result = build_result(SOURCE, EMPTY, {"items": [lie]}, {}, language="de")

    assert not result["checklist"][0]["supported"]


@pytest.mark.parametrize("language", ["", "de"])
def test_the_model_is_told_the_language_and_the_prompt_explains_it(offline, language):
    seen, original = [], offline.stage.open_call
    offline.stage.open_call = lambda step, label, said: (
        seen.append(said) or original(step, label, said)
    )

    async def both():
        client, how = make_client(offline.url), How(language)
        until = time.monotonic() + 10
        first = await chain.summarize_guidelines(client, SOURCE, deadline=until, how=how)
        await chain.generate_checklist(client, SOURCE, first.value, deadline=until, how=how)
        await client.aclose()

    asyncio.run(both())

    assert [json.loads(said.user).get("language", "") for said in seen] == [language] * 2
    assert all('"language", where it is there' in said.system for said in seen)
