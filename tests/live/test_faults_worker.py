"""Faults of those who do the work: workers, the pump, the web. F-numbers: reliability-faults.md."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import uuid
from http.client import HTTPException

import pytest
import redis

from config.celery import app
from jobs import dispatch

pytestmark = pytest.mark.faults

ONCE = ["summary", "checklist"]
SKEW_SECONDS = 7200
# Moves what the process takes for the time of day; timers are left alone.
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long skew(void) { const char *s = getenv("CLOCK_SKEW"); return s ? atol(s) : 0; }
int clock_gettime(clockid_t id, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int r = real(id, t);
    if (!r && id == CLOCK_REALTIME) t->tv_sec += skew();
    return r;
}
int gettimeofday(struct timeval *t, void *z) {
    struct timespec s;
    int r = clock_gettime(CLOCK_REALTIME, &s);
    t->tv_sec = s.tv_sec; t->tv_usec = s.tv_nsec / 1000;
    return r;
}
time_t time(time_t *t) {
    struct timespec s;
    clock_gettime(CLOCK_REALTIME, &s);
    if (t) *t = s.tv_sec;
    return s.tv_sec;
}
"""


def hold(live, step):
    """A job whose `step` is under way and stays so until released."""
    live.script({"do": "hold", "step": step, "times": 1})
    event_id = live.submit()
    live.until(lambda: step in live.steps(event_id))
    return event_id


def log_has(live, name, what, event_id):
    return any(
        what in line and event_id in line for line in live.stack.log(name).read_text().splitlines()
    )


def broker(live):
    return redis.Redis.from_url(live.stack.redis_url)


def queue_key():
    return app.conf.broker_transport_options["global_keyprefix"] + dispatch.RUN.queue


# --- Killed at a point ----------------------------------------------------------------------


def test_f01_a_worker_killed_before_its_claim_leaves_the_job_as_it_was(live):
    with live.without("worker"):
        event_id = live.submit()
        live.arm("before_claim")
    live.wait_fired("before_claim")
    assert (live.job(event_id)["status"], live.job(event_id)["attempt"]) == ("PENDING", 0)

    job = live.wait_for(event_id, "COMPLETED")

    assert job["attempt"] == 1
    assert live.steps(event_id) == ONCE


def test_f01_a_worker_killed_just_after_its_claim_costs_an_attempt_and_no_call(live):
    live.arm("after_claim")
    event_id = live.submit()

    live.wait_for(event_id, "COMPLETED")

    assert live.attempts(event_id) == [
        (1, "summarize", "lease_lost"),
        (2, "summarize", "completed"),
    ]
    assert live.steps(event_id) == ONCE


def test_f02_a_worker_killed_during_step_one_may_have_paid_for_it_and_says_so(live):
    event_id = hold(live, "summary")

    live.kill("worker")

    job = live.wait_for(event_id, "COMPLETED")
    assert job["attempt"] == 2
    assert job["usage"]["unknown_calls"] == 1
    assert live.steps(event_id) == ["summary", *ONCE]
    assert live.ledger(event_id) == [
        (1, "summarize", "unknown"),
        (2, "summarize", "ok"),
        (2, "checklist", "ok"),
    ]


@pytest.mark.parametrize(
    ("point", "first_call"), [("after_reply", "unknown"), ("before_summary_commit", "lost")]
)
def test_f03_a_reply_lost_before_the_checkpoint_is_paid_twice_and_counted(live, point, first_call):
    live.arm(point)
    event_id = live.submit()

    job = live.wait_for(event_id, "COMPLETED")

    assert job["attempt"] == 2
    assert (job["usage"]["llm_calls"], job["usage"]["unknown_calls"]) == (2, 1)
    assert live.steps(event_id) == ["summary", *ONCE]
    assert live.ledger(event_id) == [
        (1, "summarize", first_call),
        (2, "summarize", "ok"),
        (2, "checklist", "ok"),
    ]


def test_f04_a_worker_killed_with_its_result_in_hand_pays_for_step_two_alone_again(live):
    live.arm("before_result_commit")
    event_id = live.submit()

    job = live.wait_for(event_id, "COMPLETED")

    assert live.attempts(event_id) == [
        (1, "summarize", "lease_lost"),
        (2, "checklist", "completed"),
    ]
    assert live.steps(event_id) == [*ONCE, "checklist"]
    assert live.ledger(event_id) == [
        (1, "summarize", "ok"),
        (1, "checklist", "lost"),
        (2, "checklist", "ok"),
    ]
    assert (job["usage"]["llm_calls"], job["usage"]["unknown_calls"]) == (2, 1)


@pytest.mark.parametrize(
    ("point", "second", "lost"),
    [("before_checklist_commit", ["checklist", "repair"], 1), ("after_checklist_commit", [], 0)],
)
def test_f04_what_step_two_has_paid_for_is_kept_before_it_is_repaired(live, point, second, lost):
    live.script({"do": "reply", "step": "checklist", "content": {"items": []}, "times": 2})
    live.arm(point)
    event_id = live.submit()

    job = live.wait_for(event_id, "COMPLETED")

    assert live.steps(event_id) == [*ONCE, *(second or ["repair"])]
    assert (job["usage"]["llm_calls"], job["usage"]["unknown_calls"]) == (3, lost)
    assert job["result"]["coverage"]["missing"] == []
    assert job["progress"]["steps_done"] == job["progress"]["steps"] == 3


def test_f05_a_worker_killed_after_its_result_is_committed_leaves_a_job_that_is_over(live):
    live.arm("after_result_commit")
    event_id = live.submit()
    before = live.wait_for(event_id, "COMPLETED")
    live.wait_fired("after_result_commit")

    live.wait_for(live.submit(), "COMPLETED")  # somebody works again

    assert live.job(event_id) == before
    assert live.attempts(event_id) == [(1, "summarize", "completed")]
    assert live.steps(event_id) == ONCE


def test_f06_a_pump_killed_after_it_sent_wake_ups_makes_no_job_run_twice(live):
    live.arm("after_publish")
    event_ids = [live.submit() for _ in range(3)]
    live.wait_fired("after_publish")

    for event_id in event_ids:
        live.wait_for(event_id, "COMPLETED")

    assert all(live.attempts(e) == [(1, "summarize", "completed")] for e in event_ids)


def test_f06_a_pump_killed_before_it_reaps_is_started_again_and_reaps(live):
    event_id = hold(live, "summary")
    live.arm("before_reap")
    live.kill("worker")

    live.wait_fired("before_reap")

    assert live.wait_for(event_id, "COMPLETED")["attempt"] == 2


def workers(live, event_id):
    """Who worked on the job, in order."""
    rows = live.rows(
        "SELECT split_part(a.worker, '@', 1) AS name FROM jobs_jobattempt a"
        " JOIN jobs_job j ON j.id = a.job_id WHERE event_id = %s ORDER BY number",
        event_id,
    )
    return [row["name"] for row in rows]


def test_f06_without_a_pump_a_lost_workers_job_is_taken_over_by_another_worker(live):
    with live.another_worker() as lost:
        with live.without("worker"):
            event_id = hold(live, "summary")
        with live.without("beat"), live.without("maintenance"):
            os.killpg(lost.pid, signal.SIGKILL)

            live.wait_for(event_id, "COMPLETED", seconds=20)

    assert workers(live, event_id) == ["other", "worker"]
    assert live.attempts(event_id)[0] == (1, "summarize", "lease_lost")


def test_f06_without_a_pump_a_job_that_waits_is_tried_again_and_its_wake_up_may_be_lost(live):
    live.script({"do": "status", "status": 429, "retry_after": 1, "times": 1})
    with live.without("beat"), live.without("maintenance"):
        event_id = live.submit()
        live.until(lambda: live.attempts(event_id) == [(1, "summarize", "retried")])
        broker(live).flushdb()

        live.wait_for(event_id, "COMPLETED", seconds=20)

    tries = [(1, "summarize", "retried"), (2, "summarize", "completed")]
    assert live.attempts(event_id) == tries


def submit_and_be_cut_off(live, title):
    with pytest.raises((urllib.error.URLError, HTTPException, ConnectionError)):
        live.request("POST", "/jobs", {"guideline_text": "Staff MUST rest.", "title": title})


def jobs_titled(live, title):
    return live.rows("SELECT event_id::text FROM jobs_job WHERE title = %s", title)


def test_f07_a_web_process_killed_after_the_commit_has_made_a_job_that_runs(live):
    live.arm("after_post_commit")
    submit_and_be_cut_off(live, "cut off after")

    [row] = jobs_titled(live, "cut off after")

    live.wait_for(row["event_id"], "COMPLETED")
    listed = live.request("GET", "/jobs?limit=1")[2]["data"]
    assert [job["event_id"] for job in listed] == [row["event_id"]]


def test_f07_what_was_cut_off_is_sent_again_with_its_key_and_done_once(live):
    body, key = {"guideline_text": "Staff MUST rest.", "title": "with a key"}, str(uuid.uuid4())
    live.arm("after_post_commit")
    with pytest.raises((urllib.error.URLError, HTTPException, ConnectionError)):
        live.request("POST", "/jobs", body, key=key)
    [row] = jobs_titled(live, "with a key")

    status, headers, job = live.until(lambda: answered(live, body, key))

    assert (status, job["event_id"]) == (202, row["event_id"])
    assert headers["Idempotent-Replayed"] == "true"
    assert headers["Location"] == f"/jobs/{row['event_id']}"
    assert jobs_titled(live, "with a key") == [row]
    live.wait_for(row["event_id"], "COMPLETED")


def test_f07_what_was_cut_off_before_its_commit_is_done_when_it_is_sent_again(live):
    body, key = {"guideline_text": "Staff MUST rest.", "title": "key, too soon"}, str(uuid.uuid4())
    live.arm("before_post_commit")
    with pytest.raises((urllib.error.URLError, HTTPException, ConnectionError)):
        live.request("POST", "/jobs", body, key=key)
    assert jobs_titled(live, "key, too soon") == []

    status, headers, job = live.until(lambda: answered(live, body, key))

    assert (status, headers["Idempotent-Replayed"]) == (202, None)
    assert [row["event_id"] for row in jobs_titled(live, "key, too soon")] == [job["event_id"]]
    live.wait_for(job["event_id"], "COMPLETED")


def answered(live, body, key):
    """None while the web server is being started again."""
    try:
        answer = live.request("POST", "/jobs", body, key=key)
    except (urllib.error.URLError, HTTPException, ConnectionError):
        return None
    return answer if answer[0] == 202 else None


def test_f07_a_web_process_killed_before_the_commit_has_made_nothing(live):
    live.arm("before_post_commit")
    submit_and_be_cut_off(live, "cut off before")

    assert jobs_titled(live, "cut off before") == []
    live.wait_for(live.submit(), "COMPLETED")


# --- Twice, late, paused, skewed ------------------------------------------------------------


def test_f14_ten_copies_of_one_wake_up_run_the_job_once(live):
    with live.without("worker"):
        event_id = live.submit()
        with app.connection_for_write(live.stack.redis_url) as connection:
            for _ in range(10):
                app.send_task(
                    dispatch.RUN.task,
                    queue=dispatch.RUN.queue,
                    task_id="the-same",
                    connection=connection,
                    retry=False,
                )

    live.wait_for(event_id, "COMPLETED")
    live.until(lambda: broker(live).llen(queue_key()) == 0)

    assert live.attempts(event_id) == [(1, "summarize", "completed")]
    assert live.steps(event_id) == ONCE


def test_f16_a_worker_that_was_frozen_longer_than_its_lease_changes_nothing_when_it_thaws(live):
    event_id = hold(live, "summary")
    frozen = live.stack.children["worker"].pid
    with live.another_worker():
        os.killpg(frozen, signal.SIGSTOP)
        done = live.wait_for(event_id, "COMPLETED")
        live.release()
        os.killpg(frozen, signal.SIGCONT)

        live.until(lambda: log_has(live, "worker", "stale_write_refused", event_id))

    assert live.stack.children["worker"].pid == frozen
    assert live.job(event_id) == done
    assert live.steps(event_id) == ["summary", *ONCE]  # no call of its own after the thaw
    assert live.attempts(event_id) == [
        (1, "summarize", "lease_lost"),
        (2, "summarize", "completed"),
    ]


@pytest.fixture(scope="session")
def clock(tmp_path_factory):
    """Environment of a process whose clock is wrong by so many seconds."""
    compiler = shutil.which("cc")
    if compiler is None or os.uname().sysname != "Linux":
        pytest.skip("a wrong clock needs Linux and a C compiler")
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(CLOCK)
    library = folder / "clock.so"
    command = [compiler, "-shared", "-fPIC", "-o", library, folder / "clock.c", "-ldl"]
    subprocess.run(command, check=True)
    return lambda seconds: {"LD_PRELOAD": str(library), "CLOCK_SKEW": str(seconds)}


def test_f18_clocks_that_are_hours_wrong_neither_take_a_lease_nor_keep_one(live, clock):
    worker, pump = live.stack.children["worker"], live.stack.children["maintenance"]
    usual = {child: child.env for child in (worker, pump)}
    with live.without("worker"), live.without("maintenance"):
        worker.env = {**worker.env, **clock(-SKEW_SECONDS)}
        pump.env = {**pump.env, **clock(SKEW_SECONDS)}
    try:
        live.script({"do": "delay", "seconds": 3, "step": "summary", "times": 1})  # over a lease
        slow = live.submit()
        live.wait_for(slow, "COMPLETED")
        lost = hold(live, "summary")
        live.kill("worker")
        live.wait_for(lost, "COMPLETED")
    finally:
        with live.without("worker"), live.without("maintenance"):
            worker.env, pump.env = usual[worker], usual[pump]

    assert live.attempts(slow) == [(1, "summarize", "completed")]
    assert live.attempts(lost) == [(1, "summarize", "lease_lost"), (2, "summarize", "completed")]


# --- Asked to stop --------------------------------------------------------------------------


def test_f32_a_rolling_restart_under_load_loses_nothing_and_refuses_nobody(live):
    live.script({"do": "delay", "seconds": 0.3, "times": 1000})
    event_ids, ended = [], threading.Event()

    def load():
        while not ended.is_set():
            event_ids.append(live.submit())
            time.sleep(0.05)

    client = threading.Thread(target=load)
    client.start()
    live.until(lambda: len(event_ids) > 5)
    for name in ("worker", "maintenance", "beat", "web"):  # whoever asks the web meanwhile waits
        before = live.stack.children[name].pid
        live.signal(name, signal.SIGTERM)
        live.signal(name, signal.SIGTERM)  # twice is no harm
        live.until(lambda name=name, before=before: live.stack.children[name].pid != before)
    submitted = len(event_ids)
    live.until(lambda: len(event_ids) > submitted + 10)
    ended.set()
    client.join()

    for event_id in event_ids:
        live.wait_for(event_id, "COMPLETED", seconds=60)
    assert {
        row["crashes"]
        for row in live.rows(
            "SELECT crashes FROM jobs_job WHERE event_id = ANY(%s::uuid[])", event_ids
        )
    } == {0}


def test_f32_a_worker_that_is_asked_to_stop_hands_its_job_back_from_its_checkpoint(live):
    event_id = hold(live, "checklist")

    live.signal("worker", signal.SIGTERM)

    job = live.wait_for(event_id, "COMPLETED")
    assert live.steps(event_id) == [*ONCE, "checklist"]
    assert live.attempts(event_id) == [
        (1, "summarize", "handed_back"),
        (2, "checklist", "completed"),
    ]
    assert job["usage"]["unknown_calls"] == 1


def stops_in_good_order(live, name):
    """Its exit status, once it was seen at work and then asked to stop."""
    child, now = live.stack.children[name], time.time()
    live.until(lambda: child.alive_file.exists() and child.alive_file.stat().st_mtime > now)
    child.ask_to_stop()
    try:
        return child.process.wait(timeout=10)
    finally:
        child.wait_stopped(1)
        child.start()


def test_f33_a_worker_stops_in_good_order_while_its_job_waits_to_be_tried_again(live):
    live.script({"do": "status", "status": 429, "retry_after": 3, "times": 1})
    event_id = live.submit()
    live.until(lambda: live.attempts(event_id) == [(1, "summarize", "retried")])

    assert stops_in_good_order(live, "worker") == 0

    assert live.wait_for(event_id, "COMPLETED")["attempt"] == 2


def test_f33_a_pump_that_is_just_sending_wake_ups_stops_in_good_order(live):
    child = live.stack.children["maintenance"]
    live.arm("before_publish")
    live.wait_fired("before_publish")  # it now waits for a second at this place

    child.ask_to_stop()
    status = child.process.wait(timeout=10)
    child.start()

    assert status == 0

    live.wait_for(live.submit(), "COMPLETED")


# --- Poison ---------------------------------------------------------------------------------


def test_f34_a_job_that_kills_every_worker_ends_and_costs_no_more_than_its_crashes(live):
    live.arm("before_summary_commit")
    event_id = live.submit()
    for _ in range(2):
        live.wait_fired("before_summary_commit")
        live.arm("before_summary_commit")

    job = live.wait_for(event_id, "FAILED")

    assert job["error"]["code"] == "poison"
    assert job["usage"]["unknown_calls"] == 3
    assert live.steps(event_id) == ["summary"] * 3
    assert live.attempts(event_id) == [(n, "summarize", "lease_lost") for n in (1, 2, 3)]
    live.wait_for(live.submit(), "COMPLETED")


def message(task=dispatch.RUN.task, args=(), kwargs=None, content_type="application/json"):
    """What Celery puts into Redis, with one thing wrong."""
    from base64 import b64encode

    body = json.dumps([list(args), kwargs or {}, {}]).encode()
    return json.dumps(
        {
            "body": b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": content_type,
            "headers": {"lang": "py", "task": task, "id": "poison", "argsrepr": ""},
            "properties": {
                "correlation_id": "poison",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": dispatch.RUN.queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": "poison",
            },
        }
    )


def test_f35_poisonous_messages_are_dropped_and_jobs_go_on(live):
    poison = [
        message(task="jobs.tasks.that_never_was"),
        message(args=(1, 2, 3)),
        message(content_type="application/x-python-serialize"),
        b"\xff\xfe no message",  # costs the process, since Celery's transport cannot pass over it
    ]
    worker = live.stack.children["worker"]
    before = worker.pid
    broker(live).rpush(queue_key(), *poison)
    event_id = live.submit()

    live.until(lambda: worker.pid != before)

    live.wait_for(event_id, "COMPLETED")
    assert live.steps(event_id)[-1] == "checklist"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000,
        "a" * 200_000,
        "MUST " * 20_000,
        "| " * 30_000,
        "# " * 30_000,
        "- " * 10_000 + "\n" * 10_000,
        "\u202e\u2028\ufeff\U0010ffff MUST \x07",
        "((((" * 5_000 + "))))" * 5_000,
    ],
    ids=["brackets", "long word", "keywords", "cells", "headings", "bullets", "odd", "nested"],
)
def test_f36_a_poisonous_text_ends_its_job_and_harms_no_other(live, text):
    poisonous, other = live.submit(text), live.submit()

    job = live.wait_for(poisonous, "COMPLETED", "FAILED")

    assert job["status"] == "COMPLETED" or job["error"]["code"] == "llm_invalid_output"
    assert "lease_lost" not in {outcome for _, _, outcome in live.attempts(poisonous)}
    live.wait_for(other, "COMPLETED")
