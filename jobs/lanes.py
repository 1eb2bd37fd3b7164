"""The doors to jobs that are asked most, on the event loop (see config/lanes.py)."""

import contextlib
import io
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from django.http import Http404, HttpRequest, QueryDict

from config import loop
from config.failpoints import failpoint
from config.isolation import DatabaseRole, meaning
from config.lanes import MOST_BYTES, Answer, Asked, Lane, Write
from config.parsers import loads, read_body
from jobs import answers, dispatch, events, live, services, shown
from jobs.event_views import JobEventsView
from jobs.models import Job
from jobs.serializers import JobListQuerySerializer, JobSubmitSerializer
from jobs.shown import Row
from jobs.views import JobCreateView, JobDetailView, JobView
from llm.estimate import estimate
from tenants.audit import acts_of
from tenants.authentication import Principal
from tenants.held import LetGo, Place
from tenants.lanes import TenantLane, actor_of
from tenants.models import RouteClass, Scope

T = TypeVar("T")

estimate("")  # loads what it needs now, not with the first submission
EVENT_ID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


async def show(caller: Principal, asked: Asked, event_id: str) -> Answer | None:
    seconds = events.seconds_to_wait(_header(asked, b"prefer"))
    try:
        job = await _look(caller, asked, UUID(event_id), seconds)
    except LetGo:
        return None
    if job is None:
        raise Http404
    data, headers = answers.shown_to(_header(asked, b"if-none-match"), job)
    if seconds:
        headers["Preference-Applied"] = f"wait={seconds}"
    if data is None:
        return Answer(HTTPStatus.NOT_MODIFIED, None, headers)
    # A result may be long: it is not read to be written again.
    result = await _done(caller, shown.result_json, job)
    return Answer(HTTPStatus.OK, data, headers, last=("result", result))


async def _look(caller: Principal, asked: Asked, event_id: UUID, seconds: int) -> Row | None:
    if not seconds:
        return await live.find(caller.tenant_id, event_id)
    async with Place(caller.tenant_id, asked, Scope.JOBS_READ).kept():
        with live.listening(caller.tenant_id, event_id) as listener:
            return await events.news(listener, _header(asked, b"if-none-match"), seconds)


async def follow(caller: Principal, asked: Asked, found: str) -> Answer:
    event_id, last_event_id = UUID(found), _header(asked, b"last-event-id")
    job = await live.find(caller.tenant_id, event_id)
    if job is None:
        raise Http404
    if events.is_over_for(last_event_id, job):
        return Answer(HTTPStatus.NO_CONTENT)
    place = Place(caller.tenant_id, asked, Scope.JOBS_READ)  # given up by the stream

    async def stream(write: Write) -> None:
        with contextlib.suppress(LetGo):
            async with place.kept():
                with live.listening(caller.tenant_id, event_id) as listener:
                    await events.tell(listener, last_event_id, write)

    headers = dict(events.HEADERS)
    return Answer(HTTPStatus.OK, headers=headers, content_type=events.MEDIA_TYPE, stream=stream)


async def index(caller: Principal, asked: Asked, _: str) -> Answer:
    query = JobListQuerySerializer.checked(QueryDict(asked.query))
    question, wanted = shown.asked_for_page(caller.tenant_id, answers.wanted_by(query))
    jobs = shown.listed(await _rows(caller, question, wanted))
    return Answer(HTTPStatus.OK, answers.page(jobs, query))


async def submit(caller: Principal, asked: Asked, _: str) -> Answer:
    length = int(asked.headers[b"content-length"])
    body = loads(read_body(io.BytesIO(await asked.body()), length))
    with acts_of(actor_of(caller, asked)):
        job = await _submitted(caller, JobSubmitSerializer.checked(body))
    data, headers = answers.accepted(job)
    return Answer(HTTPStatus.ACCEPTED, data, headers)


async def _submitted(caller: Principal, checked: dict[str, Any]) -> Job | Row:
    who: dict[str, Any] = {
        "tenant_id": caller.tenant_id,
        "submitted_by": caller.subject,
        "preferences": caller.preferences,
    }
    if checked.get("supersedes"):  # which has to be looked up
        return await _in_thread(caller, services.submit_job, visible_to=caller, **who, **checked)
    submission = await _done(caller, services.prepare, **who, **checked)
    failpoint("before_post_commit")
    (made,) = await _rows(caller, services.SUBMIT, submission.values)
    if made["refused"]:  # and how much is left has to be looked up
        await _in_thread(caller, submission.accepted, made)
    job = submission.accepted(made)
    # Only a nudge: if it is lost, the pump wakes a worker for the same row within seconds.
    dispatch.wake_worker()
    failpoint("after_post_commit")
    return job


async def _rows(
    caller: Principal, question: str, parameters: dict[str, Any]
) -> list[dict[str, Any]]:
    return await loop.rows_in_role(DatabaseRole.API, caller.tenant_id, question, parameters)


async def _done(caller: Principal, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """`work`, which changes nothing, done at once or, where it has to ask for a key of the
    tenant's, in a thread: Django lets nobody ask on the loop."""
    try:
        return work(*args, **kwargs)
    except SynchronousOnlyOperation:
        return await _in_thread(caller, work, *args, **kwargs)


async def _in_thread(caller: Principal, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    def in_role() -> T:
        with meaning(DatabaseRole.API, caller.tenant_id):
            return work(*args, **kwargs)

    return await loop.in_thread(in_role)


def _header(asked: Asked, name: bytes) -> str:
    return asked.headers.get(name, b"").decode("latin-1")


def _is_short_json(asked: Asked) -> bool:
    length = asked.headers.get(b"content-length", b"")
    is_json = asked.headers.get(b"content-type") == b"application/json"
    return is_json and not asked.query and length.isdigit() and 0 < int(length) <= MOST_BYTES


def _has_no_query(asked: Asked) -> bool:
    return not asked.query


def _has_few_fields(asked: Asked) -> bool:
    """No more than Django reads: of more it has something to say, outside of the view."""
    return asked.query.count(b"&") < settings.DATA_UPLOAD_MAX_NUMBER_FIELDS


def _allow(view: type[JobView]) -> str:
    made = view()
    made.setup(HttpRequest())
    return ", ".join(made.allowed_methods)


LANES: list[Lane] = [
    TenantLane(
        "POST",
        re.compile("/jobs"),
        _allow(JobCreateView),
        Scope.JOBS_SUBMIT,
        RouteClass.SUBMIT,
        _is_short_json,
        submit,
    ),
    TenantLane(
        "GET",
        re.compile(f"/jobs/({EVENT_ID})"),
        _allow(JobDetailView),
        Scope.JOBS_READ,
        RouteClass.READ,
        _has_no_query,
        show,
    ),
    TenantLane(
        "GET",
        re.compile(f"/jobs/({EVENT_ID})/events"),
        _allow(JobEventsView),
        Scope.JOBS_READ,
        RouteClass.READ,
        _has_no_query,
        follow,
        frozenset({b"*/*", events.MEDIA_TYPE.encode()}),
    ),
    TenantLane(
        "GET",
        re.compile("/jobs"),
        _allow(JobCreateView),
        Scope.JOBS_READ,
        RouteClass.READ,
        _has_few_fields,
        index,
    ),
]
