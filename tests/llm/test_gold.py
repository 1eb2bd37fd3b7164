"""Real guidelines, kept outside of the repository, against the statements others found in them."""

import json
import re

import pytest

from llm.markup import plain
from tests.llm.conftest import GUIDELINES, run_chain

pytestmark = pytest.mark.skipif(
    not GUIDELINES.is_dir(), reason=f"the real guidelines are not at {GUIDELINES}"
)
NAMES = [
    "18f-accessible-forms",
    "18f-release-checklist",
    "18f-secrets",
    "nist-sp800-63a-5-identity-proofing",
    "nist-sp800-63b-10-usability",
    "nist-sp800-63b-5-authenticators",
    "nist-sp800-63b-7-session-management",
]


def words(text):
    return re.sub(r"\W+", " ", plain(text)).strip().lower()


def read(name):
    return (GUIDELINES / f"{name}.md").read_text(encoding="utf-8")


def requirements(name):
    path = GUIDELINES / f"{name}.requirements.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


@pytest.mark.parametrize("name", NAMES)
def test_every_requirement_is_cited_and_every_quote_is_exact(offline, name):
    source = read(name)

    result = run_chain(offline.url, source)

    quotes = [c for i in result["checklist"] for c in i["citations"]]
    assert quotes
    assert {c["match"] for c in quotes} == {"exact"}
    assert all(source[c["start"] : c["end"]] == c["quote"] for c in quotes)
    cited = [words(c["quote"]) for c in quotes]
    missed = [
        r["text"]
        for r in requirements(name)
        if not any(words(r["text"]) in quote or quote in words(r["text"]) for quote in cited)
    ]
    assert missed == []
    assert result["coverage"]["missing"] == []


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("nist") and "usab" not in n])
def test_every_requirement_gets_its_levels(offline, name):
    items = run_chain(offline.url, read(name))["checklist"]

    found = {(words(c["quote"]), i["level"]) for i in items for c in i["citations"]}
    wrong = [
        (level, r["text"])
        for r in requirements(name)
        for level in r["levels"]
        if not any(
            level == given and (words(r["text"]) in quote or quote in words(r["text"]))
            for quote, given in found
        )
    ]
    assert wrong == []


def test_a_list_of_questions_gives_hardly_any_item(offline):
    items = run_chain(offline.url, read("18f-release-checklist"))["checklist"]

    assert [i["level"] for i in items] == ["should", "should"]
