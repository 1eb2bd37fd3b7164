"""What of a job is stored sealed, and the place that each piece is bound to.

Whatever holds words of a guideline or of a model: the file it came as, the text, the summary, the
checklist, the result, and the raw error of an attempt. A job's title and metadata are not: they can
be searched for.
"""

import json
from typing import Any
from uuid import UUID

from tenants import vault

DOCUMENT_TEXT = "jobs_document.sealed_text:{}"  # of the document's uid
ORIGINAL = "jobs_upload.sealed_original:{}"  # of the job's id
SUMMARY = "jobs_job.sealed_summary:{}"  # of the job's event_id
CHECKLIST = "jobs_job.sealed_checklist:{}"
RESULT = "jobs_job.sealed_result:{}"
ERROR = "jobs_jobattempt.sealed_error:{}.{}"  # of the job's id and the attempt's number


def seal_text(tenant_id: UUID, text: str, place: str) -> bytes:
    return vault.seal(tenant_id, text.encode("utf-8", "surrogatepass"), place)


def open_text(tenant_id: UUID, blob: bytes | memoryview | None, place: str) -> str | None:
    """None for what is not there. Raises `config.crypto.CannotUnseal`."""
    if blob is None:
        return None
    return vault.unseal(tenant_id, blob, place).decode("utf-8", "surrogatepass")


def seal_json(tenant_id: UUID, value: dict[str, Any], place: str) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return vault.seal(tenant_id, text.encode(), place)


def open_json(
    tenant_id: UUID, blob: bytes | memoryview | None, place: str
) -> dict[str, Any] | None:
    """None for what is not there. Raises `config.crypto.CannotUnseal`."""
    text = open_text(tenant_id, blob, place)
    value: dict[str, Any] | None = None if text is None else json.loads(text)
    return value


def digest(tenant_id: UUID, text: str) -> str:
    """Tells equal guidelines of one tenant; tells nobody without its key which text it is of."""
    return vault.index(tenant_id, text.encode("utf-8", "surrogatepass"), "jobs_document.digest")
