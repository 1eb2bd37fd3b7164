"""The naive design as the world of a run, and what is counted of it.

A trigger that only watches notes every write of a status, and which process wrote it: the design
itself keeps no history.
"""

import os
import sys
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import redis
from psycopg.rows import class_row

from deploy.local.processes import Child, StartFailed, free_port
from deploy.local.stack import ROOT, Stack
from tests.chaos import report
from tests.chaos.harness import MODEL_SLOTS, STEP_SECONDS, WORKERS, Run
from tests.chaos.invariants import Attempt, Event, Evidence, Heard, Job
from tests.chaos.report import percentile, worker_recovery
from tests.chaos.rows import read_ledger

VISIBILITY_SECONDS = 30
SCHEMA = """
CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    guideline text NOT NULL,
    status text NOT NULL DEFAULT 'PENDING',
    result jsonb,
    error text
);
CREATE TABLE seen (
    id bigserial PRIMARY KEY,
    job_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    status text NOT NULL,
    who text NOT NULL DEFAULT current_setting('application_name')
);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO seen (job_id, status) VALUES (NEW.id, NEW.status);
    RETURN NULL;
END $$;
CREATE TRIGGER seen AFTER INSERT OR UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION see();
"""
UNFINISHED = "SELECT count(*) FROM jobs WHERE status IN ('PENDING', 'PROCESSING')"
JOBS = "SELECT id::text AS event_id, status FROM jobs"
SEEN = "SELECT job_id::text, at, status, who FROM seen ORDER BY id"


@dataclass(frozen=True)
class Row:
    event_id: str
    status: str


@dataclass(frozen=True)
class Seen:
    """A process gave a job this status."""

    job_id: str
    at: datetime
    status: str
    who: str


class Naive:
    """A `tests.chaos.harness.World`; `with` starts and stops it."""

    def __init__(self, home: Path):
        self.deaths: list[str] = []
        self.stack = Stack(home, durable=False, patient=True, report=self._note)

    def __enter__(self) -> "Naive":
        try:
            self.stack.start_servers()
            self._start_app()
        except BaseException:
            self.stack.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.stop()

    @property
    def children(self) -> dict[str, Child]:
        return self.stack.children

    def watch(self) -> None:
        self.stack.watch()

    def authorization(self, tenant: int, renew: bool) -> dict[str, str]:
        return {}

    def count_unfinished(self) -> int:
        with psycopg.connect(self.database_url, connect_timeout=2) as connection:
            return connection.execute(UNFINISHED).fetchone()[0]

    def count_messages(self) -> int:
        """Tasks that Redis still knows of: waiting, or not acknowledged."""
        with redis.Redis.from_url(self.redis_url) as client:
            return client.llen("celery") + client.hlen("unacked")

    def rows(self) -> tuple[list[Row], list[Seen]]:
        with psycopg.connect(self.database_url) as connection:
            jobs = connection.cursor(row_factory=class_row(Row)).execute(JOBS).fetchall()
            seen = connection.cursor(row_factory=class_row(Seen)).execute(SEEN).fetchall()
        return jobs, seen

    def _start_app(self) -> None:
        self.database_url, self.redis_url = self.stack.database_url, self.stack.redis_url
        with psycopg.connect(self.database_url) as connection:
            connection.execute(SCHEMA)
        port, model_port = free_port(), free_port()
        self.url, self.model_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{model_port}"
        self._start("model", "-m", "llm.offline", "--port", str(model_port))
        gunicorn = ("-m", "gunicorn", "-c", "deploy/gunicorn.conf.py")
        self._start(
            "web", *gunicorn, "-b", f"127.0.0.1:{port}", "tests.chaos.naive.web:application"
        )
        celery = ("-m", "celery", "-A", "tests.chaos.naive.tasks", "worker", "-l", "INFO")
        for number in range(1, WORKERS + 1):
            name = "worker" if number == 1 else f"worker-{number}"
            self._start(name, *celery, "-c", str(MODEL_SLOTS), "-n", f"{name}@%h")
        self._wait_for_web()

    def _start(self, name: str, *arguments: str) -> None:
        env = {
            **os.environ,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "OPENAI_BASE_URL": f"{self.model_url}/v1",
            "STEP_SECONDS": str(STEP_SECONDS),
            "VISIBILITY_SECONDS": str(VISIBILITY_SECONDS),
            "PGAPPNAME": name,
        }
        command = [sys.executable, *arguments]
        child = Child(name, command, self.stack.log(name), cwd=ROOT, env=env)
        child.patient = True
        self.children[name] = child
        child.start()

    def _wait_for_web(self) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
            except urllib.error.HTTPError:
                return  # it only answers POST
            except OSError:
                time.sleep(0.05)
        raise StartFailed("The naive web server does not answer.", self.stack.log("web"))

    def _note(self, what: str) -> None:
        if " died " in what:
            self.deaths.append(what)


# --- What is counted ------------------------------------------------------------------------


def tell(world: Naive, run: Run) -> dict[str, Any]:
    """The line and the detail. Each accepted job has ended, or is lost (it shows PENDING, and
    nobody will ever run it), or stuck (it shows PROCESSING, and nobody does)."""
    jobs, seen = world.rows()
    heard = read_ledger(world.model_url)
    status = {job.event_id: job.status for job in jobs}
    accepted = Counter(status.get(event_id, "PENDING") for event_id in run.accepted)
    completions = Counter(one.job_id for one in seen if one.status == "COMPLETED")
    found = report.recoveries(run.strikes, as_evidence(jobs, seen))
    recovery = worker_recovery(found)
    facts = {
        "kills": len(run.strikes),
        "accepted": len(run.accepted),
        "terminal": accepted["COMPLETED"] + accepted["FAILED"],
        "lost": accepted["PENDING"],
        "stuck": accepted["PROCESSING"],
        "duplicated": sum(count > 1 for count in completions.values()),
        "paid_again": paid_again(heard),
        "p50_recovery_s": f"{percentile(recovery, 0.50):.2f}",
        "p99_recovery_s": f"{percentile(recovery, 0.99):.2f}",
    }
    return {
        "line": "naive: " + " ".join(f"{name}={value}" for name, value in facts.items()),
        "jobs": dict(Counter(job.status for job in jobs)),
        "jobs_of_unanswered_requests": len(set(status) - run.accepted),
        "messages_left": world.count_messages(),
        "restarts": world.deaths,
        **report.about(run, found),
    }


def paid_again(heard: list[Heard]) -> int:
    """Answers to calls that had been answered before; a label is "<job_id>.<step>.<number>"."""
    answered = Counter(one.label for one in heard if one.outcome == "answered")
    return sum(count - 1 for count in answered.values())


def as_evidence(jobs: list[Row], seen: list[Seen]) -> Evidence:
    """As much of it as recovery is reckoned from."""
    numbers = {job.event_id: number for number, job in enumerate(jobs)}
    histories: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        histories[one.job_id].append(one)
    return Evidence(
        jobs=[
            Job(
                id=numbers[job.event_id],
                event_id=job.event_id,
                tenant_id="",
                status=job.status,
                step="",
                run=1,
                attempt=0,
                event_seq=0,
                llm_calls=0,
                unknown_calls=0,
                error_code="",
                has_result=False,
                source_sha256="",
                result_sha256="",
            )
            for job in jobs
        ],
        events=[
            Event(numbers[one.job_id], "", 0, one.at, "PROCESSING", one.status, 1, 0)
            for one in seen
        ],
        attempts=[
            Attempt(
                job_id=numbers[this.job_id],
                number=number,
                step="",
                outcome=_outcome(following),
                worker=this.who,
                started_at=this.at,
                ended_at=following.at if following else None,
            )
            for history in histories.values()
            for number, (this, following) in enumerate(pairwise([*history, None]))
            if this.status == "PROCESSING"
        ],
    )


def _outcome(following: Seen | None) -> str:
    if following is None:
        return "running"
    return {"COMPLETED": "completed", "FAILED": "failed"}.get(following.status, "lease_lost")
