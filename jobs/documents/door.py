"""A file of a request as `services.submit_job` takes it, or the reason why it is not let in."""

from typing import Any

from django.conf import settings

from config.parsers import UploadedFile
from jobs.documents.inspection import PLAIN, decode, inspect
from jobs.documents.reading import Incoming
from jobs.errors import DocumentTooLarge, FileTooLarge


def accepted(file: UploadedFile) -> dict[str, Any]:
    """{"guideline_text"} of Markdown and plain text, which need no reading; {"file"} of others.

    Raises FileTooLarge, UnsupportedOrUnsafeFile or DocumentTooLarge.
    """
    limit = settings.DOCUMENT_MAX_BYTES
    if len(file.content) > limit:
        raise FileTooLarge(
            f"The file has {len(file.content):,} bytes; it may have {limit:,} (10 MB). Take large"
            " pictures out, or send it in parts.",
            limit_bytes=limit,
        )
    kind = inspect(file.content, name=file.name, declared=file.media_type)
    if kind not in PLAIN:
        return {"file": Incoming(file.content, kind)}
    text = decode(file.content)
    size, limit = len(text.encode()), settings.GUIDELINE_MAX_BYTES
    if size > limit:
        raise DocumentTooLarge(
            f"The document has {size:,} bytes of text in UTF-8. It may have 1 character to"
            f" {limit:,} bytes (1 MB); send a longer guideline in parts.",
            limit_bytes=limit,
            errors=[{"pointer": "/document", "code": "too_large", "detail": "Too long."}],
        )
    return {"guideline_text": text}
