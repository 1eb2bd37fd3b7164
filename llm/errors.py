"""Why a call to the model failed. The type says whether trying again can help."""

from typing import Any

from llm.limits import Tokens

MAX_DETAIL = 2_000  # characters of raw text kept for staff

# Shown to the tenant on a job that failed: what happened, what to do. Nothing in here comes from
# the provider.
SAFE_DETAIL = {
    "llm_throttled": "The language model received too many requests, in every attempt. Retry the"
    " job later.",
    "llm_unavailable": "The language model could not be reached, in every attempt. Retry the job"
    " later.",
    "llm_timeout": "The language model did not answer in time, in every attempt. Retry the job"
    " later, or split the guideline into parts.",
    "llm_quota": "The account with the language model has no credit left. Our staff has to act;"
    " nothing is lost. Retry the job later.",
    "llm_auth": "The language model does not accept our credentials. Our staff has to act;"
    " nothing is lost. Retry the job later.",
    "llm_bad_request": "The language model refused the request as invalid. Tell support the job's"
    " event_id.",
    "llm_truncated": "The language model's answer was cut off because it became too long. Split"
    " the guideline into parts and submit them one by one.",
    "llm_refused": "The language model declined to work on this text. Check that the text is a"
    " guideline, then submit it again.",
    "llm_filtered": "The provider's content filter stopped the answer. Check the text for content"
    " that its policy excludes, then submit it again.",
    "llm_invalid_output": "The language model's answers could not be used. A new attempt often"
    " helps: retry the job.",
    "llm_policy_leak": "The language model repeated our instructions to it, and the answer was"
    " refused. Check the text for sentences that address a language model, then submit it again.",
}


class LLMError(Exception):
    """A call that gave no usable reply.

    code         stable slug, one of SAFE_DETAIL
    retryable    may the same call succeed later?
    retry_after  seconds the provider asked us to wait, None where it did not say
    detail       raw text for staff only, at most MAX_DETAIL characters
    used         tokens that the provider counted; None where nobody knows whether it did
    asked        who was asked, in the words of whoever chose; None where nobody did
    """

    code = "llm_invalid_output"
    retryable = False
    asked: Any = None

    def __init__(
        self,
        detail: str = "",
        *,
        retry_after: float | None = None,
        used: Tokens | None = None,
    ) -> None:
        self.used = used
        self.detail = detail[:MAX_DETAIL]
        self.retry_after = retry_after
        super().__init__(f"{self.code}: {self.detail[:200]}")

    @property
    def safe_detail(self) -> str:
        return SAFE_DETAIL[self.code]


class TransientLLMError(LLMError):
    """The provider's trouble, not ours: wait, then try the same again."""

    retryable = True


class Throttled(TransientLLMError):
    code = "llm_throttled"


class Unavailable(TransientLLMError):
    code = "llm_unavailable"


class TimedOut(TransientLLMError):
    code = "llm_timeout"


class QuotaExhausted(LLMError):
    """429 like a throttled call, but waiting does not help: somebody has to pay."""

    code = "llm_quota"


class AuthRefused(LLMError):
    """401: the key opens nothing, whatever the model."""

    code = "llm_auth"


class ModelRefused(AuthRefused):
    """403, 404: this key may not use this model; it may others."""


class BadRequest(LLMError):
    code = "llm_bad_request"


class Truncated(LLMError):
    code = "llm_truncated"


class Refused(LLMError):
    code = "llm_refused"


class Filtered(LLMError):
    code = "llm_filtered"


class InvalidOutput(LLMError):
    """A reply that is no JSON, breaks the schema or is no completion at all.

    Retryable, since a model's reply is a draw.
    """

    code = "llm_invalid_output"
    retryable = True


class PolicyLeak(InvalidOutput):
    """A reply that repeats the system prompt. A draw like any other: it is asked for once more."""

    code = "llm_policy_leak"
