"""What the three doors that are asked most answer, whether from a view or from a lane."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.http import quote_etag

from config.errors import InvalidCursor
from jobs import shown
from jobs.etags import names
from jobs.models import ENDED, Job
from jobs.serializers import next_link
from jobs.shown import Row, Wanted

POLL_SECONDS = "1"

Headers = dict[str, str]


def poll_headers(job: Job | Row) -> Headers:
    """A job that goes on says when to look again."""
    return {} if job.status in ENDED else {"Retry-After": POLL_SECONDS}


def accepted(job: Job | Row) -> tuple[dict[str, Any], Headers]:
    data = shown.body_of(job)
    return data, {"Location": data["links"]["self"], **poll_headers(job)}


def shown_to(if_none_match: str, job: Row) -> tuple[dict[str, Any] | None, Headers]:
    """The job, to which its result is to be added; None to whoever has both already, by the header
    If-None-Match."""
    headers = poll_headers(job)
    if job.waiting is None:  # how long a job waits changes with the others'
        headers["ETag"] = tag = tag_of(job)
        if names(if_none_match, tag):
            return None, headers
    return body_with_wait(job), headers


def tag_of(job: Row) -> str:
    return quote_etag(f"{settings.APP_VERSION}.{job.version}")


def body_with_wait(job: Row) -> dict[str, Any]:
    waiting = asdict(job.waiting) if job.waiting else None
    return {**shown.body_of(job), "waiting": waiting}


def wanted_by(query: dict[str, Any]) -> Wanted:
    """What a query asks for: one job more than the page holds, to know whether there is another.
    Raises InvalidCursor."""
    try:
        before = UUID(hex=query["cursor"]) if "cursor" in query else None
    except ValueError:
        raise InvalidCursor from None
    return Wanted(
        most=query["limit"] + 1,
        status=query.get("status"),
        before=before,
        since=query.get("created_after"),
        until=query.get("created_before"),
        metadata=query.get("metadata"),
    )


def page(jobs: Sequence[Job | Row], query: dict[str, Any]) -> dict[str, Any]:
    page = jobs[: query["limit"]]
    more = len(jobs) > len(page)
    return {
        "data": [shown.body_of(job) for job in page],
        "next": next_link(query, page[-1]) if more else None,
    }
