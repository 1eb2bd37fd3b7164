"""The doors to jobs that are asked most, on the event loop (see config/lanes.py)."""

import io
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar
from uuid import UUID

from django.core.exceptions import SynchronousOnlyOperation
from django.http import Http404, HttpRequest, QueryDict

from config import loop
from config.failpoints import failpoint
from config.isolation import DatabaseRole, meaning
from config.lanes import MOST_BYTES, Answer, Asked, Lane
from config.parsers import loads, read_body
from jobs import answers, dispatch, services, shown
from jobs.models import Job
from jobs.serializers import JobListQuerySerializer, JobSubmitSerializer
from jobs.shown import Row
from jobs.views import JobCreateView, JobDetailView, JobView
from tenants.audit import acts_of
from tenants.authentication import Principal
from tenants.lanes import TenantLane, actor_of
from tenants.models import RouteClass, Scope

T = TypeVar("T")

EVENT_ID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


async def show(caller: Principal, asked: Asked, event_id: str) -> Answer:
    wanted = shown.asked_for(caller.tenant_id, UUID(event_id))
    job = shown.found(caller.tenant_id, await _rows(caller, shown.SHOW, wanted))
    if job is None:
        raise Http404
    if_none_match = asked.headers.get(b"if-none-match", b"").decode("latin-1")
    data, headers = answers.shown_to(if_none_match, job)
    if data is None:
        return Answer(HTTPStatus.NOT_MODIFIED, None, headers)
    # A result may be long: it is not read to be written again.
    result = await _done(caller, shown.result_json, job)
    return Answer(HTTPStatus.OK, data, headers, last=("result", result))


async def index(caller: Principal, asked: Asked, _: str) -> Answer:
    query = JobListQuerySerializer.checked(QueryDict(asked.query))
    wanted = {"tenant": caller.tenant_id, **answers.asked_by(query)}
    jobs = shown.listed(await _rows(caller, shown.PAGE, wanted))
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


def _is_short_json(asked: Asked) -> bool:
    length = asked.headers.get(b"content-length", b"")
    is_json = asked.headers.get(b"content-type") == b"application/json"
    return is_json and not asked.query and length.isdigit() and 0 < int(length) <= MOST_BYTES


def _has_no_query(asked: Asked) -> bool:
    return not asked.query


def _is_any(asked: Asked) -> bool:
    return True


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
        re.compile("/jobs"),
        _allow(JobCreateView),
        Scope.JOBS_READ,
        RouteClass.READ,
        _is_any,
        index,
    ),
]
