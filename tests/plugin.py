"""Starts what the tests talk to, before Django reads its settings.

A real PostgreSQL and a real Valkey, embedded, unless DATABASE_URL and REDIS_URL name others. The
embedded one has migrated already: databases of tests are copies of its own.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from deploy.local.prepared import prepare
from deploy.local.stack import Stack


def _start() -> None:
    home = Path(tempfile.mkdtemp(prefix="guidepost-test-"))
    home.chmod(0o711)  # PostgreSQL does not run as root and has to pass through
    if not os.environ.get("DATABASE_URL"):
        prepare(home)
        os.environ["TEST_DATABASE_TEMPLATE"] = "guidepost"
    servers = Stack(
        home,
        database_url=os.environ.get("DATABASE_URL", ""),
        redis_url=os.environ.get("REDIS_URL", ""),
        durable=False,
    )
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    atexit.register(servers.stop)
    servers.start_servers()
    # A stack of theirs takes any port: two that start at once would both find the usual one free.
    os.environ.setdefault("GUIDEPOST_PORT", "0")
    os.environ["DATABASE_URL"] = servers.database_url
    os.environ.pop("DATABASE_REPLICA_URL", None)  # of another database
    os.environ["REDIS_URL"] = servers.redis_url
    for name in ("SECRET_KEY", "API_KEY_PEPPER", "ENCRYPTION_KEYS"):
        os.environ[name] = servers.secrets[name]


_start()
