"""Faults of PostgreSQL, Redis and disks. F-numbers: docs/reliability-faults.md.

What cannot be done to a server that others use is done to a second stack with servers of its own,
whose state lies on a small file system where that can be mounted.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis

from deploy.local.prepared import prepare
from deploy.local.servers import wait_for_postgresql, wait_for_redis
from deploy.local.stack import Stack
from tests.live.test_faults_worker import ONCE, broker, hold, queue_key
from tests.live.whole_stack import Live, _watch, failpoints

pytestmark = pytest.mark.faults

BODY = {"guideline_text": "Staff MUST rest.", "options": {"cache": False}}
OWN_LEASE_SECONDS = 8


def small_disk(folder, size):
    """True if `folder` is now a file system of its own."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=711", "none", str(folder)]
    return (
        shutil.which("mount") is not None
        and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    )


@pytest.fixture(scope="module")
def own_stack():
    """A stack with its own servers, and whether its state lies on small disks."""
    folder = Path(tempfile.mkdtemp(prefix="guidepost-own-"))
    folder.chmod(0o711)  # PostgreSQL does not run as root and has to pass through
    disks = [folder] if small_disk(folder, "600m") else []
    (folder / "log").mkdir()
    if disks and small_disk(folder / "log", "8m"):
        disks.append(folder / "log")
    settings = {
        "JOB_LEASE_SECONDS": str(OWN_LEASE_SECONDS),
        "PUMP_SECONDS": "0.5",
        "TOKEN_RATE": "10000/m",
        "OPENAI_API_KEY": "",
        "OPENAI_BASE_URL": "",
        **failpoints(folder),
    }
    prepare(folder)
    stack = Stack(folder, settings=settings, patient=True)
    stack.start()
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(stack, ended))
    watcher.start()
    yield Live(stack, None, stack.database_url), len(disks) == 2
    ended.set()
    watcher.join()
    stack.stop()
    for disk in reversed(disks):
        subprocess.run(["umount", "-l", str(disk)], check=True)
    shutil.rmtree(folder)


@pytest.fixture
def own(own_stack):
    """The second stack with everything in place and a model that behaves."""
    live, _ = own_stack
    live.reset_model()
    live.token()  # while there is a Redis to count with
    yield live
    for filler in live.stack.home.rglob("filler"):
        filler.unlink()
    wait_for_postgresql(live.database_url)
    wait_for_redis(live.stack.redis_url)
    live.reset_model()
    live.wait_for(accepted(live), "COMPLETED", seconds=60)


def accepted(live):
    """A job that was taken once the service answers again."""
    return live.until(
        lambda: (answer := live.request("POST", "/jobs", BODY))[0] == 202 and answer[2]["event_id"]
    )


@pytest.fixture
def disks(own_stack):
    if not own_stack[1]:
        pytest.skip("a small disk needs the right to mount a tmpfs")


def fill(folder):
    """Leaves not a byte on the file system."""
    with (folder / "filler").open("wb") as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(file.fileno(), b"\0" * size)


# --- Redis ----------------------------------------------------------------------------------


def test_f08_a_flushed_redis_loses_neither_what_waits_nor_what_runs(live):
    live.script({"do": "hold", "times": 8})  # as many as the worker runs at once
    running = [live.submit() for _ in range(8)]
    live.until(lambda: len(live.calls()) == 8)
    waiting = [live.submit() for _ in range(5)]

    broker(live).flushdb()
    live.release()

    for event_id in running + waiting:
        live.wait_for(event_id, "COMPLETED")
    assert all(
        live.attempts(event_id) == [(1, "summarize", "completed")] for event_id in running + waiting
    )


@pytest.mark.parametrize("remembers", [True, False])
def test_f10_a_redis_that_restarts_under_a_running_job_is_consumed_from_again(own, remembers):
    event_id = hold(own, "summary")
    with own.without("valkey"):
        if not remembers:
            shutil.rmtree(own.stack.home / "valkey" / "appendonlydir")
        own.release()
        time.sleep(0.5)  # the worker has noticed

    own.wait_for(event_id, "COMPLETED")

    own.wait_for(own.submit(), "COMPLETED")
    assert own.attempts(event_id) == [(1, "summarize", "completed")]
    assert own.steps(event_id) == ONCE


def test_f29_a_redis_that_takes_no_writes_delays_jobs_and_refuses_none(own):
    with redis.Redis.from_url(own.stack.redis_url) as client:
        client.config_set("maxmemory", 1)
        try:
            event_ids = [own.submit() for _ in range(3)]
            time.sleep(1)
        finally:
            client.config_set("maxmemory", 0)

    for event_id in event_ids:
        assert own.wait_for(event_id, "COMPLETED")["attempt"] == 1


# --- PostgreSQL -----------------------------------------------------------------------------


def test_f12_while_postgresql_is_away_a_reply_is_kept_and_requests_are_told_to_come_back(own):
    event_id = hold(own, "summary")
    with own.without("postgresql"):
        status, headers, problem = own.request("POST", "/jobs", BODY)
        own.release()
        time.sleep(0.5)  # the reply is in and cannot be written

    job = own.wait_for(event_id, "COMPLETED")

    assert (status, headers["Retry-After"], problem["code"]) == (503, "5", "unavailable")
    assert job["attempt"] == 1
    assert own.steps(event_id) == ONCE


def test_f12_an_outage_longer_than_a_lease_is_no_crash_of_the_workers(own):
    event_id = hold(own, "summary")
    with own.without("postgresql"):
        time.sleep(OWN_LEASE_SECONDS + 1)

    job = own.wait_for(event_id, "COMPLETED")

    [row] = own.rows("SELECT crashes FROM jobs_job WHERE event_id = %s", event_id)
    assert (row["crashes"], job["attempt"], job["usage"]["unknown_calls"]) == (0, 2, 1)
    assert own.attempts(event_id)[0] == (1, "summarize", "lease_lost")


def test_f12_a_postgresql_that_crashes_costs_no_accepted_job(own):
    answers = [own.request("POST", "/jobs", BODY)]
    own.signal("postgresql", signal.SIGQUIT)  # immediate: no checkpoint, recovery from its log
    while len(answers) < 20 or answers[-1][0] != 202:
        answers.append(own.request("POST", "/jobs", BODY))

    assert {status for status, _, _ in answers} <= {202, 503}
    for status, _, job in answers:
        if status == 202:
            own.wait_for(job["event_id"], "COMPLETED")


def test_f12_connections_that_are_cut_cost_no_call_and_no_attempt(own):
    event_id = hold(own, "summary")
    own.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    own.release()

    own.wait_for(event_id, "COMPLETED")
    assert own.attempts(event_id) == [(1, "summarize", "completed")]
    assert own.steps(event_id) == ONCE


def test_f13_a_locked_table_refuses_requests_in_time_and_holds_up_no_other(live):
    with psycopg.connect(live.database_url) as connection, ThreadPoolExecutor(20) as clients:
        connection.execute("LOCK TABLE jobs_job IN ACCESS EXCLUSIVE MODE")
        started = time.monotonic()
        answers = list(clients.map(lambda _: live.request("POST", "/jobs", BODY), range(20)))
        seconds = time.monotonic() - started

    assert {(status, headers["Retry-After"]) for status, headers, _ in answers} == {(503, "5")}
    assert seconds < 15  # two rounds of 2 s for the threads of two processes, and patience
    live.wait_for(live.submit(), "COMPLETED")


def test_f27_without_the_breakers_store_nothing_is_claimed_and_no_call_is_made(own):
    """The circuit lies where the jobs lie: neither can be had without the other."""
    with own.without("worker"):
        event_id = own.submit()
        own.stack.children["postgresql"].ask_to_stop()
        own.stack.children["postgresql"].wait_stopped(10)
    own.until(lambda: broker(own).llen(queue_key()) == 0)  # the worker asks, and hears nothing
    assert own.calls() == []

    own.stack.children["postgresql"].start()

    assert own.wait_for(event_id, "COMPLETED")["attempt"] == 1


def test_f28_a_full_disk_refuses_jobs_and_loses_none(own, disks):
    before = [own.submit() for _ in range(3)]
    fill(own.stack.home)
    text = secrets.token_hex(300_000)  # cannot be compressed into a page that is there

    answers = [own.request("POST", "/jobs", {"guideline_text": text}) for _ in range(3)]

    (own.stack.home / "filler").unlink()
    assert {status for status, _, _ in answers} == {503}
    for event_id in [*before, accepted(own)]:
        own.wait_for(event_id, "COMPLETED", seconds=60)


def test_f30_a_full_disk_for_logs_stops_nobody(own, disks):
    fill(own.stack.home / "log")

    for _ in range(3):
        own.wait_for(own.submit(), "COMPLETED")

    own.signal("worker", signal.SIGKILL)  # nor keeps it one from starting
    own.wait_for(own.submit(), "COMPLETED")


def _let_go(tracer):
    """Ends strace once it has made a call fail; whether it has."""
    failed = any("INJECTED" in line for line in tracer.stderr)
    tracer.terminate()
    tracer.communicate()
    return failed


def test_f31_a_failed_fsync_is_a_crash_and_no_accepted_job_is_lost(own):
    if shutil.which("strace") is None:
        pytest.skip("strace, which makes system calls fail, is not installed")
    pids = [
        row["pid"]
        for row in own.rows("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    ]
    attached = [option for pid in pids for option in ("-p", str(pid))]
    fault = ["-e", "inject=fdatasync:error=EIO:when=1", "-e", "trace=fdatasync"]
    tracer = subprocess.Popen(
        ["strace", "-f", "-p", str(own.stack.children["postgresql"].pid), *attached, *fault],
        stderr=subprocess.PIPE,
        text=True,
    )
    if "not permitted" in tracer.stderr.readline():
        tracer.wait()
        pytest.skip("this system does not allow one process to trace another")
    seen = []
    # Let go at once: the first call of each process that recovers would fail as well.
    reader = threading.Thread(target=lambda: seen.append(_let_go(tracer)))
    reader.start()

    try:
        answers = [own.request("POST", "/jobs", BODY)]
        while answers[-1][0] == 202 and len(answers) < 20:
            answers.append(own.request("POST", "/jobs", BODY))
    finally:
        tracer.terminate()
        reader.join()
    assert seen == [True]
    assert 503 in {status for status, _, _ in answers}
    for status, _, job in answers:
        if status == 202:
            own.wait_for(job["event_id"], "COMPLETED")


# --- Both at once ---------------------------------------------------------------------------


def test_f42_a_migration_under_load_refuses_nobody_and_old_code_goes_on(live):
    with psycopg.connect(live.database_url, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '2s'")
        connection.execute("ALTER TABLE jobs_job ADD COLUMN of_the_next_version int DEFAULT 7")
        try:
            event_ids = [live.submit() for _ in range(5)]
            for event_id in event_ids:
                live.wait_for(event_id, "COMPLETED")
        finally:
            connection.execute("ALTER TABLE jobs_job DROP COLUMN of_the_next_version")
    live.wait_for(live.submit(), "COMPLETED")
