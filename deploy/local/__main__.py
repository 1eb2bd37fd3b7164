"""`make run`, `demo`, `code` and `manage`: the local stack from the command line."""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.local.demo import DemoFailed, run_demo
from deploy.local.processes import StartFailed
from deploy.local.stack import ROOT, AlreadyRunning, Stack, preferred_port
from deploy.local.totp import otpauth, totp

HOME = ROOT / ".local"
SAMPLE = ROOT / "deploy" / "local" / "sample-guideline.md"
WAIT_FOR_OTHER = 90  # seconds, for a stack that is just being started elsewhere


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="serve until Ctrl-C")
    demo = commands.add_parser("demo", help="run one guideline through the whole stack")
    demo.add_argument("guideline", nargs="?", type=Path, default=SAMPLE)
    commands.add_parser("code", help="the staff user's second factor, just now")
    manage = commands.add_parser("manage", help="manage.py against the running stack")
    manage.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    # SIGINT too: a shell starts background jobs with it ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if options.command == "run":
            return run()
        if options.command == "demo":
            return demonstrate(options.guideline)
        if options.command == "code":
            return show_code()
        return manage_running(options.arguments)
    except KeyboardInterrupt:
        return 130
    except (StartFailed, DemoFailed) as error:
        print(f"\nguidepost: {error}", file=sys.stderr)
        return 1


def _interrupt(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough, stopping takes a moment
    raise KeyboardInterrupt


def run() -> int:
    """Serves until Ctrl-C or SIGTERM. A stack that runs already is only described."""
    stack = new_stack()
    try:
        stack.start()
    except AlreadyRunning:
        print("guidepost is running already.")
        print(welcome(running_stack()))
        return 0
    done()
    print(welcome(stack.facts()) + other_port(stack.port, preferred_port()), flush=True)
    try:
        while True:
            stack.watch()
            time.sleep(0.2)
    except KeyboardInterrupt:
        report("stopping")
    finally:
        stack.stop()
        done()
    print("guidepost: stopped")
    return 0


def demonstrate(guideline: Path) -> int:
    """Sends the guideline to the running stack, or to one that is started just for it."""
    text = read_guideline(guideline)
    with some_stack() as facts:
        run_demo(facts["url"], facts["client"], text, title=guideline.stem)
    return 0


def manage_running(arguments: list[str]) -> int:
    env = {**os.environ, **running_stack()["env"]}
    return subprocess.call([sys.executable, "manage.py", *arguments], cwd=ROOT, env=env)


def show_code() -> int:
    print(totp(running_stack()["staff"]["totp_secret"], time.time()))
    return 0


def read_guideline(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DemoFailed(
            f"{path} is no text in UTF-8, which is what the demo takes. A PDF, Word or HTML file is"
            " sent with POST /jobs, as README.md shows."
        ) from None
    except OSError as error:
        raise DemoFailed(f"{path} cannot be read: {error.strerror}") from None


def new_stack() -> Stack:
    return Stack(
        HOME,
        database_url=os.environ.get("DATABASE_URL", ""),
        redis_url=os.environ.get("REDIS_URL", ""),
        report=report,
    )


@contextmanager
def some_stack() -> Iterator[dict[str, Any]]:
    stack = new_stack()
    try:
        stack.start()
    except AlreadyRunning:
        report("using the stack that runs already")
        facts = running_stack()
        done()
        yield facts
        return
    done()
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(stack, ended))
    watcher.start()
    try:
        yield stack.facts()
    finally:
        ended.set()
        watcher.join()
        stack.stop()


def _watch(stack: Stack, ended: threading.Event) -> None:
    while not ended.wait(0.2):
        stack.watch()


def running_stack() -> dict[str, Any]:
    """What the supervisor that holds the lock says of its stack; waits until it is up."""
    facts = HOME / "stack.json"
    deadline = time.monotonic() + WAIT_FOR_OTHER
    while time.monotonic() < deadline:
        if facts.exists():
            described: dict[str, Any] = json.loads(facts.read_text())
            return described
        time.sleep(0.2)
    raise StartFailed("No running stack was found: start one with `make run`.")


def welcome(facts: dict[str, Any]) -> str:
    url, client, staff = facts["url"], facts["client"], facts["staff"]
    return f"""
  API            {url}/jobs
  documentation  {url}/docs
  console        {url}/console/
  admin          {url}/admin/   both: {staff["email"]} / {staff["password"]}
  second factor  make code, or for your app:
                 {otpauth(staff["email"], staff["totp_secret"])}
  client id      {client["client_id"]}
  client secret  {client["client_secret"]}
  logs           {HOME / "log"}

  Paste this:

    TOKEN=$(curl -s {url}/oauth/token -d grant_type=client_credentials \\
      -u {client["client_id"]}:{client["client_secret"]} \\
      | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
    curl -s {url}/jobs -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
      -d '{{"guideline_text": "Staff MUST disinfect their hands before contact with a patient."}}'
    curl -s {url}/jobs -H "Authorization: Bearer $TOKEN"

  Ctrl-C stops everything.
"""


def other_port(port: int, preferred: int) -> str:
    """A line where the address is another than README says; "" where it is not."""
    if preferred in (0, port):  # 0: any will do
        return ""
    return (
        f"  Port {preferred} is in use: this is {port}. GUIDEPOST_PORT=8001 make run chooses one.\n"
    )


def report(what: str) -> None:
    """One line that changes where somebody watches, a line each where nobody does."""
    if sys.stderr.isatty():
        print(f"\r\033[Kguidepost: {what} …", end="", file=sys.stderr, flush=True)
    else:
        print(f"guidepost: {what}", file=sys.stderr, flush=True)


def done() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
