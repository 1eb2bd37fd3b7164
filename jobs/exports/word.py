"""A Word document: the parts of the package are templates, and a zip file holds them.

Written by ourselves because what makes it a checklist (boxes to click, page numbers, a language
for the quotes) has to be given to python-docx as XML anyway. The same checklist makes the same
bytes.
"""

import io
import zipfile

from django.template.loader import render_to_string

from jobs.exports.checklist import Checklist

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PARTS = [
    "[Content_Types].xml",
    "_rels/.rels",
    "docProps/core.xml",
    "word/_rels/document.xml.rels",
    "word/document.xml",
    "word/footer.xml",
    "word/header.xml",
    "word/settings.xml",
    "word/styles.xml",
]


def write(checklist: Checklist) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
        for part in PARTS:
            text = render_to_string(f"exports/docx/{part}", {"checklist": checklist})
            entry = zipfile.ZipInfo(part)  # always of 1980: no clock in the file
            package.writestr(entry, text, zipfile.ZIP_DEFLATED)
    return file.getvalue()
