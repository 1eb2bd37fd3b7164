import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.processes import RESTARTS, Child, StartFailed, listen, tail
from tests.waiting import until

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def child(tmp_path):
    """Makes children that run Python code; all are gone after the test."""
    made = []

    def make(code):
        one = Child("sample", [sys.executable, "-c", code], tmp_path / "sample.log", cwd=tmp_path)
        made.append(one)
        return one

    yield make
    for one in made:
        one.ask_to_stop()
        one.wait_stopped(5)


def exists(pid):
    """A process that is not only waiting to be reaped."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_child_that_dies_unasked_is_started_again(child):
    one = child("import time; time.sleep(60)")
    one.start()
    first = one.pid

    os.kill(first, signal.SIGKILL)
    until(lambda: not one.is_alive())

    assert one.restart_if_dead() == -signal.SIGKILL
    assert one.is_alive()
    assert one.pid != first


def test_a_child_that_lives_or_was_stopped_is_left_alone(child):
    one = child("import time; time.sleep(60)")
    one.start()
    assert one.restart_if_dead() is None

    one.ask_to_stop()
    one.wait_stopped(5)

    assert one.restart_if_dead() is None
    assert not one.is_alive()


def test_a_child_that_is_just_being_started_is_not_started_twice_by_a_watcher(child, monkeypatch):
    one = child("import time; time.sleep(60)")
    one.start()
    one.ask_to_stop()
    one.wait_stopped(5)
    popen, seen = subprocess.Popen, []

    def popen_under_watch(*args, **kwargs):
        if not seen:
            seen.append(None)
            seen.append(one.restart_if_dead())
        return popen(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", popen_under_watch)
    one.start()

    assert seen == [None, None]


def test_a_child_that_does_nothing_but_die_is_given_up_with_the_end_of_its_log(child):
    one = child("print('out of ideas'); raise SystemExit(3)")
    one.start()

    with pytest.raises(StartFailed, match="keeps dying") as failure:
        for _ in range(RESTARTS + 1):
            until(lambda: not one.is_alive())
            one.restart_if_dead()

    assert "out of ideas" in str(failure.value)


def test_a_child_that_ignores_its_signal_is_killed_with_all_that_it_started(child, tmp_path):
    one = child(
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('pid', 'w').write(str(p.pid))\n"
        "time.sleep(60)"
    )
    one.start()
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())

    one.ask_to_stop()
    one.wait_stopped(0.2)

    assert not one.is_alive()
    until(lambda: not exists(int((tmp_path / "pid").read_text())))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of the death")
def test_children_die_with_a_supervisor_that_is_killed(tmp_path):
    supervisor = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from deploy.local.processes import Child\n"
            f"log = Path({str(tmp_path / 'log')!r})\n"
            "c = Child('c', [sys.executable, '-c', 'import time; time.sleep(60)'], log, cwd='/')\n"
            "c.start(); print(c.pid, flush=True); time.sleep(60)",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    pid = int(supervisor.stdout.readline())
    assert exists(pid)

    supervisor.kill()
    supervisor.wait()

    until(lambda: not exists(pid))


def test_a_port_that_was_given_to_one_server_is_not_given_to_another():
    with listen() as first, listen(first.getsockname()[1]) as second:
        assert second.getsockname()[1] not in (first.getsockname()[1], 0)


def test_a_server_that_is_given_the_socket_answers_on_its_port(tmp_path):
    serve = (
        "import socket, sys;"
        "listening = socket.socket(fileno=int(sys.argv[1]));"
        "listening.accept()[0].sendall(b'it is me')"
    )
    with listen() as listening:
        number = listening.fileno()
        command = [sys.executable, "-c", serve, str(number)]
        popen = {"pass_fds": [number]}
        child = Child("server", command, tmp_path / "log", cwd=tmp_path, popen=popen)
        with socket.create_connection(listening.getsockname(), timeout=30) as early:
            child.start()
            try:
                assert early.recv(100) == b"it is me"
            finally:
                child.wait_stopped(10)


def test_the_tail_of_a_log_that_is_not_there_says_so(tmp_path):
    assert "none.log" in tail(tmp_path / "none.log")
