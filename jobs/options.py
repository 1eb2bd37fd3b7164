"""What holds for a job: fixed when it is submitted, so that a retry does what was promised."""

from typing import Any

from django.conf import settings

from llm import prompts

ON_DOUBT = ["flag", "drop", "repair"]


def resolve(asked: dict[str, Any]) -> dict[str, Any]:
    """The options of a job: what the caller asked for, and defaults for the rest.

    language   of the checklist, a BCP 47 tag; "" is the guideline's own
    on_doubt   "flag", "drop" or "repair": what becomes of an item whose meaning did not survive
    report     whether the result says where the guideline contradicts itself or leaves gaps
    model      that the calls ask for
    cache      whether an earlier result for the same text, options and versions will do
    """
    defaults = {
        "language": "",
        "on_doubt": "flag",
        "report": False,
        "model": settings.OPENAI_MODEL,
        "cache": True,
    }
    return defaults | asked


def current_prompts() -> dict[str, int]:
    """The versions that a job submitted now is pinned to."""
    return prompts.labelled("production")
