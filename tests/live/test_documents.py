"""Files on the whole way in real processes: read in a child of a reader, then like any text."""

import time

from tests.jobs import files
from tests.jobs.test_documents_conversion import guideline_pdf


def test_a_pdf_becomes_a_checklist_whose_quotes_stand_on_its_pages(live):
    status, _, job = live.upload(guideline_pdf(), "hands.pdf")
    job = live.wait_for(job["event_id"], "COMPLETED")

    quotes = {
        citation["quote"]: citation["page"]
        for item in job["result"]["checklist"]
        for citation in item["citations"]
    }
    assert status == 202
    assert quotes["wash their hands before every contact"] == 1
    assert job["result"]["grounding"]["exact"] == job["result"]["grounding"]["citations"] > 1


def test_a_word_document_becomes_a_checklist(live):
    rule = "Visitors SHOULD NOT bring flowers."
    content = files.docx(files.paragraph(files.TEXT) + files.paragraph(rule))

    job = live.wait_for(live.upload(content, "hands.docx")[2]["event_id"], "COMPLETED")

    levels = [item["level"] for item in job["result"]["checklist"]]
    assert levels == ["must", "should_not"]
    assert "page" not in job["result"]["checklist"][0]["citations"][0]


def test_a_reader_that_is_killed_costs_nothing_but_time(live):
    live.arm("before_document_commit")
    event_id = live.upload(files.docx())[2]["event_id"]
    live.wait_fired("before_document_commit")
    lease = (
        "UPDATE jobs_upload SET lease_expires_at = now() - interval '1 second' RETURNING attempt"
    )

    assert live.rows(lease) == [{"attempt": 1}]

    live.wait_for(event_id, "COMPLETED")


def test_bombs_are_refused_at_the_door_and_everybody_lives_on(live):
    makers = (files.flate_bomb, files.zip_bomb, files.entity_bomb, files.many_pages)
    bombs = [make() for make in makers]
    pids = {name: child.pid for name, child in live.stack.children.items()}
    started = time.monotonic()

    answers = [live.upload(bomb) for bomb in bombs]

    assert {(status, body["code"]) for status, _, body in answers} == {
        (422, "unsupported_or_unsafe_file")
    }
    assert time.monotonic() - started < 8
    live.wait_for(live.submit(), "COMPLETED")
    assert {name: child.pid for name, child in live.stack.children.items()} == pids
