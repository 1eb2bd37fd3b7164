"""How soon a job runs elsewhere once its worker is gone: `make bench-recovery`.

Starts the whole stack with two workers and the settings of a deployment, holds jobs in their first
model call, and kills or stops a worker at a random moment between two renewals. Measured is the
time from the signal until each of its jobs is in its next attempt, by the database's record.
"""

import argparse
import json
import os
import random
import signal
import time
import urllib.request
from pathlib import Path

import psycopg

from deploy.local.demo import call, get_token
from deploy.local.stack import Stack
from tests.chaos.harness import temporary_home, watched
from tests.chaos.report import percentile

LEASE_SECONDS = float(os.environ.get("JOB_LEASE_SECONDS", "15"))
JOBS = 4  # held in each round, by both workers together
PATIENCE = 120.0  # seconds
SIGNALS = {"killed": signal.SIGKILL, "stopped": signal.SIGTERM}
HELD = """
SELECT id, attempt FROM jobs_job
WHERE status = 'PROCESSING' AND split_part(worker, '@', 1) = %s
"""
TAKEN_UP = """
SELECT extract(epoch FROM min(started_at))::float FROM jobs_jobattempt
WHERE job_id = %s AND number > %s
"""
UNFINISHED = "SELECT count(*) FROM jobs_job WHERE status IN ('PENDING', 'PROCESSING')"
CALLS = "SELECT count(*) FROM jobs_llmcall WHERE outcome = 'started'"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.recovery", description=__doc__)
    parser.add_argument("--rounds", type=int, default=16, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    with temporary_home() as home, Bench(home) as bench, watched(bench.stack):
        for how, number in SIGNALS.items():
            rounds = [bench.strike(number, dice) for _ in range(options.rounds)]
            seconds = [one for held in rounds for one in held]
            print(
                f"bench-recovery: {how} lease_s={LEASE_SECONDS:g} kills={options.rounds}"
                f" jobs={len(seconds)} p50_s={percentile(seconds, 0.5):.2f}"
                f" p99_s={percentile(seconds, 0.99):.2f} max_s={max(seconds):.2f}",
                flush=True,
            )


class Bench:
    """The stack, a client's token, and a connection that looks on."""

    def __init__(self, home: Path):
        offline = {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}
        self.stack = Stack(home, settings=offline, workers=2, patient=True)

    def __enter__(self):
        self.stack.start()
        self.model = self.stack.env["OFFLINE_MODEL_URL"].removesuffix("/v1")
        self.rows = psycopg.connect(self.stack.database_url, autocommit=True)
        for name in ("worker", "worker-2"):
            self._wait_until_heard_of(self.stack.children[name])
        return self

    def __exit__(self, *error):
        self.rows.close()
        self.stack.stop()

    def strike(self, number, dice):
        """Seconds until each job of the worker was taken up again."""
        child = self.stack.children[dice.choice(["worker", "worker-2"])]
        while not (held := self._hold(child)):
            self._wait(self._is_done)
        time.sleep(dice.uniform(0, LEASE_SECONDS / 4))
        at, pid = time.time(), child.pid
        if number == signal.SIGKILL:
            os.killpg(child.pid, number)
        else:
            os.kill(child.pid, number)
        taken_up = [self._wait(lambda job=job: self._one(TAKEN_UP, *job)) for job in held]
        self._wait(self._is_done)
        self._wait(lambda: child.pid != pid)
        self._wait_until_heard_of(child)
        return [again - at for again in taken_up]

    def _hold(self, child):
        """(id, attempt) of the jobs that the worker holds, each with a call under way. The other
        one has free slots."""
        self._control("script", {"behaviours": [{"do": "hold", "times": 1000}]})
        token = get_token(self.stack.url, self.stack.client)
        for _ in range(JOBS):
            body = {"guideline_text": "Staff MUST rest.", "options": {"cache": False}}
            call(f"{self.stack.url}/jobs", token, body)
        self._wait(lambda: self._one(CALLS) == self._one(UNFINISHED))
        return self.rows.execute(HELD, [child.name]).fetchall()

    def _is_done(self):
        self._control("reset", {})  # each time: a call may have been on its way to be held
        return self._one(UNFINISHED) == 0

    def _wait_until_heard_of(self, child):
        now = time.time()
        self._wait(lambda: child.alive_file.exists() and child.alive_file.stat().st_mtime > now)

    def _one(self, query, *parameters):
        return self.rows.execute(query, parameters).fetchone()[0]

    def _wait(self, condition):
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if value := condition():
                return value
            time.sleep(0.02)
        raise TimeoutError("It did not come about in time.")

    def _control(self, verb, body):
        request = urllib.request.Request(
            f"{self.model}/_control/{verb}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()


if __name__ == "__main__":
    main()
