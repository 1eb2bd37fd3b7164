"""Our own samples of house styles and languages, against the statements marked in them."""

from pathlib import Path

import pytest

from deploy.local.stack import ROOT
from llm.passages import split_passages
from llm.statements import find_language, find_statements
from tests.eval.gold import FOLDER, gold_for, read_marked, score
from tests.llm.conftest import GUIDELINES, run_chain

SHOWN = ROOT / "deploy" / "local" / "sample-guideline.md"

SAMPLES = sorted(
    file for file in (Path(__file__).parent / "samples").iterdir() if file.suffix != ".json"
)
LANGUAGES = {"de": ["hygiene-de", "satzung-de", "passwort-de"], "fr": ["securite-fr"]}
LANGUAGES["fr"].append("reglement-fr")
LANGUAGES["es"] = ["protocolo-es", "informatica-es"]


def found_in(source):
    found = find_statements(split_passages(source))
    return [(s.start, s.end, s.levels) for s in found]


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_a_sample_s_statements_are_found_and_little_else(file):
    source, gold = read_marked(file.read_text(encoding="utf-8"))

    result = score(found_in(source), gold)

    wrong = [source[a:b] for a, b in result.wrong]
    missed = [source[a:b] for a, b in result.missed]
    assert result.precision >= 0.85, wrong
    assert result.recall >= 0.85, missed
    assert result.level_accuracy >= 0.9


@pytest.mark.parametrize("name", [file.stem for file in sorted(FOLDER.glob("*.json"))])
def test_statements_of_real_guidelines_are_found_as_a_reader_found_them(name):
    path = GUIDELINES / f"{name}.md"
    if not path.exists():
        pytest.skip(f"the real guidelines are not at {GUIDELINES}")
    gold = gold_for(path)
    assert gold, "the file is not the one that was read for its gold"

    result = score(found_in(path.read_text(encoding="utf-8")), gold)

    assert result.precision >= 0.85
    assert result.recall >= 0.85
    assert result.level_accuracy >= 0.9


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_document_s_language_is_recognised(language):
    for file in SAMPLES:
        if file.stem in LANGUAGES[language]:
            source, _ = read_marked(file.read_text(encoding="utf-8"))
            assert find_language(split_passages(source)) == language


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_the_offline_engine_covers_every_sample_with_exact_quotes(offline, file):
    source, _ = read_marked(file.read_text(encoding="utf-8"))

    result = run_chain(offline.url, source)

    assert result["coverage"]["missing"] == []
    assert result["coverage"]["must_covered"] == result["coverage"]["must"] > 0
    assert result["grounding"]["exact"] == result["grounding"]["citations"]


def test_german_items_name_actors_and_are_worded_in_german(offline):
    source = (
        "# Plan\n\nDie Stationsleitung muss die Liste jeden Tag prüfen.\n\n"
        "Wenn ein Kind fiebert, ist der Arzt zu rufen. Bitte waschen Sie sich die Hände.\n"
    )

    items = run_chain(offline.url, source)["checklist"]

    assert [(i["actor"], i["level"], i["condition"]) for i in items] == [
        ("Die Stationsleitung", "must", ""),
        ("Sie", "must", "Wenn ein Kind fiebert"),
        ("Sie", "must", ""),
    ]
    assert items[0]["action"] == "Die Stationsleitung muss die Liste jeden Tag prüfen."


def test_the_sample_of_the_demo_is_covered_with_every_list_in_a_list_and_no_flag(offline):
    source = SHOWN.read_text(encoding="utf-8")

    result = run_chain(offline.url, source)

    said = " ".join(item["action"] for item in result["checklist"])
    for words in ("seal is intact", "in the red bag", "food or drink", "laboratory samples"):
        assert words in said
    assert result["coverage"]["missing"] == []
    assert [item["flags"] for item in result["checklist"] if item["flags"]] == []


def test_the_readme_shows_what_the_demo_prints(offline):
    result = run_chain(offline.url, SHOWN.read_text(encoding="utf-8"))

    coverage, grounding = result["coverage"], result["grounding"]
    counts = {"items": len(result["checklist"]), "citations": grounding["citations"]}
    counts |= {"exact": grounding["exact"], "must": coverage["must"]}
    counts |= {"must_covered": coverage["must_covered"]}
    line = " ".join(f"{name}={count}" for name, count in counts.items())
    assert line in (ROOT / "README.md").read_text(encoding="utf-8")
