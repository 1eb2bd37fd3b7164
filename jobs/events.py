"""A job's changes as Server-Sent Events (WHATWG HTML, 9.2), and answers that wait for a change."""

import asyncio
import re
from collections.abc import Awaitable, Callable

from rest_framework.renderers import JSONRenderer

from jobs import answers, shown
from jobs.etags import names
from jobs.live import Listener
from jobs.models import ENDED
from jobs.shown import Row

MEDIA_TYPE = "text/event-stream"
HEADERS = {"X-Accel-Buffering": "no"}  # for nginx
RETRY = b"retry: 2000\n\n"  # milliseconds after which a client comes back
HEARTBEAT = b": the job goes on\n\n"
MOST_SECONDS = 60  # that an answer waits

_renderer = JSONRenderer()


def event(job: Row) -> bytes:
    data = _renderer.render(answers.body_with_wait(job))
    return b"event: job\nid: %s\ndata: %s\n\n" % (job.version.encode(), data)


def is_over_for(last_event_id: str, job: Row) -> bool:
    """Whether nothing is left to say after this event: 204 keeps a client from asking again."""
    return job.status in ENDED and job.version == last_event_id


def present(last_event_id: str, job: Row) -> bytes:
    """How the job stands, for who will come back for more."""
    return RETRY + (b"" if job.version == last_event_id else event(job))


async def tell(
    listener: Listener, last_event_id: str, write: Callable[[bytes], Awaitable[None]]
) -> None:
    """Each change of the job from that event on, up to its end or its deletion."""
    await write(RETRY)
    version, told = last_event_id, None
    while job := await listener.next():
        body = shown.body_of(job)
        # A lease that is renewed makes another version, of which there is nothing to tell.
        is_news = job.version != version and body != told
        await write(event(job) if is_news else HEARTBEAT)
        version, told = job.version, body
        if job.status in ENDED:
            return


# --- Prefer: wait (RFC 7240) ------------------------------------------------------------------

_WAIT = re.compile(r'(?:^|,)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:[;,]|$)', re.IGNORECASE)


def seconds_to_wait(prefer: str) -> int:
    """How long the answer may take, by the header Prefer; 0 where it says nothing of that."""
    found = _WAIT.search(prefer)
    return min(int(found[1]), MOST_SECONDS) if found else 0


async def news(listener: Listener, if_none_match: str, seconds: int) -> Row | None:
    """The job once it has changed, or has ended, or as it stands after that time. At once where the
    asker's tag is of another state."""
    first = job = await listener.next()
    if first is None or (if_none_match and not names(if_none_match, answers.tag_of(first))):
        return first
    try:
        async with asyncio.timeout(seconds):
            while job and job.status not in ENDED and not _differ(first, job):
                job = await listener.next()
    except TimeoutError:
        pass
    return job


def _differ(first: Row, job: Row) -> bool:
    return job.version != first.version and shown.body_of(job) != shown.body_of(first)
