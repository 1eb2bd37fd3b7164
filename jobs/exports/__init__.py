"""The checklist as people take it away: one module for each format."""

from collections.abc import Callable
from dataclasses import dataclass

from jobs.exports import csv_table, fhir, json_document, markdown, page, word
from jobs.exports.checklist import Checklist


@dataclass(frozen=True)
class Format:
    """How a checklist is written to one kind of file.

    name    for people, and for the operation's name in the OpenAPI document
    policy  Content-Security-Policy of what browsers are to show; everything else is to be saved
    """

    name: str
    media_type: str
    file_ending: str
    write: Callable[[Checklist], bytes]
    policy: str = ""


# By the ending of the path.
FORMATS = {
    "md": Format("Markdown", "text/markdown; charset=utf-8", "md", markdown.write),
    "csv": Format("CSV", "text/csv; charset=utf-8; header=present", "csv", csv_table.write),
    "docx": Format("Word", word.MEDIA_TYPE, "docx", word.write),
    "html": Format("HTML", "text/html; charset=utf-8", "html", page.write, page.POLICY),
    "json": Format("JSON", "application/json", "json", json_document.write),
    "fhir": Format("FHIR", "application/fhir+json; fhirVersion=4.0", "fhir.json", fhir.write),
}
