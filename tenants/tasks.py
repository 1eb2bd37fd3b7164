"""Celery entry points, a few lines each. A message lost, doubled or late changes nothing."""

from celery import shared_task

from tenants.services import expiry


@shared_task
def warn_of_expiring_keys(**from_a_later_version: object) -> None:
    expiry.warn_of_expiring_keys()
