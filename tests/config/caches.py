"""The caches of the settings, somewhere else."""

from django.conf import settings


def caches_at(url):
    return {name: {**cache, "LOCATION": url} for name, cache in settings.CACHES.items()}


NOWHERE = caches_at("redis://127.0.0.1:1/0")
