"""The commands behind make, in processes of their own and in a copy of the checkout's state."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local import __main__ as command
from deploy.local.demo import DemoFailed, printable, wrap
from tests.chaos.harness import temporary_home

pytestmark = pytest.mark.timeout(360)
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


def those_of(home):
    """Every process that works with this state."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            said = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            if str(home).encode() in said:
                found.add(int(process.name))
    return found - {os.getpid()}


@dataclass
class Lives:
    """A stack that was started on nothing for a demo, and again to be served."""

    home: Path
    demo: str  # what it printed
    process: subprocess.Popen
    printed: str = ""  # when it was up


@pytest.fixture(scope="module")
def running():
    with temporary_home() as folder:
        home = folder / "state"
        demo = start(home, "demo")
        output, _ = demo.communicate(timeout=200)
        assert demo.returncode == 0, output
        assert those_of(home) == set()
        assert not (home / "stack.json").exists()
        stack = Lives(home, output, start(home, "run"))
        while "Ctrl-C" not in stack.printed:
            line = stack.process.stdout.readline()
            assert line, stack.printed
            stack.printed += line
        yield stack
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.wait(timeout=30) == 0
        assert those_of(home) == set()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_what_is_printed_can_be_pasted_as_it_is(running):
    commands = running.printed.partition("Paste this:")[2].partition("Ctrl-C")[0]

    pasted = subprocess.run(
        ["bash", "-euc", commands], capture_output=True, text=True, timeout=30, check=True
    )

    submitted, listed = re.findall(r"^\{.*\}$", pasted.stdout.replace("}{", "}\n{"), re.MULTILINE)
    assert json.loads(submitted)["status"] == "PENDING"
    assert json.loads(listed)["data"][0]["event_id"] == json.loads(submitted)["event_id"]


def test_a_second_run_describes_the_first(running):
    second = start(running.home, "run")
    output, _ = second.communicate(timeout=30)

    assert second.returncode == 0
    assert "running already" in output
    assert re.search(r"http://\S+/jobs", running.printed).group() in output


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_demo_uses_the_stack_that_runs(running):
    before = those_of(running.home)

    demo = start(running.home, "demo")
    output, _ = demo.communicate(timeout=60)

    assert demo.returncode == 0, output
    for printed in (output, running.demo):
        assert re.fullmatch(
            r"demo: COMPLETED event_id=\S{36} items=\d+ citations=(\d+) exact=\1"
            r" must=(\d+) must_covered=\2 seconds=\d+\.\d",
            printed.splitlines()[-1],
        )
    assert len(before) > 8
    assert those_of(running.home) >= before


def test_manage_asks_the_stack_which_has_what_the_one_before_it_had(running):
    asked = (
        "from jobs.models import Job; print(*Job.objects.across_tenants().values_list('event_id'))"
    )
    manage = start(running.home, "manage", "shell", "-c", asked)
    output, _ = manage.communicate(timeout=30)

    assert re.search(r"event_id=(\S{36})", running.demo).group(1) in output


def test_secrets_are_for_their_owner_alone(running):
    for name in ("secrets.json", "client.json", "stack.json"):
        assert (running.home / name).stat().st_mode & 0o077 == 0, name


def test_a_guideline_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "guide.docx").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(DemoFailed, match=r"guide\.docx is no text.* sent with POST /jobs"):
        command.read_guideline(tmp_path / "guide.docx")
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


def test_another_port_than_the_one_in_the_readme_is_said():
    assert command.other_port(8000, 8000) == command.other_port(41234, 0) == ""
    assert "Port 8000 is in use" in command.other_port(41234, 8000)
    assert "GUIDEPOST_PORT" in command.other_port(41234, 8000)
