"""A process loads what it works with, and nothing that only others need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
WEB = """
from config.asgi import application
from django.urls import get_resolver
get_resolver().url_patterns  # every view
"""
WORKER = """
from types import SimpleNamespace
from celery.signals import celeryd_after_setup
from config.celery import app
app.loader.import_default_modules()
app.amqp.queues.select("{queue}")
instance = SimpleNamespace(app=app, concurrency=1)
celeryd_after_setup.send(sender="worker", instance=instance, conf=app.conf)
"""
LOADED = """
import sys
print([name for name in ("openai", "httpx2", "aiohttp", "pypdf", "nh3") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("start", "loaded"),
    [
        pytest.param(WEB, [], id="web"),
        pytest.param(WORKER.format(queue="documents"), [], id="worker of documents"),
        pytest.param(WORKER.format(queue="maintenance"), [], id="worker of maintenance"),
        pytest.param(WORKER.format(queue="jobs"), ["openai", "httpx2", "aiohttp"], id="worker"),
    ],
)
def test_the_sdk_of_a_model_is_loaded_by_who_calls_one_and_no_reader_of_documents(start, loaded):
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", start + LOADED],
        cwd=ROOT,
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout.strip() == str(loaded)
