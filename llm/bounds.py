"""How many tokens a call can cost at most.

A token of a byte-level tokenizer is at least one byte, so bytes bound the tokens of a prompt. A
reply is bounded by what we ask for: `max_completion_tokens`.
"""

import json
from functools import cache
from typing import Any

from pydantic import BaseModel

from llm.limits import Tokens, max_output
from llm.prompts import Prompt
from llm.schemas import response_format

FRAMING = 64  # tokens that a provider adds around our messages


def of_call(prompt: Prompt, data: dict[str, Any], schema: type[BaseModel]) -> Tokens:
    """What a call with these arguments costs at most, as `llm.client.Client` makes it."""
    said = len(user_message(data).encode("utf-8", "surrogatepass"))
    return Tokens(overhead(prompt, schema) + said, max_output(said))


@cache
def overhead(prompt: Prompt, schema: type[BaseModel]) -> int:
    """Tokens of a call with no data, at most."""
    form = json.dumps(response_format(schema))
    return len(prompt.text.encode()) + len(form) + FRAMING


def user_message(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False)
