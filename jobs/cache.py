"""The same text, options and versions in the same tenant: the earlier result will do, at no cost.

A job's fingerprint says what its result depends on. It is made with a key of the tenant's own, so
equal texts of two tenants have fingerprints that differ, whoever may read them.

Two equal jobs that run at the same time both ask the model: nobody waits for another's end.
"""

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection

from config.database import zulu
from jobs import sealed
from jobs.models import Job
from jobs.options import resolve
from llm.version import CHAIN_VERSION
from tenants import vault

if TYPE_CHECKING:
    from jobs.shown import Row

PLACE = "jobs_job.fingerprint"
# Options that change nothing in a result: one that a fallback has made is not offered again.
NO_MATTER = {"cache", "fallback_models"}
EARLIER = """
SELECT event_id, sealed_result, ended_at FROM jobs_job
WHERE tenant_id = %s AND fingerprint = %s AND fingerprint <> '' AND status = 'COMPLETED'
    AND deleted_at IS NULL
ORDER BY id DESC LIMIT 1
"""


def fingerprint(job: Job) -> str:
    """Of all that the job's result depends on, keyed; "" where that is not the same again.

    The text itself has been read already, for the digest of its document. A job that supersedes
    another depends on that one's result as well.
    """
    if job.supersedes_id is not None or not job.document.digest:
        return ""
    document = job.document
    return keyed(job.tenant_id, document.digest, document.page_starts, job.options, job.prompts)


def keyed(
    tenant_id: UUID,
    digest: str,
    pages: list[int] | None,
    options: dict[str, Any],
    prompts: dict[str, int],
) -> str:
    """The fingerprint of a text by its digest."""
    parts = {
        "digest": digest,
        "pages": pages,
        "options": {name: value for name, value in options.items() if name not in NO_MATTER},
        "prompts": prompts,
        "chain": CHAIN_VERSION,
    }
    return vault.index(tenant_id, json.dumps(parts, sort_keys=True).encode(), PLACE)


def may_use_earlier(job: "Job | Row") -> bool:
    """Unless the caller refuses earlier results, or none could be the same."""
    return bool(job.fingerprint and resolve(job.options)["cache"])


def earlier_result(job: Job) -> dict[str, Any] | None:
    """The latest result with the job's fingerprint, unless the job refuses it.

    It says when it was made, not by which job: not everybody may know of that.
    """
    if not may_use_earlier(job):
        return None
    with connection.cursor() as cursor:
        cursor.execute(EARLIER, [job.tenant_id, job.fingerprint])
        row = cursor.fetchone()
    if row is None:
        return None
    event_id, sealed_result, ended_at = row
    # By this job's tenant: with its keys another tenant's result would stay shut.
    place = sealed.RESULT.format(event_id)
    result = sealed.open_json(job.tenant_id, sealed_result, place)
    if result is None or _is_makeshift(result):
        return None
    provenance = {"cache": {"made_at": zulu(ended_at)}, **result["provenance"]}
    return {**result, "provenance": provenance}


def _is_makeshift(result: dict[str, Any]) -> bool:
    """Made while something was away: the next job may do better."""
    steps = result["provenance"]["steps"].values()
    return any({"fallback_from", "failed"} & step.keys() for step in steps)
