"""What a job costs in a worker, and how many it carries: `make bench-worker`.

Starts the whole stack with a worker for each processor and a model of canned answers. For each line
jobs of several tenants are submitted while their queues are paused; the clock runs from the moment
they are let go until the last has ended. In flight are as many as the tenants' caps allow together.
A job's text is a guideline of 4 KB or one sentence, which leaves next to nothing to compute. CPU is
user and system time from /proc, of the workers with their children and of all of PostgreSQL; the
model's is not counted. Memory is of the first worker.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import psycopg

from deploy.local.demo import call, get_token
from deploy.local.processes import Child, free_port
from deploy.local.stack import ROOT, Stack
from tests.bench.proc import cpu_seconds, resident_mb
from tests.chaos.harness import temporary_home, watched

BYTES = 4096  # of each guideline
TENANTS = 4
THINKS = 0.2  # seconds
SENTENCE = "Staff MUST wash their hands before every contact with a patient."
LINES = [  # in flight, the model's seconds, the text
    (8, 0.0, "guideline"),
    (64, THINKS, "guideline"),
    (200, THINKS, "guideline"),
    (200, THINKS, "sentence"),
]
PATIENCE = 300.0
UNLIMITED = (
    "UPDATE tenants_plan SET submits_per_minute = 1000000, reads_per_minute = 1000000,"
    " tokens_per_day = 10 ^ 12, max_waiting = 1000000"
)
UNFINISHED = "SELECT count(*) FROM jobs_job WHERE status IN ('PENDING', 'PROCESSING')"
UNCOMPLETED = "SELECT count(*) FROM jobs_job WHERE status <> 'COMPLETED'"
LAST_END = "SELECT extract(epoch FROM max(ended_at))::float FROM jobs_job"
STARTED = "SELECT extract(epoch FROM started_at)::float FROM jobs_job WHERE event_id = %s"
CAP = "UPDATE jobs_tenantqueue SET max_running = %s, is_paused = %s"
LET_GO = "UPDATE jobs_tenantqueue SET is_paused = false"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.worker", description=__doc__)
    parser.add_argument("--jobs", type=int, default=0, help="of each line; 0: four times its width")
    parser.add_argument("--posts", type=int, default=30, help="one by one, for the latency")
    options = parser.parse_args()
    with temporary_home() as home, Bench(home) as bench, watched(bench.stack):
        bench.run(40, 8, 0.0)  # warm
        latency = bench.post_to_start(options.posts)
        lines = {}
        for in_flight, seconds, text in LINES:
            jobs = options.jobs or max(150, 4 * in_flight)
            lines[in_flight, text] = line = bench.run(jobs, in_flight, seconds, text)
            print(
                f"in_flight={in_flight:<4} model_ms={seconds * 1000:<4.0f} {text:<10}"
                f" jobs={jobs:<5} jobs_per_s={line['rate']:6.1f}"
                f"  cpu ms a job: worker={line['worker']:5.2f}"
                f" postgresql={line['postgresql']:5.2f}  rss_mb={line['rss']:.0f}"
                f" (+{line['grown']:.0f})",
                flush=True,
            )
        busy, full, short = (
            lines[key] for key in ((8, "guideline"), (200, "guideline"), (200, "sentence"))
        )
        print(
            f"bench-worker: worker_cpu_ms_per_job={busy['worker']:.2f}"
            f" postgresql_cpu_ms_per_job={busy['postgresql']:.2f}"
            f" jobs_per_s_200={full['rate']:.0f} jobs_per_s_200_sentence={short['rate']:.0f}"
            f" post_to_start_p50_ms={latency:.1f} mb_per_waiting_job={full['grown'] / 200:.2f}"
        )


def measure() -> dict[str, float]:
    """What `make bench` says of workers: CPU of a job whose model takes no time."""
    with temporary_home() as home, Bench(home) as bench, watched(bench.stack):
        bench.run(40, 8, 0.0)  # warm
        line = bench.run(150, 8, 0.0)
    return {"cpu_ms_per_job": line["worker"], "postgresql_cpu_ms_per_job": line["postgresql"]}


class Bench:
    """The stack, its tenants, and a connection that looks on."""

    def __init__(self, home: Path):
        self.model = f"http://127.0.0.1:{free_port()}"
        settings = {
            "OPENAI_API_KEY": "",
            "OPENAI_BASE_URL": "",
            "OFFLINE_MODEL_URL": f"{self.model}/v1",
            "SUBMIT_RATE": "1000000/m",
            "LOG_LEVEL": os.environ.get("LOG_LEVEL", "INFO"),
        }
        port = self.model.rpartition(":")[2]
        command = [sys.executable, "-m", "tests.bench.canned", "--port", port]
        self._canned = Child("canned", command, home / "canned.log", cwd=ROOT)
        self.stack = Stack(home, settings=settings, workers=os.cpu_count() or 1)
        text = (ROOT / "deploy" / "local" / "sample-guideline.md").read_text()[:BYTES]
        self.texts = {"guideline": text[: text.rindex("\n\n")], "sentence": SENTENCE}

    def __enter__(self) -> "Bench":
        self._canned.start()
        os.environ.setdefault("GUIDEPOST_PORT", str(free_port()))  # another stack may run
        self.stack.start()
        self.rows = psycopg.connect(self.stack.database_url, autocommit=True)
        self.rows.execute(UNLIMITED)
        return self

    def __exit__(self, *error: object) -> None:
        self.rows.close()
        self.stack.stop()
        self._canned.ask_to_stop()
        self._canned.wait_stopped(5)

    def run(
        self, jobs: int, in_flight: int, seconds: float, text: str = "guideline"
    ) -> dict[str, float]:
        """Jobs per second, CPU milliseconds a job by part, the first worker's peak memory and by
        how much it grew, in MB."""
        urllib.request.urlopen(f"{self.model}/answers/{seconds}").close()
        command = [sys.executable, "-m", "tests.bench.worker_jobs", str(TENANTS), str(jobs)]
        subprocess.run(
            command, cwd=ROOT, env=self.stack.env, input=self.texts[text], text=True, check=True
        )
        self.rows.execute(CAP, [max(1, in_flight // TENANTS), True])
        time.sleep(1.5)  # what woke for the submissions has gone to sleep again
        before, idle, peak = self.cpu(), self.rss(), 0.0
        began = time.time()
        self.rows.execute(LET_GO)
        while self._one(UNFINISHED):
            peak = max(peak, self.rss())
            if time.time() - began > PATIENCE:
                raise TimeoutError(f"{self._one(UNFINISHED)} jobs have not ended.")
            time.sleep(0.1)
        after = self.cpu()
        took = self._one(LAST_END) - began
        if left := self._one(UNCOMPLETED):
            raise SystemExit(f"{left} jobs did not end well.")
        used = {part: (after[part] - before[part]) * 1000 / jobs for part in after}
        return {"rate": jobs / took, "rss": peak, "grown": peak - idle, **used}

    def post_to_start(self, posts: int) -> float:
        """Milliseconds from sending a POST until a worker has claimed its job: the median."""
        self.rows.execute(CAP, [16, False])
        token, waits = get_token(self.stack.url, self.stack.client), []
        for _ in range(posts):
            body = {"guideline_text": self.texts["guideline"], "options": {"cache": False}}
            began = time.time()
            job = call(f"{self.stack.url}/jobs", token, body)
            while self._one(UNFINISHED):
                time.sleep(0.02)
            waits.append((self._one(STARTED, job["event_id"]) - began) * 1000)
            time.sleep(0.1)
        return statistics.median(waits)

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, by part."""
        workers = [name for name in self.stack.children if re.fullmatch(r"worker(-\d+)?", name)]
        return {
            "worker": sum(cpu_seconds(self._pid(name)) for name in workers),
            "postgresql": cpu_seconds(self._pid("postgresql")),
        }

    def rss(self) -> float:
        return resident_mb(self._pid("worker"))

    def _pid(self, name: str) -> int:
        return self.stack.children[name].pid

    def _one(self, query: str, *parameters: Any) -> Any:
        row = self.rows.execute(query, parameters).fetchone()
        assert row is not None
        return row[0]


if __name__ == "__main__":
    main()
