"""Celery entry points, a few lines each. A message lost, doubled or late changes nothing."""

import gc
import logging
import socket
import threading
import time
from typing import Any

from celery import Task, shared_task
from celery.exceptions import Ignore
from celery.signals import celeryd_after_setup, task_prerun, worker_ready, worker_shutting_down
from django.conf import settings
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from config import alive
from jobs import budget, bulk, deletion, dispatch, error_groups, runner, services, workers
from jobs.documents import reading
from jobs.model_loop import load_client
from tenants import idempotency
from tenants.sealing import anchors, sealer

logger = logging.getLogger(__name__)


@shared_task(bind=True, ignore_result=False)
def process_guideline_job(self: Task, **from_a_later_version: Any) -> str:
    """Runs the jobs that should run next: see `runner.carry_jobs`.

    The result, kept for staff, are the event_ids of the jobs that ran, by spaces. A wake-up that
    finds nothing to do leaves no trace.
    """
    event_ids = runner.carry_jobs(worker=self.request.hostname or socket.gethostname())
    if not event_ids:
        raise Ignore
    return " ".join(event_ids)


@shared_task(bind=True, ignore_result=False)
def read_document(self: Task, **from_a_later_version: Any) -> str:
    """Reads the document that should be read next; its job's event_id is the result."""
    event_id = reading.read_next(worker=self.request.hostname or socket.gethostname())
    if event_id is None:
        raise Ignore
    return event_id


PURGE_SECONDS = 10  # between two looks for jobs whose time is over
_pumped_at = _purged_at = float("-inf")  # when this process last did, by time.monotonic()


@shared_task(bind=True)
def pump(self: Task, **from_a_later_version: Any) -> None:
    """Those that have piled up while nobody took them are dropped: the first did their work."""
    global _pumped_at, _purged_at
    if time.monotonic() - _pumped_at < settings.PUMP_SECONDS / 2:
        return
    _pumped_at = time.monotonic()
    if time.monotonic() - _purged_at > PURGE_SECONDS:
        _purged_at = time.monotonic()
        deletion.purge()
    try:
        services.pump()
    except (OperationalError, RedisError, OSError) as error:
        logger.warning("pump_without_broker", extra={"reason": str(error)})
    sealer.work()
    anchors.work()
    bulk.work()
    error_groups.count()
    workers.pumped(self.request.hostname or socket.gethostname())


@shared_task
def tidy(**from_a_later_version: Any) -> None:
    """Forgets answers whose Idempotency-Key has expired, and checks the budgets' sums."""
    forgotten, corrected = idempotency.sweep(), budget.recount()
    error_groups.forget()
    workers.forget()
    if corrected:
        logger.error("reservations_corrected", extra={"budgets": corrected})
    if forgotten:
        logger.info("idempotency_keys_expired", extra={"keys": forgotten})


@task_prerun.connect
def _consumed(**kwargs: object) -> None:
    alive.touch()


@celeryd_after_setup.connect
def _make_ready(instance: Any, **kwargs: object) -> None:
    """Room for as many jobs as Celery has threads: each shift that goes on has one thread and some
    jobs. The first finds the SDK loaded; workers of other queues do without."""
    if dispatch.RUN.queue in instance.app.amqp.queues.consume_from:
        runner.room.left = instance.concurrency
        load_client()


@worker_ready.connect
def _spare_what_stays(**kwargs: object) -> None:
    """What was loaded at the start stays: no full collection looks through it any more."""
    gc.collect()
    gc.freeze()


@worker_ready.connect
def _stand_in(sender: Any = None, **kwargs: object) -> None:
    worker = getattr(sender, "hostname", None) or socket.gethostname()
    threading.Thread(
        target=runner.stand_in_for_pump, args=[worker], name="stand-in", daemon=True
    ).start()


@worker_shutting_down.connect
def _stop(**kwargs: object) -> None:
    """SIGTERM: jobs go back at once, instead of when their leases run out."""
    runner.stop()
