"""The ledger of model calls: the intent is written before a call, its outcome after.

So a call that may have been paid for is never forgotten, and none starts for a worker that has
lost its job, or whose tenant cannot pay what it may cost: the intent is refused. Whether a reply
was of use shows when its step is stored or its attempt ends: see `services`.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import connection, transaction
from django.db.models.functions import Now
from pydantic import BaseModel

from config.failpoints import failpoint
from jobs import budget
from jobs.budget import DEFAULT, Asked
from jobs.claims import Claim
from jobs.models import CallOutcome, Job, LLMCall
from jobs.persistence import LeaseLost, persistently
from llm import bounds
from llm.bounds import Tokens
from llm.client import Completer, Reply
from llm.errors import LLMError
from llm.prompts import Prompt

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

# Answered twice if a commit's own answer was lost: the second time finds its row.
INTEND = """
INSERT INTO jobs_llmcall AS call
    (tenant_id, job_id, attempt, step, label, outcome, requested_model, own_key, bound_tokens,
    bound_micros)
SELECT tenant_id, id, attempt, step, %(label)s, 'started', %(model)s, %(own_key)s, %(tokens)s,
    %(micros)s
FROM jobs_job
WHERE id = %(id)s AND attempt = %(attempt)s AND status = 'PROCESSING'
    AND lease_expires_at > clock_timestamp()
ON CONFLICT (job_id, tenant_id, label) DO UPDATE SET outcome = call.outcome
RETURNING xmax = 0  -- is it new?
"""

# A few connections for all the calls of a process: each is held for one short statement.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="ledger")


class RecordedCalls:
    """A client whose every call stands in the ledger.

    own_key  whether its key is the tenant's own
    """

    def __init__(self, client: Completer, claim: Claim, *, own_key: bool = False) -> None:
        self._client, self._claim = client, claim
        self.model = client.model
        self._asked = Asked(client.model, own_key)

    async def complete(
        self,
        *,
        prompt: Prompt,
        data: dict[str, Any],
        schema: type[M],
        deadline: float,
        request_label: str = "",
    ) -> Reply[M]:
        """As `llm.client.Client.complete`. Raises LeaseLost or BudgetExhausted before a call that
        may not start."""
        bound = bounds.of_call(prompt, data, schema)
        await in_thread(lambda: intend(self._claim, request_label, bound, self._asked))
        try:
            reply = await self._client.complete(
                prompt=prompt,
                data=data,
                schema=schema,
                deadline=deadline,
                request_label=request_label,
            )
        except LLMError as error:
            code, used = error.code, error.used  # Python forgets `error` after this block
            await in_thread(lambda: close(self._claim, request_label, error_code=code, used=used))
            raise
        failpoint("after_reply")
        await in_thread(lambda: close(self._claim, request_label, reply=reply))
        return reply


@transaction.atomic
def intend(claim: Claim, label: str, bound: Tokens, asked: Asked = DEFAULT) -> None:
    """Writes that a call is about to start, and sets aside what it may cost.

    Raises LeaseLost if the job is not ours any more, BudgetExhausted if that cannot be paid.
    """
    parameters: dict[str, Any] = {
        "id": claim.id,
        "attempt": claim.attempt,
        "label": label,
        "model": asked.model[:200],
        "own_key": asked.own_key,
        "tokens": bound.total,
        "micros": budget.price(bound, asked),
    }
    with connection.cursor() as cursor:
        cursor.execute(INTEND, parameters)
        row = cursor.fetchone()
    if row is None:
        raise LeaseLost(f"{claim.event_id} attempt {claim.attempt}")
    if row[0]:
        budget.take(claim.tenant_id, claim.id, bound, asked)


@transaction.atomic
def close(
    claim: Claim,
    label: str,
    *,
    reply: Reply[Any] | None = None,
    error_code: str = "",
    used: Tokens | None = None,
) -> None:
    """Writes how the call ended and what it did cost, unless its worker was given up for lost
    meanwhile.

    used  by a call that failed; None where nobody knows, then it is charged at its bound
    """
    ended: dict[str, Any] = {"outcome": CallOutcome.ERROR, "error_code": error_code}
    if reply is not None:
        used = Tokens(reply.prompt_tokens, reply.completion_tokens)
        ended = {
            "outcome": CallOutcome.ANSWERED,
            "model": reply.model[:200],
            "request_id": reply.request_id[:200],
        }
    if used is not None:
        ended |= {"prompt_tokens": used.prompt, "completion_tokens": used.completion}
    # Whoever locks both a job and its calls takes the job first.
    Job.objects.for_tenant(claim.tenant_id).select_for_update(no_key=True).filter(
        pk=claim.id
    ).values_list("pk").first()
    calls = LLMCall.objects.for_tenant(claim.tenant_id)
    open_call = calls.filter(job_id=claim.id, label=label, outcome=CallOutcome.STARTED)
    call = open_call.values_list("pk", "requested_model", "own_key").first()
    if call is None:
        return
    open_call.update(**ended, ended_at=Now())
    # A reply that names no tokens has cost some. The sweep charges what is left out here.
    if used is not None and (reply is None or used.total):
        pk, model, own_key = call
        asked = Asked(str(model), bool(own_key))
        budget.charge(claim.tenant_id, claim.id, int(pk), used, asked)


async def in_thread(work: Callable[[], T]) -> T:
    """What `work` returns, from a thread with a database connection for just that long."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _with_connection, work)


def _with_connection(work: Callable[[], T]) -> T:
    try:
        return persistently(work)
    finally:
        connection.close()  # back to the pool
