import hashlib
import json
import re

import pytest

from llm.chain import PRODUCTION
from llm.result import build_result
from tests.eval import __main__ as command
from tests.eval import gold as golds
from tests.eval import report
from tests.eval.compare import compare
from tests.eval.gold import Gold, gold_for, read_marked, score
from tests.eval.measure import Guideline, Prices, Row, Versions, fill

MUST = frozenset({"must"})


def item(action, *, level="must", start=0, end=20, **fields):
    quote = {"start": start, "end": end, "quote": "q", "section": "", "match": "exact"}
    plain = dict.fromkeys(("actor", "category", "priority", "condition"), "")
    return {**plain, "action": action, "level": level, "citations": [quote], **fields}


def test_marks_are_removed_and_remembered():
    source, gold = read_marked("So ⟦must: wash.⟧ And ⟦may,must_not?: go⟧!")

    assert source == "So wash. And go!"
    assert [source[g.start : g.end] for g in gold] == ["wash.", "go"]
    assert [(g.levels, g.optional) for g in gold] == [
        (MUST, False),
        (frozenset({"may", "must_not"}), True),
    ]


def test_precision_and_recall_leave_optional_gold_out():
    gold = [Gold(0, 10, MUST), Gold(20, 30, MUST), Gold(40, 50, MUST, optional=True)]
    found = [(2, 12, ["must"]), (41, 50, ["may"]), (60, 70, ["must"])]

    result = score(found, gold)

    assert (result.precision, result.recall, result.level_accuracy) == (0.5, 0.5, 1.0)
    assert (result.wrong, result.missed) == (((60, 70),), ((20, 30),))


def test_gold_of_a_file_that_has_changed_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(golds, "FOLDER", tmp_path)
    guideline = tmp_path / "a.md"
    guideline.write_text("Wash.")
    digest = hashlib.sha256(b"Wash.").hexdigest()
    entry = {"start": 0, "end": 5, "levels": ["must"]}
    (tmp_path / "a.json").write_text(json.dumps({"sha256": digest, "statements": [entry]}))

    assert gold_for(guideline) == [Gold(0, 5, MUST)]
    guideline.write_text("Wash!")
    assert gold_for(guideline) == []


def test_an_item_that_cites_what_is_no_gold_lowers_precision_and_flags_are_counted():
    source, gold = read_marked("⟦must: Staff must wash.⟧ They rest at noon in the garden.")
    quotes = ["Staff must wash.", "They rest at noon in the garden."]
    proposed = [item(quote, citations=[{"passage": 1, "quote": quote}]) for quote in quotes]
    summary = {"title": "", "scope": "", "audience": "", "statements": []}
    result = build_result(source, summary, {"items": proposed}, {})
    flag = {"kind": "number", "lost": "2", "found": "3"}
    result["checklist"][0]["flags"], result["checklist"][1]["flags"] = [flag], []
    row = Row("a", len(source))

    fill(row, result, Guideline("a", source, gold, []))

    assert (row.precision, row.recall, row.level_accuracy) == (0.5, 1.0, 1.0)
    assert (row.flags, row.citations, row.exact, row.must, row.must_covered) == (1, 2, 2, 1, 1)


def test_items_are_compared_by_what_they_cite():
    before = [item("Wash."), item("Rest.", start=30), item("Go.", start=60)]
    after = [item("Wash hands."), item("Rest.", start=30), item("Stay.", start=90)]

    changes = compare(before, after)

    assert changes.same == 1
    assert [(a["action"], b["action"], f) for a, b, f in changes.changed] == [
        ("Wash.", "Wash hands.", ["action"])
    ]
    assert [i["action"] for i in changes.added] == ["Stay."]
    assert [i["action"] for i in changes.removed] == ["Go."]


def test_two_items_of_one_sentence_are_paired_by_level():
    before = [item("Do.", level="must"), item("Do not.", level="must_not")]

    changes = compare(before, list(reversed(before)))

    assert changes.same == 2


def test_versions_and_prices_are_read():
    assert Versions.parse("checklist=7") == Versions(PRODUCTION["summarize"], 7)
    with pytest.raises(ValueError, match="no such step: reduce"):
        Versions.parse("reduce=1")
    assert Prices.of("m", {}) == Prices()
    prices = Prices.of("m", {"m": {"prompt": 2.0, "completion": 8.0}})
    assert prices.cost({"prompt_tokens": 500_000, "completion_tokens": 250_000}) == 3.0


def test_the_command_measures_a_folder_and_writes_a_report(tmp_path, capsys):
    (tmp_path / "b<i>.md").write_text("⟦must: Staff must wash.⟧ It is nice.", encoding="utf-8")
    (tmp_path / "README.md").write_text("Staff must read.")
    report = tmp_path / "out" / "eval.html"

    status = command.main(
        [str(tmp_path), "--report", str(report), "--against", "summarize=1,checklist=1"]
    )

    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert lines[0].startswith("b<i>.md ") and "1/1 must" in lines[0] and "100.0%" in lines[0]
    assert lines[1].split() == [
        "b<i>.md",
        "same",
        "1",
        "changed",
        "0",
        "added",
        "0",
        "removed",
        "0",
    ]
    assert lines[2].startswith(
        "eval: files=1 statements=1 must=1 must_covered=1 exact=1 citations=1 unsupported=0 sec"
    )
    text = report.read_text(encoding="utf-8")
    assert "<svg" in text and "b&lt;i&gt;.md" in text and "<script" not in text


def test_the_report_shows_both_versions_and_what_to_look_at_and_escapes_all_of_it():
    flag = {"kind": "unit", "lost": "2 <g>", "found": "2 kg"}
    before = Row("a<b>.md", 9, must=2, must_covered=2, checklist=[item("Wash <i>.", flags=[flag])])
    after = Row("a<b>.md", 9, must=2, must_covered=1, checklist=[item("Rinse <i>.")])
    before.missing = ["Staff <must> go."]
    changes = {"a<b>.md": compare(before.checklist, after.checklist)}

    text = report.html(report.About("m<x>", "total", "v1", "v2"), [before], [after], changes)

    assert "2/2 → <ins>1/2</ins>" in text
    assert "<del>Wash &lt;i&gt;.</del>" in text and "<ins>Rinse &lt;i&gt;.</ins>" in text
    assert "Staff &lt;must&gt; go." in text and "<del>2 &lt;g&gt;</del>" in text
    assert not {"<b>", "<i>", "<x>", "<g>", "<must>", "<script"} & set(
        re.findall("<[a-z]+>?", text)
    )


def test_a_guideline_that_fails_is_named_and_the_status_says_so(tmp_path, capsys):
    (tmp_path / "a.md").write_text("Staff must wash.")

    status = command.main(
        [str(tmp_path), "--base-url", "http://127.0.0.1:9/v1", "--report", str(tmp_path / "r")]
    )

    assert status == 1
    assert "failed: " in capsys.readouterr().out


def test_a_prompt_version_that_does_not_exist_is_refused(tmp_path, capsys):
    (tmp_path / "a.md").write_text("Staff must wash.")

    status = command.main([str(tmp_path), "--prompts", "summarize=999"])

    assert status == 2
    assert "summarize.v999" in capsys.readouterr().err
