"""What a guideline will cost, before anybody is asked: as many tokens as are set aside for it."""

import math
from functools import cache

from llm import prompts
from llm.limits import MAX_CHARACTERS, MAX_REPAIRS, Tokens, max_output

_FULL = 0.75  # of a call, on average: calls end where sections do
_FRAMED = 1.3  # bytes of the JSON that a byte of a passage becomes


def estimate(source: str) -> Tokens:
    """What all steps together need, on the high side. Each call has a bound of its own.

    A repair is in it, although most guidelines need none: it asks about a part of the passages.
    """
    calls = max(1, math.ceil(len(source) / (MAX_CHARACTERS * _FULL)))
    data = math.ceil(len(source.encode("utf-8", "surrogatepass")) * _FRAMED)
    each = math.ceil(data / calls)
    # Step 2 sees the passages, and what step 1 said of them; a repair, what step 2 said.
    steps = (
        ("summarize", calls, 1),
        ("checklist", calls, 2),
        ("repair", min(calls, MAX_REPAIRS), 2),
    )
    prompt = completion = 0
    for name, times, share in steps:
        prompt += times * (_without_data()[name] + share * each)
        completion += times * max_output(share * each)
    return Tokens(prompt, completion)


@cache
def _without_data() -> dict[str, int]:
    """Tokens of a call of each step, by the prompts in production."""
    # A sixteenth of a second, which a command that accepts nothing need not wait for.
    from llm import bounds, schemas  # noqa: PLC0415

    forms = {"summarize": schemas.Summary, "checklist": schemas.Checklist, "repair": schemas.Repair}
    versions = prompts.labelled("production")
    return {
        name: bounds.overhead(prompts.load(name, versions[name]), form)
        for name, form in forms.items()
    }
