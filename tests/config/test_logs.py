import json
import logging

import pytest

from config.logs import JsonFormatter


def line(message, **extra):
    record = logging.makeLogRecord({"msg": message, "name": "x", "levelname": "INFO", **extra})
    return JsonFormatter().format(record)


def test_a_line_is_an_object_with_its_fields():
    assert json.loads(line("request", path="/jobs", status=200))["path"] == "/jobs"


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/invitations/s3cr3t-T_ken", "/invitations/…"),
        ("/accounts/password/reset/key/3-s3cr3t/", "/accounts/password/reset/key/…/"),
        ("/accounts/confirm-email/MQ:1s3cr3t:x/", "/accounts/confirm-email/…/"),
        ("/jobs/s3cr3t", "/jobs/s3cr3t"),
    ],
)
def test_addresses_that_let_people_in_are_not_logged(path, logged):
    assert json.loads(line("request", path=path))["path"] == logged
    assert logged in line(f"Internal Server Error: {path}", request=f"<WSGIRequest: GET '{path}'>")
    assert ("s3cr3t" in line(path, exc_text=path)) is ("s3cr3t" in logged)
