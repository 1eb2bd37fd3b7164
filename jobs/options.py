"""What holds for a job: fixed when it is submitted, so that a retry does what was promised."""

from typing import Any

from jobs.budget import Asked
from llm import prompts
from tenants.preferences import Preferences
from tenants.services.settings import refuse_models


def resolve(asked: dict[str, Any], preferences: Preferences | None = None) -> dict[str, Any]:
    """The options of a job: what the caller asked for, and for the rest what the tenant has set,
    or the installation.

    language   of the checklist, a BCP 47 tag; "" is the guideline's own
    on_doubt   "flag", "drop" or "repair": what becomes of an item whose meaning did not survive
    report     whether the result says where the guideline contradicts itself or leaves gaps
    model      that the calls ask for
    fallback_models  that they ask where it is away, in this order; none where a job names its
               model: whoever asks for one gets that one
    cache      whether an earlier result for the same text, options and versions will do
    """
    preferences = preferences or Preferences()
    model, *fallbacks = preferences.models or [""]
    defaults = {
        "language": preferences.language,
        "on_doubt": preferences.on_doubt,
        "report": False,
        "model": model,
        "fallback_models": [] if "model" in asked else fallbacks,
        "cache": True,
    }
    return defaults | asked


def refuse_unless_allowed(
    options: dict[str, Any], preferences: Preferences, pointer: str = "/options/model"
) -> None:
    """Raises ModelNotAllowed for a model that is none of the tenant's, which stood at `pointer`."""
    wrong = [options["model"]] if options["model"] not in preferences.allowed else []
    refuse_models(wrong, preferences.allowed, pointer)


def models_of(options: dict[str, Any]) -> list[str]:
    """The models that a job may ask, in order; `options` as `resolve` gives them."""
    return [options["model"], *options["fallback_models"]]


def asked_by(options: dict[str, Any], *, own_key: bool) -> list[Asked]:
    """Whom a job may ask, and who pays for it."""
    return [Asked(model, own_key) for model in models_of(options)]


def current_prompts() -> dict[str, int]:
    """The versions that a job submitted now is pinned to."""
    return prompts.labelled("production")
