"""Jobs as they change, told by the real stack: GET /jobs/{event_id}/events and `Prefer: wait`."""

import contextlib
import json
import socket
import threading
import time
from urllib.parse import urlsplit

import psycopg
import pytest
import requests

from tests.live.test_signing_in import (  # noqa: F401  (people and person are fixtures)
    TAKEN,
    key_token,
    people,
    person,
)

NOBODYS = "01936f6e-7b1c-7c3e-9d8f-2b6a4e1c0d5f"


@pytest.fixture(scope="module")
def web(live_stack):
    """A web server of one process, for tests that count what a process does."""
    with live_stack.another_web() as url:
        yield url


def ask(live, path, token="", url="", stream=False, **headers):
    """As if to the public address, whichever server it is."""
    said = {
        "Host": urlsplit(live.url).netloc,
        "Authorization": f"Bearer {token or live.token()}",
        **headers,
    }
    return requests.get(f"{url or live.url}{path}", headers=said, stream=stream, timeout=90)


class Stream(threading.Thread):
    """Reads a job's events as they come."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer
        self.events, self.comments, self.retry, self.ended_at = [], 0, None, None
        self.start()

    def run(self):
        event = {}
        try:
            for line in self.answer.iter_lines(chunk_size=1):
                name, _, value = line.decode().partition(": ")
                if line == b"" and "data" in event:
                    self.events.append({**event, "data": json.loads(event["data"])})
                elif name == "":
                    self.comments += 1
                elif name == "retry":
                    self.retry = int(value)
                event = {**event, name: value} if line else {}
        except (requests.RequestException, AttributeError):  # the test has closed it
            pass
        self.ended_at = time.monotonic()

    def close(self):
        """As a client that leaves; `answer.close` would wait for whoever reads."""
        with contextlib.suppress(AttributeError, OSError):  # it has ended
            self.answer.raw._connection.sock.shutdown(socket.SHUT_RDWR)
        self.join()

    @property
    def ways(self):
        """What became of the job, without how far its steps were: (status, step)."""
        ways = [(e["data"]["status"], e["data"]["step"]) for e in self.events]
        return [way for way, before in zip(ways, [None, *ways], strict=False) if way != before]


@pytest.fixture
def listen(live):
    streams = []

    def listen(event_id, last_event_id="", **whom):
        headers = {"Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        path = f"/jobs/{event_id}/events"
        streams.append(Stream(ask(live, path, stream=True, **whom, **headers)))
        return streams[-1]

    yield listen
    for stream in streams:
        stream.close()


def held(live):
    """A job that waits for the model."""
    live.script({"do": "hold", "step": "summary", "times": 20})  # others' jobs may run still
    event_id = live.submit()
    live.until(lambda: live.steps(event_id), seconds=10)
    return event_id


def version_of(live, event_id):
    return live.rows("SELECT xmin::text FROM jobs_job WHERE event_id = %s", event_id)[0]["xmin"]


# --- Events -----------------------------------------------------------------------------------


def test_a_stream_tells_a_jobs_whole_life_in_order_and_then_closes(live, listen):
    with live.without("worker"):
        event_id = live.submit()
        stream = listen(event_id)
        live.until(lambda: stream.events)
    live.until(lambda: stream.ended_at)

    assert stream.answer.status_code == 200
    assert stream.answer.headers["Content-Type"] == "text/event-stream"
    assert stream.answer.headers["Cache-Control"] == "no-store"
    assert stream.answer.headers["X-Accel-Buffering"] == "no"
    assert stream.retry == 2000
    assert stream.ways[0] == ("PENDING", "summarize")
    assert stream.ways[-1][0] == "COMPLETED"
    whole = [
        ("PENDING", "summarize"),
        ("PROCESSING", "summarize"),
        ("PROCESSING", "checklist"),
        ("COMPLETED", "checklist"),
    ]
    assert [way for way in whole if way in stream.ways] == stream.ways  # quick ones may be as one
    assert {event["event"] for event in stream.events} == {"job"}
    assert len({event["id"] for event in stream.events}) == len(stream.events)
    job = live.job(event_id)
    job.pop("result")
    assert stream.events[-1]["data"] == job
    assert "result" not in stream.events[0]["data"]


def test_each_change_is_told_at_once(live, listen):
    event_id = held(live)
    stream = listen(event_id)
    live.until(lambda: stream.ways == [("PROCESSING", "summarize")])

    began = time.monotonic()
    assert live.request("POST", f"/jobs/{event_id}/cancel")[0] == 202
    live.until(lambda: stream.ended_at)

    assert stream.ways[-1][0] == "CANCELLED"
    assert stream.ended_at - began < 1


def test_a_stream_goes_on_after_the_last_event_that_came(live, listen):
    event_id = held(live)
    known = version_of(live, event_id)

    stream = listen(event_id, known)
    late = listen(event_id, "1")
    live.until(lambda: late.events)
    live.release()
    live.until(lambda: stream.ended_at and late.ended_at)

    assert known not in [event["id"] for event in stream.events]
    assert stream.ways[-1] == late.ways[-1] == ("COMPLETED", "checklist")
    again = listen(event_id, late.events[0]["id"])
    live.until(lambda: again.ended_at)
    assert [event["id"] for event in again.events] == [stream.events[-1]["id"]]
    over = listen(event_id, stream.events[-1]["id"])
    assert over.answer.status_code == 204  # which ends an EventSource


def test_a_heartbeat_comes_and_brings_what_nobody_told_of(live, listen):
    event_id = held(live)
    stream = listen(event_id, version_of(live, event_id))
    before = stream.comments

    live.until(lambda: stream.comments > before + 1, seconds=20)
    live.rows("UPDATE jobs_job SET title = 'Quiet' WHERE event_id = %s RETURNING 1", event_id)
    live.until(lambda: stream.events, seconds=20)

    assert stream.events[-1]["data"]["title"] == "Quiet"


def test_a_stream_outlives_redis(live, listen):
    event_id = held(live)
    stream = listen(event_id)
    live.until(lambda: stream.events)

    live.redis.refuse()
    time.sleep(1)
    live.redis.restore()
    live.until(lambda: live.request("POST", f"/jobs/{event_id}/cancel")[0] == 202)
    cancelled_at = time.monotonic()
    live.until(lambda: stream.ended_at)

    assert stream.ways[-1][0] == "CANCELLED"
    assert stream.ended_at - cancelled_at < 5  # no heartbeat was needed


def test_another_tenants_job_is_absent(live, listen, person):  # noqa: F811
    event_id = live.submit()

    theirs = listen(event_id, token=key_token(live, person))
    nobodys = listen(NOBODYS, token=key_token(live, person))

    for stream in (theirs, nobodys):
        assert stream.answer.status_code == 404
        assert stream.answer.headers["Content-Type"] == "application/problem+json"


def test_what_no_lane_takes_is_one_event_of_the_view(live):
    event_id = held(live)

    answer = ask(live, f"/jobs/{event_id}/events", Range="bytes=0-")

    retry, event, *rest = answer.text.split("\n\n")
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert retry == "retry: 2000"
    assert event.startswith("event: job\nid: ")
    assert json.loads(event.partition("data: ")[2])["event_id"] == event_id
    assert rest == [""]


# --- Taken away -------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["key", "tenant", "token", "member"])
def test_what_is_taken_away_ends_the_stream_within_a_second(live, listen, person, what):  # noqa: F811
    token = key_token(live, person) if what == "key" else person["access"]
    event_id = job_of(live, token)
    stream = listen(event_id, token=token)
    live.until(lambda: stream.events)
    time.sleep(1.2)  # past the first looks at its standing
    assert stream.ended_at is None

    taken_at = time.monotonic()
    TAKEN[what](live, person)
    live.until(lambda: stream.ended_at)

    assert stream.ended_at - taken_at < 1.05
    assert listen(event_id, token=token).answer.status_code == 401


def test_a_waiting_answer_ends_with_what_is_taken_away(live, person):  # noqa: F811
    token = key_token(live, person)
    event_id = job_of(live, token)
    with waiting(live, event_id, 30, token) as answers:
        time.sleep(1)

        taken_at = time.monotonic()
        TAKEN["key"](live, person)
        status, _, _, came_at = live.until(lambda: answers and answers[0])

    assert status == 401
    assert came_at - taken_at < 1.1


def job_of(live, token):
    """A job of whose token it is, which waits in a queue that is held."""
    answer = requests.post(
        f"{live.url}/jobs",
        json={"guideline_text": "Staff MUST wash their hands.", "options": {"cache": False}},
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )
    assert answer.status_code == 202
    return answer.json()["event_id"]


@pytest.fixture(autouse=True)
def _queues_of_people_are_held(request, live):
    if "person" in request.fixturenames:
        tenant = request.getfixturevalue("person")["tenant"]
        live.rows(
            "INSERT INTO jobs_tenantqueue (tenant_id, is_paused) VALUES (%s, true)"
            " ON CONFLICT (tenant_id) DO UPDATE SET is_paused = true RETURNING 1",
            tenant,
        )


# --- Bounds -----------------------------------------------------------------------------------


def test_a_tenant_has_a_hundred_streams_of_a_process(live, listen, web, person):  # noqa: F811
    token = key_token(live, person)
    event_id = job_of(live, token)
    streams = [listen(event_id, url=web, token=token) for _ in range(100)]
    assert {stream.answer.status_code for stream in streams} == {200}

    refused = listen(event_id, url=web, token=token).answer
    held = ask(live, f"/jobs/{event_id}", token, web, Prefer="wait=1")

    for answer in (refused, held):
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "5"
    assert held.json()["code"] == "too_many_streams"
    assert listen(live.submit(), url=web).answer.status_code == 200  # of another tenant
    streams[0].close()
    live.until(lambda: listen(event_id, url=web, token=token).answer.status_code == 200)


@contextlib.contextmanager
def looks_counted(live):
    """How often anybody has looked at a job until then."""
    with psycopg.connect(live.database_url, autocommit=True) as connection:
        (definition,) = connection.execute(
            "SELECT pg_get_functiondef('jobs_show'::regproc)"
        ).fetchone()
        connection.execute("CREATE SEQUENCE looks; GRANT USAGE ON SEQUENCE looks TO PUBLIC")
        counting = definition.replace("BEGIN\n", "BEGIN\nPERFORM nextval('looks');\n", 1)
        connection.execute(counting)
        yield lambda: connection.execute(
            "SELECT last_value - 1 + is_called::int FROM looks"
        ).fetchone()[0]
        connection.execute(definition)
        connection.execute("DROP SEQUENCE looks")


def test_a_change_costs_one_look_for_fifty_streams_of_a_process(live, listen, web):
    event_id = held(live)
    streams = [listen(event_id, url=web) for _ in range(50)]
    live.until(lambda: all(stream.events for stream in streams))
    time.sleep(0.5)

    with looks_counted(live) as looks:
        assert live.request("POST", f"/jobs/{event_id}/cancel")[0] == 202
        live.until(lambda: all(stream.ended_at for stream in streams))

        assert looks() == 1
    assert {stream.ways[-1][0] for stream in streams} == {"CANCELLED"}


# --- Prefer: wait -----------------------------------------------------------------------------


@contextlib.contextmanager
def waiting(live, event_id, seconds, token="", **headers):
    """A list into which (status, headers, job, when) comes."""
    answers, prefer = [], f"respond-async, wait={seconds}"

    def wait():
        answer = ask(live, f"/jobs/{event_id}", token, Prefer=prefer, **headers)
        body = answer.json() if answer.content else None
        answers.append((answer.status_code, answer.headers, body, time.monotonic()))

    thread = threading.Thread(target=wait)
    thread.start()
    yield answers
    thread.join()


def test_a_waiting_answer_comes_with_the_change(live):
    event_id = held(live)
    with waiting(live, event_id, 30) as answers:
        time.sleep(0.5)
        assert answers == []

        changed_at = time.monotonic()
        assert live.request("POST", f"/jobs/{event_id}/cancel")[0] == 202

    ((status, headers, job, came_at),) = answers
    assert (status, job["status"]) == (200, "CANCELLED")
    assert headers["Preference-Applied"] == "wait=30"
    assert "result" in job
    assert came_at - changed_at < 1


def test_a_waiting_answer_comes_late_where_nothing_changes(live):
    event_id = held(live)
    tag = live.request("GET", f"/jobs/{event_id}")[1]["ETag"]

    began = time.monotonic()
    with waiting(live, event_id, 1) as answers:
        pass

    ((status, headers, job, came_at),) = answers
    assert (status, job["status"]) == (200, "PROCESSING")
    assert headers["Preference-Applied"] == "wait=1"
    assert 1 <= came_at - began < 2
    with waiting(live, event_id, 90, **{"If-None-Match": '"other"'}) as answers:
        pass
    assert answers[0][0] == 200  # at once: it is another state than the asker has
    assert answers[0][1]["Preference-Applied"] == "wait=60"
    live.release()
    live.wait_for(event_id, "COMPLETED")
    with waiting(live, event_id, 30, **{"If-None-Match": tag}) as answers:
        pass
    assert answers[0][2]["result"]["checklist"]


def test_a_waiting_answer_to_whoever_has_that_state_is_304(live):
    event_id = live.submit()
    live.wait_for(event_id, "COMPLETED")
    tag = live.request("GET", f"/jobs/{event_id}")[1]["ETag"]

    with waiting(live, event_id, 30, **{"If-None-Match": tag}) as answers:
        pass

    ((status, headers, job, _),) = answers
    assert (status, job) == (304, None)  # it has ended: there is nothing to wait for
    assert headers["ETag"] == tag


def test_an_absent_job_is_not_waited_for(live):
    with waiting(live, NOBODYS, 30) as answers:
        pass

    assert answers[0][0] == 404
