"""An earlier result is offered again only where this code would make the same."""

import hashlib
import json

from llm.result import build_result
from llm.version import CHAIN_VERSION

SOURCE = """# Ward policy

All nurses must:

- wash hands **for 20 seconds** before each contact
- not wear rings

Visitors should leave by noon. Porters may rest. This policy shall be known as W-1.

| Weight | Dose |
| --- | --- |
| < 10 kg | Give 5 mg/kg, but no more than 40 mg. |
"""
SUMMARY = {
    "title": "Ward policy",
    "scope": "Wards",
    "audience": "All nurses",
    "statements": [{"text": "Nurses wash their hands.", "passages": [2, 3]}],
}


def said(action, level, *quotes, actor="All nurses", condition=""):
    citations = [{"passage": passage, "quote": quote} for passage, quote in quotes]
    plain = {"category": "Care", "priority": "high", "condition": condition}
    return {"action": action, "actor": actor, "level": level, "citations": citations, **plain}


STEM = (2, "All nurses must:")
ITEMS = [
    said("Wash hands for 20 seconds", "must", (3, "wash hands for 20 seconds"), STEM),
    said("Wear no rings", "must_not", (4, "not wear rings"), STEM),
    said("Leave by midnight", "must", (5, "Visitors should leave by noon."), actor="Visitors"),
    said("Give 5 mg/kg", "must", (6, "Give 5 mg/kg, but no more than 40 mg."), condition="< 10 kg"),
    said("Call the ward", "must", (5, "Nobody wrote this sentence here.")),
]
DIGESTS = {1: "b613d8696f056ff1ba1078ee51b583fbc47963fbe93b6b1766743a18d9068aea"}  # by version


def test_whoever_changes_what_is_made_of_the_same_replies_raises_the_version():
    result = build_result(SOURCE, SUMMARY, {"items": ITEMS}, {})

    made = hashlib.sha256(json.dumps(result, sort_keys=True).encode()).hexdigest()
    assert made == DIGESTS[CHAIN_VERSION], (
        "The result is another one. Raise CHAIN_VERSION in llm/version.py, so that no job gets"
        " a result of the code before, and add the new digest here."
    )
