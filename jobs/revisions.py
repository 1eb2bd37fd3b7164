"""A job that supersedes another: what that one said of passages that have not changed is kept."""

from dataclasses import dataclass, field
from typing import Any

from jobs.models import Job
from jobs.options import current_prompts, resolve
from llm.chunks import readable
from llm.passages import split_passages
from llm.revision import NOTHING, Kept, keep

NO_MATTER = {
    "cache",
    "report",
    "fallback_models",
}  # options that do not change what is said of a passage


@dataclass(frozen=True)
class Revision:
    """What a job takes over, and how its result tells of that."""

    kept: Kept = NOTHING
    provenance: dict[str, Any] = field(default_factory=dict)


def kept_for(job: Job, source: str) -> Revision:
    """Nothing for a job that supersedes none, whose earlier one is deleted or was asked something
    else: then everything is asked."""
    if job.supersedes_id is None:
        return Revision()
    jobs = Job.objects.for_tenant(job.tenant_id).with_result().select_related("document")
    earlier = jobs.get(pk=job.supersedes_id)
    kept = NOTHING
    if _asked_the_same(job, earlier):
        text, result = earlier.document.text, earlier.result
        if text is not None and result is not None:
            kept = keep(text, result, source)
    ids = {passage.id for passage in readable(split_passages(source))}
    revision = {
        "supersedes": str(earlier.event_id),
        "passages_kept": len(ids & kept.passages),
        "passages_asked": len(ids - kept.passages),
    }
    return Revision(kept, {"revision": revision})


def _asked_the_same(job: Job, earlier: Job) -> bool:
    one, other = resolve(job.options), resolve(earlier.options)
    differ = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
    prompts = current_prompts()
    return not differ - NO_MATTER and prompts | job.prompts == prompts | earlier.prompts
