"""Starts what the tests talk to, before Django reads its settings.

A real PostgreSQL and a real Valkey, embedded, unless DATABASE_URL and REDIS_URL name others.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from deploy.local.stack import Stack, new_secrets


def _start() -> None:
    home = Path(tempfile.mkdtemp(prefix="guidepost-test-"))
    home.chmod(0o711)  # PostgreSQL does not run as root and has to pass through
    servers = Stack(
        home,
        database_url=os.environ.get("DATABASE_URL", ""),
        redis_url=os.environ.get("REDIS_URL", ""),
        durable=False,
    )
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    atexit.register(servers.stop)
    servers.start_servers()
    os.environ["DATABASE_URL"] = servers.database_url
    os.environ["REDIS_URL"] = servers.redis_url
    keys = new_secrets()
    for name in ("SECRET_KEY", "API_KEY_PEPPER", "ENCRYPTION_KEYS"):
        os.environ[name] = keys[name]


_start()
