"""A task per job, as a good tutorial shows it: late acknowledgement, retries with backoff.

Nothing here is worse than usual. The chain and its client are Guidepost's own, so that the two
designs differ only in how a job is kept.
"""

import asyncio
import os
import time
from typing import Any

import psycopg
from celery import Celery, Task
from psycopg.types.json import Jsonb

from llm.chain import generate_checklist, summarize_guidelines
from llm.client import Client
from llm.result import build_result

STEP_SECONDS = float(os.environ["STEP_SECONDS"])

app = Celery("naive", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_track_started=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    # Short, for a task that a worker died with to come back while somebody watches.
    broker_transport_options={"visibility_timeout": int(os.environ["VISIBILITY_SECONDS"])},
)


def connect() -> psycopg.Connection:
    return psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=2)


class JobTask(Task):
    """Shows in the job's row how its task ended."""

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        with connect() as connection:
            connection.execute(
                "UPDATE jobs SET status = 'FAILED', error = %s WHERE id = %s", (repr(exc), args[0])
            )


@app.task(
    bind=True,
    base=JobTask,
    autoretry_for=(Exception,),
    retry_backoff=True,
    retry_backoff_max=20,
    max_retries=5,
)
def process_guideline(self: Task, job_id: str) -> str:
    with connect() as connection:
        row = connection.execute(
            "UPDATE jobs SET status = 'PROCESSING' WHERE id = %s RETURNING guideline", (job_id,)
        ).fetchone()
    result = asyncio.run(run_chain(row[0], job_id))
    with connect() as connection:
        connection.execute(
            "UPDATE jobs SET status = 'COMPLETED', result = %s WHERE id = %s",
            (Jsonb(result), job_id),
        )
    return job_id


async def run_chain(guideline: str, job_id: str) -> dict[str, Any]:
    """Summary, then checklist. The label of a call is "<job_id>.<step>.<number>"."""
    client = Client(
        api_key="offline",
        base_url=os.environ["OPENAI_BASE_URL"],
        model="guidepost-offline-1",
        timeout=STEP_SECONDS,
        max_reply_bytes=4 * 1024 * 1024,
    )
    try:
        summary = await summarize_guidelines(
            client,
            guideline,
            deadline=time.monotonic() + STEP_SECONDS,
            request_label=f"{job_id}.summarize",
        )
        checklist = await generate_checklist(
            client,
            guideline,
            summary.value,
            deadline=time.monotonic() + STEP_SECONDS,
            request_label=f"{job_id}.checklist",
        )
    finally:
        await client.aclose()
    return build_result(guideline, summary.value, checklist.value, {})
