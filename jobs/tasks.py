"""Celery entry points, a few lines each. A message lost, doubled or late changes nothing."""

import logging
import socket

from celery import Task, shared_task
from celery.exceptions import Ignore
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from jobs import runner, services

logger = logging.getLogger(__name__)


@shared_task(bind=True, ignore_result=False)
def process_guideline_job(self: Task) -> str:
    """Runs the job that should run next.

    The result, kept for staff, is the event_id of the job that ran. A wake-up that finds nothing
    to do leaves no trace.
    """
    event_id = runner.run_next_job(worker=self.request.hostname or socket.gethostname())
    if event_id is None:
        raise Ignore
    return event_id


@shared_task
def pump() -> None:
    try:
        services.pump()
    except (OperationalError, RedisError, OSError) as error:
        logger.warning("pump_without_broker", extra={"reason": str(error)})
