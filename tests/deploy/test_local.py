"""The commands behind make, in processes of their own and in a copy of the checkout's state."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import __main__ as command
from deploy.local.demo import DemoFailed, printable, wrap
from deploy.local.prepared import prepare
from tests.chaos.harness import temporary_home
from tests.deploy.test_processes import exists
from tests.waiting import until

ROOT = Path(__file__).parent.parent.parent
SAMPLE = ROOT / "deploy" / "local" / "sample-guideline.md"


def start(home, *arguments):
    """`python -m deploy.local` with its state in `home`, on servers of its own."""
    code = (
        "import sys; from pathlib import Path; from deploy.local import __main__ as m;"
        f" m.HOME = Path({str(home)!r}); sys.exit(m.main())"
    )
    env = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL")}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def parents():
    """The parent of every process, from /proc."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    return found


def children(pid):
    return {child for child, parent in parents().items() if parent == pid}


def descendants(pid):
    found, waiting = set(), children(pid)
    while waiting:
        found |= waiting
        waiting = {child for one in waiting for child in children(one)} - found
    return found


@pytest.fixture(scope="module")
def running():
    """A served stack, and what it printed when it was up."""
    with temporary_home() as folder:
        home = folder / "state"
        home.mkdir()
        prepare(home)
        process = start(home, "run")
        printed = ""
        while "Ctrl-C" not in printed:
            line = process.stdout.readline()
            assert line, printed
            printed += line
        yield home, process, printed
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


@pytest.fixture
def home():
    with temporary_home() as folder:
        yield folder / "state"


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_what_is_printed_can_be_pasted_as_it_is(running):
    _, _, printed = running
    commands = printed.partition("Paste this:")[2].partition("Ctrl-C")[0]

    pasted = subprocess.run(
        ["bash", "-euc", commands], capture_output=True, text=True, timeout=30, check=True
    )

    submitted, listed = re.findall(r"^\{.*\}$", pasted.stdout.replace("}{", "}\n{"), re.MULTILINE)
    assert json.loads(submitted)["status"] == "PENDING"
    assert json.loads(listed)["data"][0]["event_id"] == json.loads(submitted)["event_id"]


def test_a_second_run_describes_the_first(running):
    home, _, printed = running

    second = start(home, "run")
    output, _ = second.communicate(timeout=30)

    assert second.returncode == 0
    assert "running already" in output
    assert re.search(r"http://\S+/jobs", printed).group() in output


@pytest.mark.skipif(sys.platform != "linux", reason="counts processes in /proc")
def test_a_demo_uses_the_stack_that_runs(running):
    home, process, _ = running
    before = children(process.pid)

    demo = start(home, "demo")
    output, _ = demo.communicate(timeout=60)

    last = output.splitlines()[-1]
    assert demo.returncode == 0, output
    assert re.fullmatch(
        r"demo: COMPLETED event_id=\S{36} items=\d+ citations=(\d+) exact=\1"
        r" must=(\d+) must_covered=\2 seconds=\d+\.\d",
        last,
    )
    assert children(process.pid) == before


def test_manage_runs_against_the_stack(running):
    home, _, _ = running

    manage = start(home, "manage", "showmigrations", "jobs")
    output, _ = manage.communicate(timeout=30)

    assert "[X] 0001_initial" in output


def test_secrets_are_for_their_owner_alone(running):
    home, _, _ = running

    for name in ("secrets.json", "client.json", "stack.json"):
        assert (home / name).stat().st_mode & 0o077 == 0, name


@pytest.mark.skipif(sys.platform != "linux", reason="counts processes in /proc")
def test_a_stop_leaves_nothing_behind_and_the_next_start_finds_the_data(home):
    first = start(home, "demo")
    output, _ = first.communicate(timeout=90)
    assert first.returncode == 0, output

    second = start(home, "run")
    while "Ctrl-C" not in second.stdout.readline():
        pass
    family = descendants(second.pid)
    count = start(
        home,
        "manage",
        "shell",
        "-c",
        "from jobs.models import Job; print(Job.objects.across_tenants().count())",
    )
    jobs = count.communicate(timeout=30)[0].splitlines()[-1]
    second.send_signal(signal.SIGINT)
    second.wait(timeout=30)

    assert jobs == "1"
    assert len(family) > 8
    until(lambda: not any(map(exists, family)))
    assert not (home / "stack.json").exists()


def test_a_guideline_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DemoFailed, match=r"nowhere\.md cannot be read"):
        command.read_guideline(tmp_path / "nowhere.md")


def test_nothing_that_a_model_writes_steers_the_terminal():
    assert printable("a\x1b[31mb\u202ec\u0007") == "a�[31mb�c�"
    assert "\x1b" not in wrap("x\x1b]0;title\x07")


def test_the_sample_is_worth_showing():
    text = SAMPLE.read_text()
    must, other = (len(re.findall(p, text)) for p in (r"\b(?:MUST|SHALL)\b", r"\b(?:SHOULD|MAY)\b"))

    assert len(text.split()) >= 1200
    assert must + other >= 60
    assert must >= 30
    assert "| " in text
    assert "mg/kg" in text
