"""The Celery app. Its settings, queues and schedule stand in `settings.py` under CELERY_."""

import os

from celery import Celery
from celery.signals import beat_init, setup_logging, worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("guidepost")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _keep_django_logging(**kwargs: object) -> None:
    """Celery configures logging itself unless somebody listens here."""


@worker_init.connect
@beat_init.connect
def _refuse_to_start(**kwargs: object) -> None:
    """Celery runs the checks and does not look at what they find."""
    from django import setup  # noqa: PLC0415  (this module is imported by the settings)
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415

    from config.checks import refuse_to_start  # noqa: PLC0415

    setup()
    try:
        refuse_to_start()
    except ImproperlyConfigured as error:
        raise SystemExit(str(error)) from None  # another exception it would log and go on
