"""A lane and the view beside it answer the same, byte for byte but for times and ids."""

import http.client
import json
import re
import time
from urllib.parse import urlsplit

import psycopg
import pytest

from tenants import throttling
from tests.live.whole_stack import put_limits_out_of_reach

PLAIN: dict[str, str] = {}
# It means nothing to us, and is one of the headers with which a request is the view's.
FOR_THE_VIEW = {"Range": "bytes=0-"}
CHANGES = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z"
    r'|"request_id": ?"[0-9a-f]+"|"place":\d+|"estimated_seconds":[\d.]+'
)
VARY = {"date", "x-request-id", "content-length", "ratelimit", "etag", "location"}
GUIDELINE = {"guideline_text": "Staff MUST wash their hands.", "title": "Händehygiene\u2028"}


@pytest.fixture(scope="module")
def ended(live_stack):
    """A job with a result."""
    event_id = live_stack.submit()
    live_stack.wait_for(event_id, "COMPLETED")
    return event_id


def answer(live, method, path, body=None, headers=PLAIN):
    """(status, headers, body)"""
    address = urlsplit(live.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    said = {"Authorization": f"Bearer {live.token()}", "Accept": "*/*", **headers}
    if body is not None and not isinstance(body, bytes):
        body, said = json.dumps(body).encode(), {"Content-Type": "application/json", **said}
    connection.putrequest(method, path, skip_accept_encoding=True)
    if body is not None:
        said["Content-Length"] = str(len(body))
    for name, value in said.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(body)
    got = connection.getresponse()
    return (
        got.status,
        {name.lower(): value for name, value in got.getheaders()},
        got.read().decode(),
    )


def said_by_both(live, *request, headers=PLAIN):
    """What each says where both were counted, or neither is. A process whose counter was late once,
    on a busy machine, lets readers pass uncounted for a second, while others count on."""
    deadline = time.monotonic() + 20
    while True:
        lane, view = (
            answer(live, *request, headers={**headers, **more}) for more in (PLAIN, FOR_THE_VIEW)
        )
        if ("ratelimit" in lane[1]) == ("ratelimit" in view[1]) or time.monotonic() > deadline:
            return _lasting(*lane), _lasting(*view)
        time.sleep(throttling.RETRY_REDIS_AFTER / 4)


def _lasting(status, headers, body):
    """Without what is another at each time."""
    kept = {
        name: "" if name in VARY or name.startswith("x-ratelimit") else value
        for name, value in headers.items()
    }
    return status, sorted(kept.items()), CHANGES.sub("…", body)


BODIES = {
    "a guideline": GUIDELINE,
    "all there is": {
        **GUIDELINE,
        "metadata": {"ward": "7b"},
        "priority": "high",
        "options": {"language": "de", "report": True, "cache": False},
    },
    "no text": {},
    "an unknown field": {**GUIDELINE, "colour": "red"},
    "a number for a text": {"guideline_text": 5},
    "a model that is not allowed": {**GUIDELINE, "options": {"model": "gpt-unknown"}},
    "an earlier job that is not there": {
        **GUIDELINE,
        "supersedes": "01936f6e-7b1c-7c3e-9d8f-2b6a4e1c0d5f",
    },
    "a list": [],
    "no JSON": b"{",
    "a name twice": b'{"title": "a", "title": "b"}',
    "no UTF-8": b'{"title": "\xff"}',
    "a NUL": b'{"title": "\\u0000"}',
    "deep": b'{"title": ' + b"[" * 40 + b"]" * 40 + b"}",
    "nothing": b"",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_submission_is_answered_the_same(live, body):
    headers = {"Content-Type": "application/json"}

    lane, view = said_by_both(live, "POST", "/jobs", body, headers=headers)

    assert lane == view


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("Application/JSON", 202),
        ("APPLICATION/JSON; Charset=UTF-8", 202),
        ("application/json;charset=utf-7", 415),
        ("application/jsonx", 415),
    ],
)
def test_a_media_type_is_understood_the_same(live, media_type, status):
    headers = {"Content-Type": media_type}

    lane, view = said_by_both(live, "POST", "/jobs", GUIDELINE, headers=headers)

    assert lane[0] == status
    assert lane == view


@pytest.mark.parametrize(
    "path",
    [
        "/jobs/{ended}",
        "/jobs/01936f6e-7b1c-7c3e-9d8f-2b6a4e1c0d5f",
        "/jobs/01936F6E-7B1C-7C3E-9D8F-2B6A4E1C0D5F",
        "/jobs/none",
        "/jobs/",
        "/jobs//",
        "/jobs/{ended}/",
        "/jobs/{ended}?x=1",
        "/jobs?limit=2",
        "/jobs?limit=0",
        "/jobs?limit=2&limit=3",
        "/jobs?status=COMPLETED&limit=1",
        "/jobs?status=NONE",
        "/jobs?cursor=none",
        "/jobs?cursor={ended}",
        "/jobs?access_token=x",
        "/jobs?title=%ff",
        "/jobs?limit=2;limit=3",
        "/jobs?limit=%00",
        "/jobs?limit=2&%ED%A0%80=1",
        "/jobs?limit=2" + "&" * 999,
        "/jobs?limit=2" + "&" * 1_000,
    ],
    ids=lambda path: path[:40] + f"+{len(path) - 40}" * (len(path) > 40),
)
def test_a_question_is_answered_the_same(live, ended, path):
    lane, view = said_by_both(live, "GET", path.format(ended=ended))

    assert lane == view


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": None},
        {"Authorization": "Bearer none"},
        {"Authorization": "Bearer a b"},
        {"Authorization": "Basic YTpi"},
        {"Accept": None},
        {"Accept": "application/json"},
        {"Accept": "text/html"},
        {"Accept": "application/json; indent=4"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-For": "10.0.0.1, none"},
        {"If-None-Match": '"none"'},
        {"If-None-Match": "*"},
        {"X-Request-ID": "mine-1"},
        {"X-Request-ID": "not mine"},
        {"Cookie": "sessionid=x"},
        {"X-HTTP-Method-Override": "DELETE"},
        {"Content-Type": "text/plain"},
        {"Origin": "https://evil.example"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT"])
def test_headers_mean_the_same(live, ended, headers, method):
    lane, view = said_by_both(live, method, f"/jobs/{ended}", headers=headers)

    assert lane == view


def test_both_know_what_the_asker_has(live, ended):
    tags = {
        answer(live, "GET", f"/jobs/{ended}", None, each)[1]["etag"]
        for each in (PLAIN, FOR_THE_VIEW)
    }
    (tag,) = tags

    for status, _, body in said_by_both(
        live, "GET", f"/jobs/{ended}", headers={"If-None-Match": tag}
    ):
        assert (status, body) == (304, "")


def test_both_keep_a_request_id(live, ended):
    for more in (PLAIN, FOR_THE_VIEW):
        headers = {"X-Request-ID": "mine-1", **more}
        assert answer(live, "GET", f"/jobs/{ended}", None, headers)[1]["x-request-id"] == "mine-1"


def test_both_refuse_beyond_the_limit(live, ended):
    def all_are(status):
        """By every process, each of which remembers a limit for a second."""
        return all(answer(live, "GET", f"/jobs/{ended}")[0] == status for _ in range(20))

    with psycopg.connect(live.database_url) as connection:
        connection.execute("UPDATE tenants_plan SET reads_per_minute = 1")
    try:
        live.until(lambda: all_are(429))

        lane, view = said_by_both(live, "GET", f"/jobs/{ended}")

        assert lane[0] == 429
        assert lane == view
    finally:
        put_limits_out_of_reach(live.database_url)
        live.until(lambda: all_are(200))
