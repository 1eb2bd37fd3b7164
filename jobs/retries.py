"""What follows from a failed attempt: by the class of the error, not by hope.

| class | then |
| --- | --- |
| throttled | again when the provider says, at no cost in failures; the slot is free meanwhile |
| unavailable, timeout, our own mistake | again after a growing delay, MAX_FAILURES times in all |
| unavailable, with the tenant's own key | again after a growing delay, at no cost in failures |
| invalid_output, policy_leak | once more: a model's reply is a draw |
| truncated, refused, filtered, bad_request | FAILED at once: the same call gives the same answer |
| no model of the job is there to ask | again when one may be tried, at no cost in failures |
| budget_exhausted | FAILED at once: the tenant's own budget, which a person has to look at |
| quota, auth | the circuit is held open for staff; the job waits and loses nothing |
| the same two with the tenant's own key | FAILED at once: a person of the tenant has to act |

Nothing is tried again beyond the job's deadline.
"""

import random
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto

from jobs.errors import INTERNAL_ERROR, BudgetExhausted, ModelsAway
from llm.errors import (
    AuthRefused,
    InvalidOutput,
    LLMError,
    QuotaExhausted,
    Throttled,
    Unavailable,
)

MAX_FAILURES = 5
MAX_INVALID_OUTPUTS = 2
BASE = timedelta(seconds=2)
CAP = timedelta(minutes=5)


class Verdict(Enum):
    AGAIN = auto()  # after `delay`
    WHEN_MENDED = auto()  # once staff has closed the circuit
    FAIL = auto()


@dataclass(frozen=True)
class Decision:
    verdict: Verdict
    code: str
    delay: timedelta = timedelta()
    counts: bool = True  # as one of MAX_FAILURES


def decide(error: Exception, *, failures: int, attempt: int, seconds_left: float) -> Decision:
    """What to do after `error`.

    failures      that counted before this one, in this run
    attempt       number of the attempt that failed, for delays that grow
    seconds_left  until the job's deadline
    """
    if isinstance(error, BudgetExhausted):
        return Decision(Verdict.FAIL, error.code)
    code = error.code if isinstance(error, LLMError) else INTERNAL_ERROR
    if isinstance(error, QuotaExhausted | AuthRefused):
        return Decision(Verdict.WHEN_MENDED, code, counts=False)
    if isinstance(error, LLMError) and not error.retryable:
        return Decision(Verdict.FAIL, code)
    counts = not isinstance(error, Throttled | ModelsAway) and not _own_provider_is_away(error)
    limit = MAX_INVALID_OUTPUTS if isinstance(error, InvalidOutput) else MAX_FAILURES
    delay = backoff(attempt, error.retry_after if isinstance(error, LLMError) else None)
    if (counts and failures + 1 >= limit) or delay.total_seconds() >= seconds_left:
        return Decision(Verdict.FAIL, code)
    return Decision(Verdict.AGAIN, code, delay, counts)


def _own_provider_is_away(error: Exception) -> bool:
    """No circuit waits for it, as one does for the installation's: the job does."""
    return isinstance(error, Unavailable) and error.asked is not None and error.asked.own_key


def backoff(attempt: int, retry_after: float | None) -> timedelta:
    """Exponential with full jitter, never sooner than the provider asked for.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    ceiling = min(CAP, BASE * 2 ** min(attempt - 1, 20))
    delay = random.uniform(0, ceiling.total_seconds())  # noqa: S311  (spreads load, no secret)
    return timedelta(seconds=max(delay, retry_after or 0))
