"""A PostgreSQL that has migrated already, for stacks of tests and proofs: made once, then copied.

Migrating takes nine seconds of a processor, copying what came of it a fifth of one. It is kept in
`.local/prepared` under a name that says of which code it is, and made anew when that changes.
Whoever starts from it migrates all the same, and finds that nothing is left to do.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.servers import PostgreSQL, postgres_account
from deploy.local.stack import ROOT, STOP_SECONDS, new_secrets

KEPT = ROOT / ".local" / "prepared"
OF_CODE = ("accounts", "config", "jobs", "llm", "tenants", "deploy/local")
SECRETS = "secrets.json"


def prepare(home: Path) -> None:
    """The state of a stack that is started in `home` next: its tables are there."""
    with _locked():
        made = KEPT / _state_of_code()
        if not made.exists():
            _make(made)
        data = home / "postgresql" / "data"
        shutil.copytree(made / "data", data)
        shutil.copy(made / SECRETS, home / SECRETS)
    account = postgres_account()
    if account:
        for path in (data.parent, data, *data.rglob("*")):
            os.chown(path, account.uid, account.gid)


@contextmanager
def _locked() -> Iterator[None]:
    """The processes of the tests start together: one makes it, the others wait."""
    KEPT.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _state_of_code() -> str:
    state = hashlib.sha256()
    files = [path for name in OF_CODE for path in (ROOT / name).rglob("*.py")]
    for path in sorted([*files, ROOT / "requirements" / "local.txt"]):
        state.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return state.hexdigest()[:16]


def _make(where: Path) -> None:
    for before in KEPT.glob("*/"):
        shutil.rmtree(before)
    home = Path(tempfile.mkdtemp(prefix="guidepost-prepared-"))
    home.chmod(0o711)  # PostgreSQL does not run as root and has to pass through
    secrets = new_secrets()
    password = secrets["POSTGRESQL_PASSWORD"]
    server = PostgreSQL(home / "postgresql", home / "log", password, durable=False)
    child = server.child()
    try:
        child.start()
        server.wait_until_ready(child)
        _migrate(server.url, secrets)
        child.ask_to_stop()
        child.wait_stopped(STOP_SECONDS)
        _keep(server, where, secrets)
    finally:
        child.ask_to_stop()
        child.wait_stopped(STOP_SECONDS)
        shutil.rmtree(home, ignore_errors=True)


def _migrate(database_url: str, secrets: dict[str, str]) -> None:
    env = {
        **os.environ,
        **secrets,
        "DATABASE_URL": database_url,
        "REDIS_URL": "redis://nobody",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, cwd=ROOT, env=env, check=True)


def _keep(server: PostgreSQL, where: Path, secrets: dict[str, str]) -> None:
    """Whole or not at all; with the secrets, under which the first signing key is sealed."""
    unfinished = where.with_suffix(".partial")
    shutil.copytree(server.data, unfinished / "data")
    (unfinished / SECRETS).touch(mode=0o600)
    (unfinished / SECRETS).write_text(json.dumps(secrets))
    unfinished.rename(where)
