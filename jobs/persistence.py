"""Writes that must not be lost because PostgreSQL restarts: a reply was paid for."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)

T = TypeVar("T")

PAUSE = 0.25  # seconds between tries


class LeaseLost(Exception):
    """The job is no longer this worker's: taken back, cancelled, or over."""


def persistently(work: Callable[[], T]) -> T:
    """Repeats `work` while the database is away, for as long as a lease lasts.

    After that somebody else has the job, so waiting longer is pointless: the error is raised.
    `work` may have been committed although its answer was lost, so it must bear repetition.
    """
    deadline = time.monotonic() + settings.JOB_LEASE.total_seconds()
    while True:
        try:
            return work()
        except (OperationalError, InterfaceError) as error:
            connection.close()  # the broken one
            if time.monotonic() > deadline:
                raise
            logger.warning("write_will_be_repeated", extra={"reason": str(error)})
            time.sleep(PAUSE)
