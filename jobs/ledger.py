"""The ledger of model calls: the intent is written before a call, its outcome after.

So a call that may have been paid for is never forgotten, and none starts for a worker that has
lost its job, or whose tenant cannot pay what it may cost: the intent is refused. Whether a reply
was of use shows when its step is stored or its attempt ends: see `services`.
"""

from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connection
from pydantic import BaseModel

from config.failpoints import failpoint
from jobs import breaker, budget, dispatch
from jobs.breaker import circuit_name
from jobs.budget import DEFAULT, Asked
from jobs.claims import Claim
from jobs.models import CallOutcome
from jobs.persistence import LeaseLost
from jobs.providers import Standing
from jobs.threads import in_thread
from llm.completer import Completer, Reply
from llm.errors import LLMError
from llm.limits import Tokens
from llm.prompts import Prompt

if TYPE_CHECKING:
    from jobs.progress import ProgressWriter

M = TypeVar("M", bound=BaseModel)

# See migrations 0023 and 0027.
INTEND = """
SELECT jobs_intend(%(tenant)s, %(id)s, %(attempt)s, %(label)s, %(model)s, %(own_key)s, %(tokens)s,
    %(micros)s, %(done)s, %(total)s)
"""
INTEND_WITH_OURS = """
SELECT provider, sealed_key, away, refused FROM jobs_intend_with_ours(%(tenant)s, %(id)s,
    %(attempt)s, %(label)s, %(model)s, %(circuits)s, %(tokens)s, %(micros)s, %(done)s, %(total)s)
"""
CLOSE = """
SELECT jobs_close(%(tenant)s, %(id)s, %(label)s, %(outcome)s, %(error_code)s, %(model)s,
    %(request_id)s, %(prompt)s, %(completion)s, %(tokens)s, %(micros)s, %(circuit)s, %(reason)s)
"""


class RecordedCalls:
    """A client whose every call stands in the ledger.

    own_key   whether its key is the tenant's own
    progress  of the job: the beginning of a step is written with the intent of its first call
    """

    def __init__(
        self,
        client: Completer,
        claim: Claim,
        *,
        own_key: bool = False,
        progress: "ProgressWriter | None" = None,
    ) -> None:
        self._client, self._claim, self._progress = client, claim, progress
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
        bound: Tokens | None,
    ) -> Reply[M]:
        """As `llm.client.Client.complete`. Raises LeaseLost or BudgetExhausted before a call that
        may not start.

        bound  what it may cost at most; None if its intent is written (`intend_with_ours`)
        """
        if bound is not None:
            begun = self._progress.take_beginning() if self._progress else None
            await in_thread(
                lambda: intend(self._claim, request_label, bound, self._asked, progress=begun)
            )
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
            await in_thread(
                lambda: close(
                    self._claim, request_label, error_code=code, used=used, asked=self._asked
                )
            )
            raise
        failpoint("after_reply")
        await in_thread(lambda: close(self._claim, request_label, reply=reply, asked=self._asked))
        return reply


def intend(
    claim: Claim,
    label: str,
    bound: Tokens,
    asked: Asked = DEFAULT,
    *,
    progress: tuple[int, int] | None = None,
) -> None:
    """Writes that a call is about to start, and sets aside what it may cost.

    progress  passages done, of how many, to be written with it

    Raises LeaseLost if the job is not ours any more, BudgetExhausted if that cannot be paid.
    """
    (refused,) = _ask(
        INTEND, claim, own_key=asked.own_key, **_call(claim, label, bound, asked, progress)
    )
    _started(claim, refused, progress)


def intend_with_ours(
    claim: Claim,
    label: str,
    bound: Tokens,
    model: str,
    circuits: list[str],
    *,
    progress: tuple[int, int] | None = None,
) -> tuple[Standing, bool]:
    """Whom the tenant's calls ask now and, if that is the installation's provider and none of the
    circuits is open, the same as `intend` in the same round trip; and whether it was done.

    Raises as `intend`, or OwnKeyRefused.
    """
    call = _call(claim, label, bound, Asked(model), progress)
    *said, refused = _ask(INTEND_WITH_OURS, claim, circuits=circuits, **call)
    standing = Standing.of(claim.tenant_id, *said)
    if refused is None:
        return standing, False
    _started(claim, refused, progress)
    return standing, True


def _call(
    claim: Claim, label: str, bound: Tokens, asked: Asked, progress: tuple[int, int] | None
) -> dict[str, Any]:
    done, total = progress or (None, None)
    return {
        "attempt": claim.attempt,
        "label": label,
        "model": asked.model[:200],
        "tokens": bound.total,
        "micros": budget.price(bound, asked),
        "done": done,
        "total": total,
    }


def _started(claim: Claim, refused: str, progress: tuple[int, int] | None) -> None:
    if refused == "lease":
        raise LeaseLost(f"{claim.event_id} attempt {claim.attempt}")
    if refused:
        raise budget.exhausted(refused)
    if progress:
        dispatch.changed(claim.event_id)


def close(
    claim: Claim,
    label: str,
    *,
    reply: Reply[Any] | None = None,
    error_code: str = "",
    used: Tokens | None = None,
    asked: Asked = DEFAULT,
) -> None:
    """Writes how the call ended and what it did cost, unless its worker was given up for lost
    meanwhile. An answer tells its model's circuit that the provider is there.

    used   by a call that failed; None where nobody knows, then it is charged at its bound
    asked  as for its intent
    """
    if reply is not None:
        used = Tokens(reply.prompt_tokens, reply.completion_tokens)
    # A reply that names no tokens has cost some. The sweep charges what is left out here.
    known = used if used is not None and (reply is None or used.total) else None
    circuit = circuit_name(asked.model) if reply is not None and not asked.own_key else ""
    (closed,) = _ask(
        CLOSE,
        claim,
        label=label,
        outcome=CallOutcome.ERROR.value if reply is None else CallOutcome.ANSWERED.value,
        error_code=error_code,
        model=reply.model[:200] if reply else "",
        request_id=reply.request_id[:200] if reply else "",
        prompt=used.prompt if used else None,
        completion=used.completion if used else None,
        tokens=known.total if known else None,
        micros=budget.price(known, asked) if known else None,
        circuit=circuit,
        reason=breaker.ANSWERS,
    )
    if closed:
        breaker.tell_closed(circuit)


def _ask(statement: str, claim: Claim, **parameters: Any) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"tenant": claim.tenant_id, "id": claim.id, **parameters})
        return cursor.fetchone()
