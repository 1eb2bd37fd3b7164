"""The ledger of model calls: the intent is written before a call, its outcome after.

So a call that may have been paid for is never forgotten, and none starts for a worker that has
lost its job: the intent is refused. Whether a reply was of use shows when its step is stored or
its attempt ends: see `services`.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import connection
from django.db.models.functions import Now

from config.failpoints import failpoint
from jobs.claims import Claim
from jobs.models import CallOutcome, LLMCall
from jobs.persistence import LeaseLost, persistently
from llm.client import Completer, Reply
from llm.errors import LLMError

T = TypeVar("T")

# Answered twice if a commit's own answer was lost: the second time finds its row.
INTEND = """
INSERT INTO jobs_llmcall AS call (tenant_id, job_id, attempt, step, label, outcome)
SELECT tenant_id, id, attempt, step, %(label)s, 'started' FROM jobs_job
WHERE id = %(id)s AND attempt = %(attempt)s AND status = 'PROCESSING'
    AND lease_expires_at > clock_timestamp()
ON CONFLICT (job_id, tenant_id, label) DO UPDATE SET outcome = call.outcome
"""

# A few connections for all the calls of a process: each is held for one short statement.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="ledger")


class RecordedCalls:
    """A client whose every call stands in the ledger."""

    def __init__(self, client: Completer, claim: Claim) -> None:
        self._client, self._claim = client, claim
        self.model = client.model

    async def complete(self, *, request_label: str = "", **call: Any) -> Reply[Any]:
        """As `llm.client.Client.complete`. Raises LeaseLost before a call that may not start."""
        await _in_thread(lambda: intend(self._claim, request_label))
        try:
            reply = await self._client.complete(request_label=request_label, **call)
        except LLMError as error:
            code = error.code  # Python forgets `error` after this block
            await _in_thread(lambda: close(self._claim, request_label, error_code=code))
            raise
        failpoint("after_reply")
        await _in_thread(lambda: close(self._claim, request_label, reply=reply))
        return reply


def intend(claim: Claim, label: str) -> None:
    """Writes that a call is about to start. Raises LeaseLost if the job is not ours any more."""
    parameters: dict[str, Any] = {"id": claim.id, "attempt": claim.attempt, "label": label}
    with connection.cursor() as cursor:
        cursor.execute(INTEND, parameters)
        if not cursor.rowcount:
            raise LeaseLost(f"{claim.event_id} attempt {claim.attempt}")


def close(
    claim: Claim, label: str, *, reply: Reply[Any] | None = None, error_code: str = ""
) -> None:
    """Writes how the call ended, unless its worker was given up for lost meanwhile."""
    ended: dict[str, Any] = {"outcome": CallOutcome.ERROR, "error_code": error_code}
    if reply is not None:
        ended = {
            "outcome": CallOutcome.ANSWERED,
            "model": reply.model[:200],
            "request_id": reply.request_id[:200],
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
        }
    calls = LLMCall.objects.for_tenant(claim.tenant_id)
    open_call = calls.filter(job_id=claim.id, label=label, outcome=CallOutcome.STARTED)
    open_call.update(**ended, ended_at=Now())


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads, _with_connection, work)


def _with_connection(work: Callable[[], T]) -> T:
    try:
        return persistently(work)
    finally:
        connection.close()  # back to the pool
