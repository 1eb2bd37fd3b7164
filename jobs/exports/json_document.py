"""The result as it was stored, with the job it comes from and the schema that it follows."""

import json

from django.conf import settings
from django.urls import reverse

from jobs.exports.checklist import Checklist, instant


def write(checklist: Checklist) -> bytes:
    document = {
        "$schema": settings.PUBLIC_URL + reverse("checklist-schema"),
        "job": {
            "event_id": str(checklist.event_id),
            "title": checklist.title,
            "created_at": instant(checklist.created_at),
            "completed_at": instant(checklist.completed_at),
        },
        **checklist.result,
    }
    return json.dumps(document, ensure_ascii=False, indent=2).encode()
