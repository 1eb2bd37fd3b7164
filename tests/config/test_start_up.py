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
FORKED = """
import os, threading
links = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
print(threading.active_count(), [link for link in links if "socket:" in link])
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
    assert said(start + LOADED) == str(loaded)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_the_web_loads_may_be_forked():
    """A thread would not be there after the fork, a connection would be everybody's: ADR 31."""
    assert said(WEB + FORKED) == "1 []"


def said(code):
    """What a new process prints that runs it."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()
