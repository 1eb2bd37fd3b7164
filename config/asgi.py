"""The ASGI application that web servers load.

What is asked most, and whoever waits for something, is answered on the event loop (ROOT_LANES,
config/lanes.py); everything else by Django in threads. Why: docs/adr/0027.
"""

import gc
from typing import Any, cast

from a2wsgi import WSGIMiddleware
from django.conf import settings
from django.utils.module_loading import import_string

from config import loop
from config.lanes import Lane, Receive, Scope, Send, answered
from config.wsgi import application as django

_lanes: list[Lane] = import_string(settings.ROOT_LANES)
_in_threads: Any = WSGIMiddleware(cast(Any, django), workers=settings.WEB_THREADS)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] != "http" or not await answered(_lanes, scope, receive, send):
        await _in_threads(scope, receive, send)


async def _live(receive: Receive, send: Send) -> None:
    """Opens what requests on the loop share, and closes it when the process ends."""
    await receive()
    await loop.open()
    # What is loaded by now stays: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await loop.close()
    await send({"type": "lifespan.shutdown.complete"})
