"""The shape a reply must have.

OpenAI's strict mode wants every field required and no others, and knows no lengths: the limits
below are our own and are checked when a reply is read.
"""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_TEXT = 4_000  # characters of any one sentence a model writes
MAX_QUOTE = 8_000
MAX_ENTRIES = 2_000  # statements or items in one reply
MAX_REFERENCES = 50  # passages or citations of one statement or item


def _at_most(limit: int) -> BeforeValidator:
    """A limit that the JSON schema does not mention."""

    def check(value: Any) -> Any:
        if isinstance(value, str | list) and len(value) > limit:
            raise ValueError(f"longer than {limit}")
        if isinstance(value, str) and "\x00" in value:
            raise ValueError("holds a NUL, which no database takes")
        return value

    return BeforeValidator(check)


Text = Annotated[str, _at_most(MAX_TEXT)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SummaryStatement(_Strict):
    text: Text = Field(description="One requirement or permission, complete and self-contained")
    passages: Annotated[list[int], _at_most(MAX_REFERENCES)] = Field(
        description="ids of the passages that say it"
    )


class Summary(_Strict):
    title: Text
    scope: Text = Field(description="What the guideline covers; empty if it does not say")
    audience: Text = Field(description="Who has to follow it; empty if it does not say")
    statements: Annotated[list[SummaryStatement], _at_most(MAX_ENTRIES)]


class Citation(_Strict):
    passage: int = Field(description="id of the passage quoted")
    quote: Annotated[str, _at_most(MAX_QUOTE)] = Field(
        description="Copied from that passage character by character"
    )


class Item(_Strict):
    action: Text = Field(description="What to do, as an order")
    actor: Text = Field(description="Who does it")
    level: Literal["must", "must_not", "should", "should_not", "may"]
    category: Text
    priority: Literal["high", "medium", "low"]
    condition: Text = Field(description="When it applies; empty if always")
    citations: Annotated[list[Citation], _at_most(MAX_REFERENCES)]


class Checklist(_Strict):
    items: Annotated[list[Item], _at_most(MAX_ENTRIES)]


class Corrected(_Strict):
    number: int = Field(description="number of the doubtful item that this one replaces")
    item: Item


class Repair(_Strict):
    items: Annotated[list[Item], _at_most(MAX_ENTRIES)] = Field(
        description="Items for what is missing"
    )
    corrected: Annotated[list[Corrected], _at_most(MAX_ENTRIES)]


@cache
def response_format(model: type[BaseModel]) -> dict[str, Any]:
    """The `response_format` of a chat completion that makes OpenAI keep to this model. Made once,
    since Pydantic takes milliseconds for it: everybody's, so nobody's to change."""
    schema = model.model_json_schema()
    return {
        "type": "json_schema",
        "json_schema": {"name": model.__name__.lower(), "strict": True, "schema": schema},
    }
