"""The calls of a long step: more time, some repetitions, progress by passages."""

import asyncio
import time

import pytest

from llm import calls, errors
from llm.calls import How, Progress, all_of
from llm.chain import generate_checklist, summarize_guidelines
from llm.passages import split_passages
from llm.revision import Kept
from tests.llm.conftest import make_client

LONG = "\n\n".join(f"# {n}\n\n" + f"Staff must do task {n}. " * 400 for n in range(12))


def asking(fail_first=0, error=None):
    """An `ask` whose first calls fail, and the numbers it was given."""
    numbers = []

    async def ask(portion, number):
        numbers.append(number)
        if len(numbers) <= fail_first:
            raise error
        return portion

    return ask, numbers


def summarize(url, source, *, deadline=20.0, **options):
    async def work():
        client = make_client(url)
        try:
            until = time.monotonic() + deadline
            return await summarize_guidelines(client, source, deadline=until, **options)
        finally:
            await client.aclose()

    return asyncio.run(work())


def test_a_step_has_longer_the_more_rounds_its_calls_make():
    how = How(call_seconds=10.0)

    assert [how.until(100.0, calls) for calls in (0, 1, 4, 5, 8, 9, 110)] == [
        100.0,
        100.0,
        100.0,
        110.0,
        110.0,
        120.0,
        370.0,
    ]
    assert How().until(100.0, 110) == 100.0


def test_a_long_guideline_does_not_run_out_of_the_time_of_a_short_one(offline):
    offline.stage.script([{"do": "delay", "seconds": 0.4, "times": 50}])
    with pytest.raises(errors.TimedOut):
        summarize(offline.url, LONG, deadline=0.7)

    step = summarize(offline.url, LONG, deadline=0.7, how=How(call_seconds=5.0))

    assert step.usage["calls"] == 12


def test_a_step_of_many_calls_bears_that_a_tenth_of_them_fail_once(monkeypatch):
    monkeypatch.setattr(calls, "MAX_PAUSE", 1.0)
    ask, numbers = asking(2, errors.Unavailable("503", retry_after=0.01))

    replies = asyncio.run(all_of(ask, range(20), until=float("inf")))

    assert replies == list(range(20))
    assert sorted(numbers) == list(range(1, 23))  # no number twice: each has a label of its own


@pytest.mark.parametrize(
    ("portions", "failures", "error"),
    [
        (9, 1, errors.Unavailable("503", retry_after=0.01)),  # a short step is repeated whole
        (20, 3, errors.Unavailable("503", retry_after=0.01)),  # too many
        (20, 1, errors.Throttled("429", retry_after=60.0)),  # a slot is not held for so long
        (20, 1, errors.Refused("no")),
    ],
)
def test_what_a_step_does_not_bear_ends_it(portions, failures, error):
    ask, _ = asking(failures, error)

    with pytest.raises(type(error)):
        asyncio.run(all_of(ask, range(portions), until=float("inf")))


def test_nothing_is_repeated_once_the_step_is_out_of_time():
    ask, numbers = asking(1, errors.TimedOut("late", retry_after=0.01))

    with pytest.raises(errors.TimedOut):
        asyncio.run(all_of(ask, range(20), until=time.monotonic()))

    assert max(numbers) <= 20


def test_a_call_of_a_long_step_that_fails_in_passing_is_made_again(offline):
    offline.stage.script([{"do": "status", "status": 503, "retry_after": 0}])

    step = summarize(offline.url, LONG, request_label="e.1.summarize")

    labels = [call["client_request_id"] for call in offline.stage.ledger()]
    assert step.usage["calls"] == 12
    assert sorted(labels) == sorted(f"e.1.summarize.{n}" for n in range(1, 14))


def test_progress_counts_passages_and_what_was_kept_is_done_at_once(offline):
    told = []

    async def note(done, total):
        told.append((done, total))

    kept = Kept(passages=frozenset(p.id for p in split_passages(LONG)[:12]))
    summarize(offline.url, LONG, kept=kept, how=How(on_progress=note))

    assert told == [(done, 12) for done in range(6, 13)]


def test_a_passage_in_parts_is_counted_once():
    told, passages = [], split_passages("Staff must rest.\n\nStaff must eat.")

    async def note(done, total):
        told.append((done, total))

    async def work():
        progress = Progress(note, passages, passages)
        for done in ([], passages[:1], passages[:1], passages[1:]):
            await progress.add(done)

    asyncio.run(work())

    assert told == [(0, 2), (1, 2), (1, 2), (2, 2)]


def test_a_step_that_may_not_tell_its_progress_stops(offline):
    class Lost(Exception):
        pass

    async def refuse(done, total):
        if done:
            raise Lost

    async def work():
        client = make_client(offline.url)
        try:
            summary = {"title": "", "scope": "", "audience": "", "statements": []}
            until, how = time.monotonic() + 20, How(on_progress=refuse)
            await generate_checklist(client, LONG, summary, deadline=until, how=how)
        finally:
            await client.aclose()

    with pytest.raises(Lost):
        asyncio.run(work())

    assert len(offline.stage.ledger()) <= 8
