"""Reads the evidence: rows of the database, in one snapshot, and lines of the model's ledger."""

import json
import random
import subprocess
import sys
import threading
import urllib.request
from dataclasses import replace

import psycopg
from psycopg.rows import class_row

from deploy.local.stack import ROOT
from tests.chaos.invariants import (
    Account,
    Attempt,
    Call,
    Event,
    Evidence,
    Heard,
    Job,
    Queue,
    Sample,
)

JOBS = """
SELECT job.id, event_id::text, job.tenant_id::text, status, step, run, attempt, event_seq,
    llm_calls, unknown_calls, error_code, sealed_result IS NOT NULL AS has_result,
    '' AS source_sha256, '' AS result_sha256
FROM jobs_job AS job
"""
EVENTS = """
SELECT job_id, tenant_id::text, seq, at, from_status, to_status, run, attempt FROM jobs_jobevent
"""
ATTEMPTS = """
SELECT job_id, number, step, outcome, worker, started_at, ended_at FROM jobs_jobattempt
"""
CALLS = "SELECT job_id, attempt, step, label, outcome FROM jobs_llmcall"
QUEUES = "SELECT tenant_id::text, running, max_running FROM jobs_tenantqueue"
ACCOUNTS = """
SELECT usage.tenant_id::text, spent, reserved,
    coalesce(calls.charged, 0)::bigint AS charged,
    (coalesce(calls.promised, 0) + coalesce(jobs.promised, 0))::bigint AS promised
FROM tenants_usage AS usage
CROSS JOIN LATERAL (
    SELECT sum(charged_tokens) AS charged,
        sum(bound_tokens) FILTER (WHERE cost_micros IS NULL) AS promised
    FROM jobs_llmcall AS call WHERE call.tenant_id = usage.tenant_id AND day = starts_on
) AS calls
CROSS JOIN LATERAL (
    SELECT sum(tokens) AS promised FROM jobs_reservation AS reservation
    WHERE reservation.tenant_id = usage.tenant_id AND day = starts_on
) AS jobs
WHERE kind = 'tokens'
"""
SAMPLE = """
SELECT tenant_id::text, running,
    (SELECT count(*) FROM jobs_job AS job
        WHERE job.tenant_id = queue.tenant_id AND status = 'PROCESSING') AS processing,
    (SELECT count(*) FROM (
        SELECT FROM jobs_jobattempt AS attempt
        WHERE attempt.tenant_id = queue.tenant_id AND outcome = 'running'
        GROUP BY job_id HAVING count(*) > 1
    ) AS twice) AS doubly_run
FROM jobs_tenantqueue AS queue
"""


def read_evidence(database_url: str, model_url: str, env: dict[str, str]) -> Evidence:
    """env: of the stack's own processes, with the keys that open what is sealed."""
    sources = read_sources(env)
    with psycopg.connect(database_url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ

        def rows(kind, query):
            return connection.cursor(row_factory=class_row(kind)).execute(query).fetchall()

        return Evidence(
            jobs=[with_sources(job, sources) for job in rows(Job, JOBS)],
            events=rows(Event, EVENTS),
            attempts=rows(Attempt, ATTEMPTS),
            calls=rows(Call, CALLS),
            queues=rows(Queue, QUEUES),
            accounts=rows(Account, ACCOUNTS),
            heard=read_ledger(model_url),
        )


def read_sources(env: dict[str, str]) -> dict[str, list[str]]:
    """See tests/chaos/sources.py. The jobs have settled: what it opens does not change any more."""
    command = [sys.executable, "-m", "tests.chaos.sources"]
    done = subprocess.run(command, cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True)
    opened: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return opened


def with_sources(job: Job, sources: dict[str, list[str]]) -> Job:
    given, made_from = sources.get(job.event_id, ["", ""])
    return replace(job, source_sha256=given, result_sha256=made_from)


def read_ledger(model_url: str) -> list[Heard]:
    with urllib.request.urlopen(f"{model_url}/_control/ledger", timeout=30) as answer:
        calls = json.load(answer)["calls"]
    return [Heard(call["client_request_id"], call["outcome"]) for call in calls]


class Sampler:
    """Looks at the counters at random moments, from a thread, whenever the database answers."""

    def __init__(self, database_url: str, seed: int):
        self.samples: list[Sample] = []
        self._database_url, self._dice = database_url, random.Random(f"samples {seed}")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._ended.set()
        self._thread.join()

    def _run(self):
        while not self._ended.is_set():
            try:
                with psycopg.connect(
                    self._database_url, connect_timeout=2, autocommit=True
                ) as connection:
                    self._look(connection)
            except psycopg.OperationalError:
                self._ended.wait(0.1)

    def _look(self, connection):
        cursor = connection.cursor(row_factory=class_row(Sample))
        while not self._ended.wait(self._dice.uniform(0.1, 0.7)):
            self.samples += cursor.execute(SAMPLE).fetchall()
