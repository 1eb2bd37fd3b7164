"""The whole of Guidepost on one machine: servers, web, workers, Beat and the offline model."""

import base64
import fcntl
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from deploy.local.processes import Child, StartFailed, free_port, listen
from deploy.local.servers import (
    PostgreSQL,
    Valkey,
    new_password,
    wait_for_postgresql,
    wait_for_redis,
)

ROOT = Path(__file__).resolve().parent.parent.parent
WEB_PORT = 8000
STOP_SECONDS = 10
Report = Callable[[str], None]


def preferred_port() -> int:
    """Where the web server is, unless somebody else is there."""
    return int(os.environ.get("GUIDEPOST_PORT", WEB_PORT))


class AlreadyRunning(Exception):
    """Another supervisor holds this state directory."""


class Stack:
    """Everything that `make run` starts. State, logs and secrets live below `home`.

    workers                  processes that run jobs, each several at once
    database_url, redis_url  servers to use instead of the embedded ones
    settings                 environment variables on top of the usual ones
    patient                  start again what dies, however often: see Child
    report                   is told, in a few words, what is being done
    """

    def __init__(
        self,
        home: Path,
        *,
        database_url: str = "",
        redis_url: str = "",
        settings: dict[str, str] | None = None,
        durable: bool = True,
        workers: int = 1,
        patient: bool = False,
        report: Report = lambda what: None,
    ):
        self.home, self.report, self.durable, self.workers = home, report, durable, workers
        self.patient = patient
        self.database_url, self.redis_url = database_url, redis_url
        self.settings = settings or {}
        self.children: dict[str, Child] = {}
        self.client: dict[str, str] = {}
        self._listening: socket.socket | None = None
        home.mkdir(parents=True, exist_ok=True)
        (home / "log").mkdir(exist_ok=True)
        (home / "mail").mkdir(mode=0o700, exist_ok=True)  # invitations hold tokens

    # --- Starting and stopping ---------------------------------------------------------------

    def start(self) -> None:
        """Returns when requests are answered. Raises StartFailed or AlreadyRunning."""
        self._lock()
        try:
            self.start_servers()
            self._start_app()
        except BaseException:
            self.stop()
            raise

    def start_servers(self) -> None:
        """Only PostgreSQL and Redis: sets `database_url` and `redis_url`."""
        self.secrets = self._kept("secrets.json", new_secrets)
        self.report("starting PostgreSQL and Valkey")
        waits: list[Callable[[], None]] = []
        if not self.database_url:
            postgresql = PostgreSQL(
                self.home / "postgresql",
                self.log("postgresql"),
                self.secrets["POSTGRESQL_PASSWORD"],
                self.durable,
            )
            child = self._start(postgresql.child())
            waits.append(lambda: postgresql.wait_until_ready(child))
            self.database_url = postgresql.url
        else:
            waits.append(lambda: wait_for_postgresql(self.database_url))
        if not self.redis_url:
            valkey = Valkey(
                self.home / "valkey", self.log("valkey"), self.secrets["VALKEY_PASSWORD"]
            )
            valkey_child = self._start(valkey.child())
            waits.append(lambda: valkey.wait_until_ready(valkey_child))
            self.redis_url = valkey.url
        else:
            waits.append(lambda: wait_for_redis(self.redis_url))
        for wait in waits:
            wait()

    def _start_app(self) -> None:
        # Held until the stack stops: a web server that dies is started again on the same port.
        self._listening = listen(preferred_port())
        self.port, model_port = self._listening.getsockname()[1], free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = self._environment(f"http://127.0.0.1:{model_port}/v1")
        self._python("model", "-m", "llm.offline", "--port", str(model_port))
        self.report("migrating the database")
        self._prepare_database()
        self.report("starting web and workers")
        gunicorn = ("-m", "gunicorn", "-c", "deploy/gunicorn.conf.py")
        bound = ("-b", f"fd://{self._listening.fileno()}", "config.asgi")
        self._python("web", *gunicorn, *bound, login="web", keeps=[self._listening.fileno()])
        # Quiet: printing its banner onto a full disk would end a worker at its start.
        worker = ("-m", "celery", "-q", "-A", "config", "worker")
        celery = (*worker, "--without-gossip", "--without-mingle")
        for number in range(1, self.workers + 1):
            name = "worker" if number == 1 else f"worker-{number}"
            self._worker(name, *celery, "-Q", "jobs", "-P", "threads", "-c", "200")
        self._worker("documents", *celery, "-Q", "documents", "-P", "solo")
        audit = self._audit_settings()
        self._worker("maintenance", *celery, "-Q", "maintenance", "-P", "solo", env=audit)
        schedule = str(self.home / "beat-schedule")
        self._python("beat", "-m", "celery", "-A", "config", "beat", "-s", schedule)
        self._wait_for_web()
        self._write("stack.json", {"pid": os.getpid(), **self.facts()})

    def stop(self) -> None:
        """Application first, servers last; nothing is left running."""
        self._remove("stack.json")
        if self._listening is not None:
            self._listening.close()
        servers = [self.children.pop(n) for n in ("postgresql", "valkey") if n in self.children]
        for group in (list(self.children.values()), servers):
            for child in group:
                child.ask_to_stop()
            for child in group:
                child.wait_stopped(STOP_SECONDS)
        self.children.clear()

    def watch(self) -> None:
        """Starts again what has died. Call it every now and then. Raises StartFailed."""
        for child in list(self.children.values()):
            status = child.restart_if_dead()
            if status is not None:
                self.report(f"{child.name} died (exit status {status}) and was started again")

    # --- What others need to know --------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "client": self.client,
            "staff": self.staff,
            "env": {**self.settings_made, **self._audit_settings()},
        }

    def log(self, name: str) -> Path:
        return self.home / "log" / f"{name}.log"

    # --- Pieces --------------------------------------------------------------------------------

    def _lock(self) -> None:
        self._lock_file = (self.home / "stack.lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(str(self.home)) from None

    def _environment(self, model_url: str) -> dict[str, str]:
        keys = ("SECRET_KEY", "API_KEY_PEPPER", "ENCRYPTION_KEYS")
        self.settings_made = {
            **{key: self.secrets[key] for key in keys},
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "PUBLIC_URL": self.url,
            "EMAIL_URL": f"filemail:///{self.home.resolve() / 'mail'}",
            "OFFLINE_MODEL_URL": model_url,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            **self.settings,
        }
        return {**os.environ, **self.settings_made}

    def _audit_settings(self) -> dict[str, str]:
        """Only for whoever anchors the audit log or checks it: see tenants/sealing/anchors.py."""
        return {
            "AUDIT_ANCHOR_FILE": str(self.home / "audit-anchors.jsonl"),
            "AUDIT_ANCHOR_KEY": self.secrets["AUDIT_ANCHOR_KEY"],
        }

    def _sign_in_as(self, login: str) -> dict[str, str]:
        """The environment of a process that is not the owner of the tables."""
        password = self.secrets[f"{login.upper()}_DATABASE_PASSWORD"]
        parts = urlsplit(self.database_url)
        name = parts.path.removeprefix("/")
        address = parts.netloc.rpartition("@")[2]
        parts = parts._replace(netloc=f"{name}_{login}_login:{password}@{address}")
        return {"DATABASE_URL": urlunsplit(parts)}

    def _start(self, child: Child) -> Child:
        child.patient = self.patient
        self.children[child.name] = child
        child.start()
        return child

    def _python(
        self, name: str, *arguments: str, login: str = "worker", keeps: Sequence[int] = ()
    ) -> None:
        """keeps  file descriptors of ours that it may use"""
        command = [sys.executable, *arguments]
        env, popen = {**self.env, **self._sign_in_as(login)}, {"pass_fds": keeps}
        self._start(Child(name, command, self.log(name), cwd=ROOT, env=env, popen=popen))

    def _worker(self, name: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        """A process that has to prove that it consumes: see config/alive.py."""
        alive = self.home / f"{name}.alive"
        command = [sys.executable, *arguments, "-n", f"{name}@%h"]
        env = {**self.env, **self._sign_in_as("worker"), "ALIVE_FILE": str(alive), **(env or {})}
        self._start(Child(name, command, self.log(name), cwd=ROOT, env=env, alive_file=alive))

    def _prepare_database(self) -> None:
        """Migrations, the demo tenant with its key, and a staff user."""
        known = self.home / "client.json"
        self.client = json.loads(known.read_text()) if known.exists() else {}
        done = subprocess.run(
            [sys.executable, "manage.py", "prepare_local", self.client.get("client_id", "")],
            cwd=ROOT,
            check=False,
            env={**self.env, **self.secrets},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise StartFailed(f"The database could not be prepared:\n{done.stderr}")
        prepared = json.loads(done.stdout.splitlines()[-1])
        self.staff = {
            "email": prepared["staff"],
            "password": self.secrets["STAFF_PASSWORD"],
            "totp_secret": self.secrets["STAFF_TOTP_SECRET"],
        }
        if prepared["client"]:
            self.client = prepared["client"]
            self._write("client.json", self.client)

    def _wait_for_web(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if not self.children["web"].is_alive() or time.monotonic() > deadline:
                    raise StartFailed("The web server does not answer.", self.log("web")) from None
            time.sleep(0.05)

    def _kept(self, name: str, make: Callable[[], dict[str, str]]) -> dict[str, str]:
        """Made once; what a later version needs besides is added."""
        path = self.home / name
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        complete = make() | kept
        if complete != kept:
            self._write(name, complete)
        return complete

    def _write(self, name: str, value: dict[str, Any]) -> None:
        """Whole or not at all, and for our eyes only: these files hold secrets."""
        path = self.home / name
        partial = path.with_suffix(".partial")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(value, file, indent=1)
        partial.replace(path)

    def _remove(self, name: str) -> None:
        (self.home / name).unlink(missing_ok=True)


def new_secrets() -> dict[str, str]:
    """Made once for each state directory; none has a default."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "API_KEY_PEPPER": secrets.token_urlsafe(48),
        "AUDIT_ANCHOR_KEY": secrets.token_urlsafe(48),
        "ENCRYPTION_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "POSTGRESQL_PASSWORD": new_password(),
        "VALKEY_PASSWORD": new_password(),
        "WEB_DATABASE_PASSWORD": new_password(),
        "WORKER_DATABASE_PASSWORD": new_password(),
        "STAFF_PASSWORD": secrets.token_urlsafe(12),
        "STAFF_TOTP_SECRET": base64.b32encode(secrets.token_bytes(20)).decode(),
    }
