"""Who listens to a job in a process: one look at a time, and nothing piles up."""

import asyncio
import json
from uuid import UUID, uuid4

import pytest

from config import lanes
from config.isolation import DatabaseRole, meaning
from config.lanes import Answer
from jobs import events, live, shown
from jobs.shown import Row
from tenants.models import Role
from tests.callers import client_of, member_of
from tests.config.test_problems import check_problem
from tests.factories import JobFactory
from tests.jobs.acts import completed

NOBODYS = "01936f6e-7b1c-7c3e-9d8f-2b6a4e1c0d5f"


def listening(monkeypatch, found, listen):
    """Runs `listen` with looks that find what `found` gives, and no Redis."""

    async def find(tenant_id, event_id):
        return await found()

    async def run():
        await listen()

    monkeypatch.setattr(live, "find", find)
    monkeypatch.setattr(live, "_hear", lambda: None)
    asyncio.run(run())
    assert live._watches == {}


def test_looks_that_are_asked_for_during_one_are_one_more(monkeypatch):
    looks = []

    async def found():
        looks.append(Row(version=str(len(looks))))
        await asyncio.sleep(0.05)
        return looks[-1]

    async def listen():
        with live.listening(1, UUID(NOBODYS)) as listener:
            await asyncio.sleep(0.02)
            for _ in range(10):
                live._heard({"type": "message", "data": f"{uuid4()},{NOBODYS}".encode()})
                live._heard({"type": "subscribe", "data": 1})
            assert (await listener.next()).version == "0"
            assert (await listener.next()).version == "1"

    listening(monkeypatch, found, listen)
    assert len(looks) == 2


def test_who_comes_during_a_look_gets_a_later_one(monkeypatch):
    looks = []

    async def found():
        looks.append(Row(version=str(len(looks))))
        seen = looks[-1]
        await asyncio.sleep(0.05)
        return seen

    async def listen():
        with live.listening(1, 2) as first:
            await asyncio.sleep(0.02)
            with live.listening(1, 2) as second:
                assert (await second.next()).version == "1"
            assert (await first.next()).version == "1"  # and not "0", which nobody has fetched

    listening(monkeypatch, found, listen)


def test_a_look_comes_with_each_heartbeat(monkeypatch):
    monkeypatch.setattr(live, "HEARTBEAT", 0.05)

    async def found():
        return None

    async def listen():
        with live.listening(1, 2) as listener:
            for _ in range(4):
                async with asyncio.timeout(1):
                    assert await listener.next() is None

    listening(monkeypatch, found, listen)


def test_a_look_that_fails_is_the_listeners_to_hear_of(monkeypatch):
    async def found():
        raise OSError("away")

    async def listen():
        with live.listening(1, 2) as listener, pytest.raises(OSError, match="away"):
            await listener.next()

    listening(monkeypatch, found, listen)


def test_a_client_that_does_not_read_is_given_up(monkeypatch):
    monkeypatch.setattr(lanes, "SEND_SECONDS", 0.05)
    sent, ended = [], []

    async def send(message):
        sent.append(message)
        if message.get("more_body"):
            await asyncio.Event().wait()

    async def stream(write):
        try:
            await write(b"x")
        finally:
            ended.append(True)

    asyncio.run(lanes._send_as_it_comes(send, Answer(200), stream))

    assert ended == [True]
    # Nor is it sent the end: the server hangs up on it.
    assert [message["type"].rpartition(".")[2] for message in sent] == ["start", "body"]


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("", 0),
        ("wait=30", 30),
        ("wait=99", 60),
        ("respond-async, WAIT = 5; x=1", 5),
        ('wait="7"', 7),
        ("wait", 0),
        ("wait=-1", 0),
        ("wait=1e9", 0),
        ("await=5", 0),
        ("wait=5, wait=6", 5),
    ],
)
def test_what_is_preferred(prefer, seconds):
    assert events.seconds_to_wait(prefer) == seconds


# --- The view, for what no lane takes ---------------------------------------------------------


def test_the_view_gives_one_event_and_lets_the_client_come_back(api, tenant):
    job = JobFactory(tenant=tenant, title="Hands\nand \u2028 feet")

    response = api.get(f"/jobs/{job.event_id}/events")

    retry, event, end = response.content.decode().split("\n\n")
    assert response["Content-Type"] == "text/event-stream"
    assert response["X-Accel-Buffering"] == "no"
    assert (retry, end) == ("retry: 2000", "")
    kind, version, data = event.split("\n")
    job_shown = api.get(f"/jobs/{job.event_id}").json()
    job_shown.pop("result")
    assert kind == "event: job"
    assert json.loads(data.removeprefix("data: ")) == job_shown
    known = {"HTTP_LAST_EVENT_ID": version.removeprefix("id: ")}
    assert api.get(f"/jobs/{job.event_id}/events", **known).content == b"retry: 2000\n\n"


def test_the_view_sends_away_who_has_the_end(api, tenant):
    job = completed(JobFactory(tenant=tenant))
    with meaning(DatabaseRole.API, tenant.id):
        version = shown.find(tenant.id, job.event_id).version

    response = api.get(f"/jobs/{job.event_id}/events", HTTP_LAST_EVENT_ID=version)

    assert response.status_code == 204


def test_the_view_shows_an_event_to_whom_it_shows_the_job(api, tenant):
    job = JobFactory(tenant=tenant)
    confined = client_of(member_of(tenant, Role.MEMBER, sees_own_only=True))

    check_problem(confined.get(f"/jobs/{job.event_id}/events"), 404, "not_found")
    check_problem(api.get(f"/jobs/{NOBODYS}/events"), 404, "not_found")


def test_the_view_waits_for_nothing_and_says_so(api, tenant):
    job = JobFactory(tenant=tenant)

    response = api.get(f"/jobs/{job.event_id}", HTTP_PREFER="wait=30")

    assert response.status_code == 200
    assert "Preference-Applied" not in response
