"""What a log line says, and what it does not."""

import json
import logging
import time

import pytest

from accounts.tokens import issue_access_token
from config.logs import JsonFormatter
from tests.factories import ApiKeyFactory


def logged(message, **fields):
    record = logging.makeLogRecord({"msg": message, "levelname": "INFO", **fields})
    return JsonFormatter().format(record)


def test_a_line_is_an_event_with_its_fields():
    line = json.loads(logged("job_completed", event_id="01936f6e", attempt=2))

    assert (line["event"], line["event_id"], line["attempt"]) == ("job_completed", "01936f6e", 2)


@pytest.mark.parametrize("place", ["path", "msg"])
def test_a_token_is_logged_nowhere(db, place):
    token = str(issue_access_token(subject="gpc_1", tenant="t", scopes=["jobs:read"]))

    line = logged(
        **{"message": "request", place: f"/jobs/{token}/x"}
        if place == "path"
        else {"message": f"at {token}"}
    )

    assert "[secret]" in line
    assert token.rpartition(".")[2] not in line
    assert "eyJ" not in line


def test_a_client_secret_is_not_either_and_its_public_id_is(db):
    new = ApiKeyFactory()

    line = logged("request", path=f"/{new.key.client_id}/{new.client_secret}")

    assert json.loads(line)["path"] == f"/{new.key.client_id}/[secret]"


@pytest.mark.parametrize("key", ["sk-" + "a" * 48, "sk-proj-a_b-" + "9" * 150])
def test_a_key_of_a_model_provider_is_not_either(key):
    assert json.loads(logged("request", path=f"/{key}?x"))["path"] == "/[secret]?x"
    assert json.loads(logged("task-sk-1234"))["event"] == "task-sk-1234"


def test_looking_for_secrets_takes_no_long_time():
    started = time.perf_counter()

    for hostile in (
        "eyJ" * 100_000,
        "eyJaaaaaaaa." * 30_000,
        "gps_" * 100_000,
        "sk-" * 100_000,
        "sk-a " * 60_000,
        "eyJ" + "a." * 99_999,
    ):
        logged(hostile)

    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/accounts/invitations/s3cr3t-T_ken", "/accounts/invitations/…"),
        ("/accounts/password/reset/key/3-s3cr3t/", "/accounts/password/reset/key/…/"),
        ("/accounts/confirm-email/MQ:1s3cr3t:x/", "/accounts/confirm-email/…/"),
        ("/invitations/s3cr3t", "/invitations/s3cr3t"),  # of the API: an id, no secret
    ],
)
def test_addresses_that_let_people_in_are_not_logged(path, shown):
    assert json.loads(logged("request", path=path))["path"] == shown
    said = logged(f"Internal Server Error: {path}", request=f"<WSGIRequest: GET '{path}'>")
    assert shown in said
    assert ("s3cr3t" in said) is ("s3cr3t" in shown)
