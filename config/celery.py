"""The Celery app, its queues and the Beat schedule.

Two queues, two kinds of worker: `jobs` runs the chain and mostly waits for models, `maintenance`
keeps the pump going and must never stand behind a busy job.
"""

import os

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("guidepost")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

app.conf.task_default_queue = "jobs"
app.conf.task_routes = {
    "jobs.tasks.pump": {"queue": "maintenance"},
    "celery.backend_cleanup": {"queue": "maintenance"},
}
app.conf.beat_schedule = {
    "pump": {
        "task": "jobs.tasks.pump",
        "schedule": settings.PUMP_SECONDS,
        # One that could not run in time is worthless: the next is on its way.
        "options": {"expires": 5 * settings.PUMP_SECONDS},
    },
}


@setup_logging.connect
def _keep_django_logging(**kwargs: object) -> None:
    """Celery configures logging itself unless somebody listens here."""
