"""python -m tests.bench.submit --base REV: what POST /jobs costs, beside another revision.

Both revisions run their whole stack on this machine at once and are loaded in turns, so that
whatever else the machine does slows both. CPU seconds come from /proc: web, PostgreSQL and Valkey,
not the workers, whose queue is paused. The number to look at is the ratio.
"""

import argparse
import contextlib
import http.client
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from tests.bench.proc import family, own_cpu_seconds

ROOT = Path(__file__).resolve().parent.parent.parent
GUIDELINE = ("Staff MUST disinfect their hands before every contact with a patient. " * 59)[:4096]
UNLIMITED = [  # each stands alone: not every revision has every table
    "UPDATE jobs_tenantqueue SET is_paused = true, max_waiting = 1000000",
    "UPDATE tenants_plan SET submits_per_minute = 1000000, reads_per_minute = 1000000,"
    " tokens_per_day = 10 ^ 12, max_waiting = 1000000",
]


class Side:
    """One revision's stack, in a worktree of its own."""

    def __init__(self, revision: str, folder: Path, port: int):
        self.revision, self.folder = revision, folder
        checkout = ["git", "worktree", "add", "--detach", "--quiet", str(folder), revision]
        subprocess.run(checkout, cwd=ROOT, check=True)
        env = {**os.environ, "GUIDEPOST_PORT": str(port), "WEB_PROCESSES": "1"}
        env |= dict.fromkeys(("SUBMIT_RATE", "TOKEN_RATE"), "1000000/m")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local", "run"],
            cwd=folder,
            env=env,
            stdout=subprocess.DEVNULL,
        )
        self.facts = self._facts()
        self.address = urlsplit(self.facts["url"])
        self.token = self._token()
        self.post(1)
        self._lift_limits()

    def _facts(self) -> dict[str, Any]:
        described = self.folder / ".local" / "stack.json"
        for _ in range(600):
            if described.exists():
                facts: dict[str, Any] = json.loads(described.read_text())
                return facts
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        raise SystemExit(f"{self.revision} did not start.")

    def _token(self) -> str:
        client = self.facts["client"]
        pair = f"{client['client_id']}:{client['client_secret']}".encode()
        request = urllib.request.Request(
            self.facts["url"] + "/oauth/token",
            data=b"grant_type=client_credentials",
            headers={"Authorization": "Basic " + b64encode(pair).decode()},
        )
        with urllib.request.urlopen(request) as answer:
            token: str = json.load(answer)["access_token"]
            return token

    def _lift_limits(self) -> None:
        with psycopg.connect(self.facts["env"]["DATABASE_URL"], autocommit=True) as connection:
            for statement in UNLIMITED:
                with contextlib.suppress(psycopg.errors.UndefinedTable):
                    connection.execute(statement)
        time.sleep(2)  # limits are remembered for a second

    def post(self, count: int) -> list[float]:
        """Submits so many jobs over one connection; the milliseconds of each."""
        connection = http.client.HTTPConnection(self.address.hostname or "", self.address.port)
        body = json.dumps({"guideline_text": GUIDELINE})
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        times = []
        for _ in range(count):
            start = time.perf_counter()
            connection.request("POST", "/jobs", body, headers)
            answer = connection.getresponse()
            answered = answer.read()
            if answer.status != 202:
                raise SystemExit(f"{self.revision}: {answer.status} {answered[:500]!r}")
            times.append((time.perf_counter() - start) * 1000)
        connection.close()
        return times

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, by part of the stack."""
        found = dict.fromkeys(("web", "postgresql", "valkey"), 0.0)
        for pid in family(self.process.pid):
            part = _part(pid)
            if part in found:
                found[part] += own_cpu_seconds(pid)
        return found

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        remove = ["git", "worktree", "remove", "--force", str(self.folder)]
        subprocess.run(remove, cwd=ROOT, check=False)


def _part(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    marks = {"web": "gunicorn", "postgresql": "postgres", "valkey": "valkey"}
    return next((part for part, mark in marks.items() if mark in command), "")


def measure(side: Side, requests: int, connections: int) -> tuple[dict[str, float], list[float]]:
    """CPU milliseconds a request, by part, and the times of all requests."""
    before = side.cpu()
    with ThreadPoolExecutor(connections) as clients:
        each = [requests // connections] * connections
        times = [one for batch in clients.map(side.post, each) for one in batch]
    after = side.cpu()
    return {part: (after[part] - before[part]) * 1000 / len(times) for part in after}, times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True, help="the revision to compare with")
    parser.add_argument("--head", default="HEAD")
    parser.add_argument("--requests", type=int, default=600, help="in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=4)
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="guidepost-submit-"))
    folder.chmod(0o711)  # PostgreSQL does not run as root and has to pass through
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        sides = []
        for number, revision in enumerate((chosen.base, chosen.head)):
            side = Side(revision, folder / f"side{number}", 8300 + number)
            stack.callback(side.stop)
            sides.append(side)
        compare(sides, chosen)


def compare(sides: list[Side], chosen: argparse.Namespace) -> None:
    for side in sides:
        side.post(100)  # warm
    totals: list[list[float]] = [[], []]
    for _ in range(chosen.rounds):
        for number, side in enumerate(sides):
            cpu, times = measure(side, chosen.requests, chosen.connections)
            totals[number].append(sum(cpu.values()))
            parts = "  ".join(f"{part}={ms:.2f}" for part, ms in cpu.items())
            print(
                f"{side.revision[:12]:<12}  cpu_ms={sum(cpu.values()):.2f}  {parts}"
                f"  p50={statistics.median(times):.1f} ms",
                flush=True,
            )
    base, head = (statistics.median(total) for total in totals)
    print(f"bench-submit: base_cpu_ms={base:.2f} head_cpu_ms={head:.2f} ratio={head / base:.2f}")


if __name__ == "__main__":
    main()
