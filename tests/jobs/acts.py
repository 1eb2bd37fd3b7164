"""A worker's acts, for tests that need a job in some state."""

import threading
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from jobs import claims, retries, services
from jobs.models import Job, Step
from llm.errors import Refused

USAGE = {"calls": 2, "prompt_tokens": 20, "completion_tokens": 10}
SUMMARY = {
    "value": {"title": "T", "scope": "", "audience": "", "statements": []},
    "usage": {"calls": 1, "prompt_tokens": 10, "completion_tokens": 5},
    "provenance": {"prompt": "summarize.v1", "model": "m", "seconds": 0.1},
}


def claimed(job: Job, worker: str = "w") -> claims.Claim:
    """Claims the job, which must be the next one."""
    claim = claims.claim_next(worker)
    assert claim is not None
    assert claim.id == job.pk
    return claim


def completed(job: Job, result: dict | None = None) -> Job:
    claim = claimed(job)
    services.save_step(claim, Step.SUMMARIZE, SUMMARY)
    services.complete_job(claim, result or {"checklist": []}, USAGE)
    job.refresh_from_db()
    return job


def failed(job: Job, error: Exception | None = None) -> Job:
    fail(claimed(job), error or Refused("raw provider text"))
    job.refresh_from_db()
    return job


def fail(claim: claims.Claim, error: Exception) -> None:
    """Ends the attempt as the runner does."""
    decision = retries.decide(
        error,
        failures=claim.failures,
        attempt=claim.attempt,
        seconds_left=claim.seconds_left,
    )
    services.fail_attempt(claim, error, decision)


def in_thread(work):
    """Runs beside us, over a connection of its own; a future."""

    def run():
        try:
            return work()
        finally:
            connection.close()

    pool = ThreadPoolExecutor(1)
    future = pool.submit(run)
    pool.shutdown(wait=False)
    return future


def at_once(*works):
    """What each returns or raises, all started in the same moment."""
    barrier = threading.Barrier(len(works))

    def run(work):
        barrier.wait()
        try:
            return work()
        except Exception as error:
            return error

    return [future.result() for future in [in_thread(lambda w=w: run(w)) for w in works]]
