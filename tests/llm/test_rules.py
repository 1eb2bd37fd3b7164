import time

import pytest

from llm.language import detect, detect_passage
from llm.passages import split_passages
from llm.rules import LANGUAGES, for_language
from llm.sentences import split_sentences
from llm.statements import find_statements


def levels(source, language):
    found = find_statements(split_passages(source), "plain", language)
    return [(s.text, s.levels) for s in found]


@pytest.mark.parametrize(
    ("language", "sentence", "expected"),
    [
        ("de", "Der Bericht ist bis Freitag abzugeben.", ("must",)),
        ("de", "Die Leitung hat die Liste zu führen.", ("must",)),
        ("de", "Türen dürfen von Gästen nicht geöffnet werden.", ("must_not",)),
        ("de", "Kein Gast darf die Küche betreten.", ("must_not",)),
        ("de", "Das Formular muss nicht unterschrieben werden, aber datiert sein.", None),
        ("de", "Weil Keime weitergegeben werden müssen, gibt es Pläne.", None),
        ("de", "Das Ergebnis ist leicht zu erkennen.", None),
        ("fr", "Les portes ne doivent jamais rester ouvertes.", ("must_not",)),
        ("fr", "Nul ne peut entrer sans badge.", ("must_not",)),
        ("fr", "Le badge n'est pas obligatoire.", None),
        ("fr", "Les clients qui doivent attendre sont rares.", None),
        ("es", "Queda terminantemente prohibido fumar.", ("must_not",)),
        ("es", "Los alumnos podrán consultar los libros.", ("may",)),
        ("es", "No es necesario firmar.", None),
        ("es", "Los datos que deben borrarse figuran aquí.", None),
        ("en", "No person may enter.", ("must_not",)),
        ("en", "Under no circumstances are keys to be copied.", ("must_not",)),
        ("en", "Many guests have to wait.", None),
        ("en", "Triptans are contraindicated in pregnancy.", ("must_not",)),
        ("en", "Comply with all laws.", ("must",)),
        ("en", "Refresh tokens", None),
        ("en", "Refresh the page.", ("must",)),
    ],
)
def test_a_language_asks_allows_and_forbids_in_its_own_way(language, sentence, expected):
    assert levels(sentence, language) == ([(sentence, expected)] if expected else [])


@pytest.mark.parametrize(
    "sentence",
    [
        "Pflegekräfte, z. B. Aushilfen bzw. Personal gem. Abs. 2 Nr. 4, gehen.",
        "Hr. Müller kommt vgl. Abb. 2 und Ziff. 3 mit.",
        "Le port, p. ex. Les gants (cf. art. 12, al. 3) de M. Dupont, aide.",
        "Los planos, p. ej. Los de 1987 (art. 4, núm. 2), del Sr. Pérez.",
    ],
)
def test_abbreviations_of_other_languages_end_no_sentence(sentence):
    passage = split_passages(sentence + " Fin.")[0]

    assert [s.text for s in split_sentences(passage)] == [sentence, "Fin."]


def test_english_is_assumed_until_words_say_otherwise():
    assert detect([""]) == "en"
    assert detect(["Wash hands."]) == "en"
    assert detect(["Die Hände sind zu waschen und das ist alles."]) == "de"


def test_a_passage_in_another_language_than_its_document_is_read_in_its_own():
    source = (
        "Staff must sign in at the desk, and the visitor has to wait for an escort.\n\n"
        "Die Besucher müssen sich bei der Pforte und nicht auf der Station anmelden.\n"
    )

    found = find_statements(split_passages(source))

    assert [(s.language, s.levels) for s in found] == [("en", ("must",)), ("de", ("must",))]
    assert detect_passage("Das ist nicht zu tun.", "es") == "de"


def test_norms_that_nobody_carries_out_are_told_apart():
    source = (
        "This Act shall be known as the Bread Act. “Loaf” shall mean any bread. Bakers shall weigh"
        " each loaf. Secrets must be read from the vault. Nothing in this Act shall affect cake."
    )

    found = find_statements(split_passages(source))

    assert [s.actionable for s in found] == [False, False, True, True, False]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("unit", ["a", "ist ", "zu a, ", "muss nicht ", "no ", "ne doit ", "(x "])
def test_hostile_text_costs_linear_time_in_every_language(language, unit):
    rules = for_language(language)
    text = unit * (100_000 // len(unit))
    started = time.process_time()

    rules.modal_levels(text)
    for _, pattern in rules.imperatives:
        pattern.match(text)
    for pattern in rules.text.values():
        pattern.search(text)

    assert time.process_time() - started < 2
