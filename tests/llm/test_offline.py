import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from openai import BadRequestError, OpenAI

from llm.offline.engine import answer
from llm.schemas import Checklist, Summary


def post(url, value):
    request = urllib.request.Request(url, json.dumps(value).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response)


def items(*passages, summary=None, **options):
    data = {"summary": summary or {}, "passages": list(passages), **options}
    reply = Checklist.model_validate_json(answer(json.dumps(data), "checklist"))
    return reply.items


def passage(text, number=1, section="", stem=""):
    return {"id": number, "section": section, "stem": stem, "text": text}


def test_the_official_client_talks_to_it_in_five_lines(offline):
    client = OpenAI(base_url=offline.url, api_key="any", max_retries=0)
    messages = [{"role": "user", "content": "# Ward\n\nStaff must wash hands."}]
    reply = client.chat.completions.parse(model="gpt-5", messages=messages, response_format=Summary)

    assert reply.choices[0].message.parsed.statements[0].text == "Staff must wash hands."
    assert reply.model == "guidepost-offline-1"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_without_a_schema_it_says_what_it_is(offline):
    client = OpenAI(base_url=offline.url, api_key="any", max_retries=0)

    reply = client.chat.completions.create(
        model="gpt-5", messages=[{"role": "user", "content": "You must rest."}]
    )

    assert "not a language model" in reply.choices[0].message.content
    assert "- You must rest." in reply.choices[0].message.content
    assert [model.id for model in client.models.list()] == ["guidepost-offline-1"]


@pytest.mark.parametrize(
    "change",
    [
        {"messages": []},
        {"stream": True},
        {"response_format": {"type": "json_object"}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "poem", "schema": {"type": "object"}},
            }
        },
    ],
)
def test_a_bad_request_gets_an_error_in_the_shape_of_openai(offline, change):
    client = OpenAI(base_url=offline.url, api_key="any", max_retries=0)
    request = {"model": "m", "messages": [{"role": "user", "content": "x"}], **change}

    with pytest.raises(BadRequestError) as caught:
        client.chat.completions.create(**request)

    assert caught.value.type == "invalid_request_error"


def test_two_levels_give_two_items_that_cite_the_same_quote():
    text = "OTP authenticators SHOULD discourage and SHALL NOT facilitate **cloning**."

    found = items(passage(text), convention="rfc2119")

    assert [(i.level, i.priority) for i in found] == [("must_not", "high"), ("should", "medium")]
    assert {c.quote for i in found for c in i.citations} == {text}


def test_an_item_without_a_subject_takes_it_from_its_introduction_and_cites_both():
    found = items(
        passage("Cookies:", 4),
        passage("SHALL be tagged by the server before use.", 5, stem="Cookies:"),
        convention="rfc2119",
    )

    assert [(i.action, i.actor) for i in found] == [
        ("Cookies SHALL be tagged by the server before use.", "The server")
    ]
    assert [(c.passage, c.quote) for c in found[0].citations] == [
        (5, "SHALL be tagged by the server before use."),
        (4, "Cookies:"),
    ]


def test_an_item_of_a_list_in_a_list_cites_both_introductions_and_a_later_one_its_own():
    bag = "The nurse MUST: check the bag:"
    found = items(
        passage("The nurse MUST:", 1),
        passage("check the bag:", 2, stem="The nurse MUST:"),
        passage("read its label;", 3, stem=bag),
        passage("sign the list.", 4, stem="The nurse MUST:"),
        convention="rfc2119",
    )

    assert [(i.action, [c.passage for c in i.citations]) for i in found] == [
        ("Check the bag", [2, 1]),
        ("Read its label", [3, 2, 1]),
        ("Sign the list.", [4, 1]),
    ]


@pytest.mark.parametrize(
    ("stem", "text", "said"),
    [
        ("The nurse MUST:", "sign it; and", "The nurse MUST sign it"),
        ("The nurse MUST: check the bag:", "read it;", "The nurse MUST check the bag: read it"),
        ("Boxes: MUST contain:", "dry ice;", "Boxes MUST contain dry ice"),
        ("Cookies:", "MUST be tagged.", "Cookies MUST be tagged."),
    ],
)
def test_a_summary_says_a_list_in_a_list_as_one_sentence_with_its_signs(stem, text, said):
    message = {"passages": [passage(text, stem=stem)], "convention": "rfc2119"}

    summary = Summary.model_validate_json(answer(json.dumps(message), "summary"))

    assert [statement.text for statement in summary.statements] == [said]


@pytest.mark.parametrize(
    ("text", "actor", "action", "condition"),
    [
        ("Verifiers must store secrets.", "Verifiers", "Store secrets.", ""),
        (
            "Staff must not run unless chased.",
            "Staff",
            "Do not run unless chased.",
            "unless chased",
        ),
        (
            "If a fire starts (e.g., in a bin), staff must leave.",
            "Staff",
            "If a fire starts (e.g., in a bin), leave.",
            "If a fire starts",
        ),
        ("Waste must be burnt.", "The organisation", "Waste must be burnt.", ""),
        (
            "Inform users of factors that may affect the sensor.",
            "You",
            "Inform users of factors that may affect the sensor.",
            "",
        ),
        ("Give 2.5 mg within 30 min.", "You", "Give 2.5 mg within 30 min.", "within 30 min"),
    ],
)
def test_who_does_what_and_when(text, actor, action, condition):
    (found,) = items(passage(text))

    assert (found.actor, found.action, found.condition) == (actor, action, condition)


def test_a_dose_in_a_table_keeps_the_row_it_stands_in():
    row = "< 10 kg | Give 10 ml/kg over 10 min"

    (found,) = items(passage(row, stem="Table 1: Fluids: Weight | Bolus"))

    assert (found.action, found.condition) == ("Give 10 ml/kg over 10 min", "Weight: < 10 kg")
    assert found.citations[0].quote == row


def test_an_order_is_addressed_to_the_audience_of_the_summary():
    (found,) = items(passage("Wash hands."), summary={"audience": "Nurses"})

    assert found.actor == "Nurses"
    assert found.category == "Hygiene"


def test_faults_are_scripted_and_calls_listed_over_http(offline):
    control = f"{offline.root}/_control"
    post(f"{control}/script", {"behaviours": [{"do": "hold", "step": "checklist"}]})
    replies = []
    message = {"role": "user", "content": "Staff must rest."}
    schema = {"type": "json_schema", "json_schema": {"name": "checklist"}}
    request = {"messages": [message], "response_format": schema}
    call = threading.Thread(
        target=lambda: replies.append(post(f"{offline.url}/chat/completions", request))
    )

    call.start()
    while not any(entry["outcome"] == "held" for entry in offline.stage.ledger()):
        call.join(0.01)
    post(f"{control}/release", {})
    call.join(5)
    while offline.stage.ledger()[0]["outcome"] == "held":  # noted once the reply is out
        time.sleep(0.01)

    assert len(replies) == 1
    with urllib.request.urlopen(f"{control}/ledger", timeout=5) as response:
        (entry,) = json.load(response)["calls"]
    assert (entry["seq"], entry["step"], entry["outcome"]) == (1, "checklist", "answered")
    post(f"{control}/reset", {})
    assert offline.stage.ledger() == []


def test_an_unknown_fault_is_refused(offline):
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(f"{offline.root}/_control/script", {"behaviours": [{"do": "explode"}]})

    assert caught.value.code == 400


def test_the_command_says_when_it_is_ready_and_stops_at_once_on_sigterm():
    command = [sys.executable, "-m", "llm.offline", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        url = line.split()[-1]
        with urllib.request.urlopen(url.replace("/v1", "/healthz"), timeout=5) as response:
            assert json.load(response)["status"] == "ok"

        os.kill(process.pid, signal.SIGTERM)

        assert process.wait(2) == 0
    assert line.startswith("guidepost-offline-1 ready on http://127.0.0.1:")
