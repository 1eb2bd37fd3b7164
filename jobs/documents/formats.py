"""What kinds of documents there are, and what was read from one. Imported by the child as well."""

from dataclasses import dataclass, field
from enum import StrEnum


class Format(StrEnum):
    """By their media types."""

    PDF = "application/pdf"
    DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    HTML = "text/html"
    MARKDOWN = "text/markdown"
    TEXT = "text/plain"


@dataclass(frozen=True)
class Reading:
    """A document as Markdown.

    page_starts  for each page the offset of its first character; empty where there are no pages
    """

    text: str
    page_starts: list[int] = field(default_factory=list)


class Unreadable(Exception):
    """Why a document cannot be read: `code` as in jobs.errors, `detail` safe to show."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


MAX_PAGES = 2_000  # of a PDF
UNSAFE, UNREADABLE, TOO_LARGE = "unsafe_document", "unreadable_document", "document_too_large"
