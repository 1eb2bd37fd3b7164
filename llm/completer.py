"""What the chain asks and what it is answered. Whoever only speaks of calls need not load the SDK,
which takes longer than all the rest of a web process: `llm.client` does.
"""

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from llm.prompts import Prompt

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Reply(Generic[T]):
    """value is validated; model is the one the server says it used; seconds are wall time."""

    value: T
    model: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    request_id: str


class Completer(Protocol):
    """What the chain needs of a client: `Client` is one, a wrapper that keeps books is another."""

    model: str

    async def complete(
        self,
        *,
        prompt: Prompt,
        data: dict[str, Any],
        schema: type[T],
        deadline: float,
        request_label: str = "",
    ) -> Reply[T]: ...
