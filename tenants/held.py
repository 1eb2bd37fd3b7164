"""Answers that stay open: how many there may be, and none for longer than its caller may ask.

Whoever keeps an answer open is asked about once a second, as if they sent the same request again
and again (docs/adr/0028): what is taken away ends the answer within that second.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from config import loop
from config.lanes import Asked
from tenants.errors import TooManyStreams
from tenants.lanes import may_go_on
from tenants.models import Scope

logger = logging.getLogger(__name__)

MOST = 1_000  # of a process
MOST_OF_TENANT = 100
SECONDS = 0.9  # between two questions about one token: the answer takes the rest of the second

_places: set["Place"] = set()


class LetGo(Exception):
    """The caller may not ask for it any more."""


class Place:
    """A place for an open answer, from now until `kept` is left. Raises TooManyStreams."""

    def __init__(self, tenant_id: UUID, asked: Asked, scope: Scope) -> None:
        self.tenant_id, self.asked, self.scope = tenant_id, asked, scope
        of_tenant = sum(place.tenant_id == tenant_id for place in _places)
        if of_tenant >= MOST_OF_TENANT or len(_places) >= MOST:
            raise TooManyStreams(headers={"Retry-After": "5"}, allowed=MOST_OF_TENANT)
        _places.add(self)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Raises LetGo, in the middle of what is done, once the caller may not ask for it."""
        try:
            async with asyncio.timeout(None) as self._time:
                _guard()
                yield
        except TimeoutError:
            if self._time.expired():
                raise LetGo from None
            raise
        finally:
            _places.discard(self)

    @property
    def key(self) -> tuple[bytes, Scope]:
        """What is asked once for all who share it."""
        return self.asked.headers[b"authorization"], self.scope

    def end(self) -> None:
        if not self._time.expired():
            self._time.reschedule(asyncio.get_running_loop().time())


_guarding: asyncio.Task[None] | None = None


def _guard() -> None:
    global _guarding
    if _guarding is None or _guarding.done():
        _guarding = loop.go_on(_ask_about_all())


async def _ask_about_all() -> None:
    asked_at = time.monotonic()
    while _places:
        await asyncio.sleep(max(0.0, asked_at + SECONDS - time.monotonic()))
        asked_at = time.monotonic()
        sharing = defaultdict(list)
        for place in _places:
            sharing[place.key].append(place)
        await asyncio.gather(*map(_ask_about, sharing.values()))


async def _ask_about(places: list[Place]) -> None:
    try:
        may_go_on_now = await may_go_on(places[0].asked, places[0].scope)
    except Exception as error:  # whatever it is: what is not known is not allowed, and others go on
        logger.error("standing_not_known", extra={"kind": type(error).__name__})
        may_go_on_now = False
    if may_go_on_now:
        return
    for place in _places.intersection(places):
        place.end()
