"""A web process loads what it answers with, and nothing that only workers need."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LOADED = """
import sys
from config.asgi import application
from django.urls import get_resolver
get_resolver().url_patterns  # every view
print([name for name in ("openai", "httpx2", "aiohttp", "pypdf", "nh3") if name in sys.modules])
"""


def test_a_web_process_loads_no_sdk_of_a_model_and_no_reader_of_documents():
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOADED],
        cwd=ROOT,
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout.strip() == "[]"
