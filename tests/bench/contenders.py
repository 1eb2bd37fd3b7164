"""Guidepost and the peers it is measured beside, each in one web process of its own.

They share one PostgreSQL and one Valkey, in databases of their own, and only one of them is asked
at a time: so what those two servers cost in a moment is the cost of the one that was asked. No
worker runs: what is measured is to accept, not to work off.
"""

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from abc import ABC, abstractmethod
from base64 import b64encode
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import jwt
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deploy.local.processes import Child, StartFailed, free_port
from deploy.local.stack import ROOT, Stack
from tests.bench.load import Request
from tests.bench.proc import cpu_seconds, resident_mb

TITLE = "Hand hygiene"
GUIDELINE = ("Staff MUST disinfect their hands before every contact with a patient. " * 59)[:4096]
ENDPOINTS = ("POST /jobs", "GET /jobs/{event_id}", "GET /jobs")
SERVERS = ("postgresql", "valkey")
WITHOUT_LIMITS = """
UPDATE jobs_tenantqueue SET is_paused = true, max_waiting = 100000000;
UPDATE tenants_plan SET submits_per_minute = 100000000, reads_per_minute = 100000000,
    max_waiting = 100000000, tokens_per_day = 10 ^ 15;
"""


class Contender(ABC):
    """A server that accepts jobs, shows one, and lists them."""

    name: str
    token: str
    url: str
    database_url: str

    @abstractmethod
    def web(self) -> Child:
        """Its one web process."""

    @abstractmethod
    def stop(self) -> None: ...

    @cached_property
    def event_id(self) -> str:
        """Of the job that is shown again and again."""
        return str(self.ask("POST /jobs")["event_id"])

    def request(self, endpoint: str) -> Request:
        method, path = endpoint.split()
        headers = {"Authorization": f"Bearer {self.token}"}
        body = b""
        if method == "POST":
            headers["Content-Type"] = "application/json"
            body = json.dumps({"title": TITLE, "guideline_text": GUIDELINE}).encode()
        if "{event_id}" in path:
            path = path.replace("{event_id}", self.event_id)
        return Request(method, self.url + path, headers, body)

    def ask(self, endpoint: str) -> Any:
        """One answer, as JSON. Raises urllib.error.HTTPError."""
        request = self.request(endpoint)
        asked = urllib.request.Request(
            request.url, request.body or None, request.headers, method=request.method
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)

    def analyze(self) -> None:
        """What autovacuum would have told the planner by now, were it on."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute("ANALYZE")

    def is_ready(self) -> bool:
        try:
            self.ask("GET /jobs")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True


class Guidepost(Contender):
    """The whole product, every safety on, with the servers that all others use too."""

    name = "guidepost"

    def __init__(self, home: Path) -> None:
        # Limits stay on, and are counted; they are only wider than any load from here.
        settings = {"WEB_PROCESSES": "1", "TOKEN_RATE": "1000000/m"}
        self.stack = Stack(home, settings=settings, durable=True)
        self.stack.start()
        self.url, self.database_url = self.stack.url, self.stack.database_url
        # Workers would start what is submitted, and cost what is not to be measured.
        for name in ("beat", "worker", "documents", "maintenance", "model"):
            child = self.stack.children.pop(name)
            child.ask_to_stop()
            child.wait_stopped(20)
        self.token = self._token()
        self.event_id  # noqa: B018  (the first submission makes the tenant's queue)
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            connection.execute(WITHOUT_LIMITS)
            # It would come whenever it likes, and be counted to whoever is asked just then.
            connection.execute("ALTER SYSTEM SET autovacuum = off")
            connection.execute("SELECT pg_reload_conf()")
        time.sleep(2)  # limits are remembered for a second

    def web(self) -> Child:
        return self.stack.children["web"]

    def servers(self) -> dict[str, Child]:
        return {name: self.stack.children[name] for name in SERVERS}

    def _token(self) -> str:
        client = self.stack.client
        pair = f"{client['client_id']}:{client['client_secret']}".encode()
        request = urllib.request.Request(
            self.url + "/oauth/token",
            data=b"grant_type=client_credentials",
            headers={"Authorization": "Basic " + b64encode(pair).decode()},
        )
        with urllib.request.urlopen(request) as answer:
            return str(json.load(answer)["access_token"])

    def stop(self) -> None:
        self.stack.stop()


class Peer(Contender):
    """One of tests/bench/peers."""

    public_key = ""

    def __init__(self, beside: Guidepost, number: int) -> None:
        self.secret = secrets.token_urlsafe(48)
        self.database_url = _own_database(beside.stack.database_url, f"peer_{self.name}")
        self.redis_url = urlunsplit(urlsplit(beside.stack.redis_url)._replace(path=f"/{number}"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = self.prepare()
        self.child = Child(
            self.name,
            [sys.executable, "-m", *self.command()],
            beside.stack.home / "log" / f"{self.name}.log",
            cwd=ROOT,
            env=self.env,
        )
        self.child.start()
        for _ in range(300):
            if self.is_ready():
                return
            time.sleep(0.1)
        self.stop()
        raise StartFailed(f"{self.name} does not answer.", self.child.log)

    @property
    def env(self) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"},
            "PEER_DATABASE_URL": self.database_url,
            "PEER_REDIS_URL": self.redis_url,
            "PEER_SECRET": self.secret,
            "PEER_PUBLIC_KEY": self.public_key,
        }

    def web(self) -> Child:
        return self.child

    def stop(self) -> None:
        self.child.ask_to_stop()
        self.child.wait_stopped(10)

    @abstractmethod
    def prepare(self) -> str:
        """Makes what it needs; the token to ask with."""

    @abstractmethod
    def command(self) -> list[str]:
        """What python -m runs."""


class Floor(Peer):
    """Its token is signed as ours are."""

    name = "floor"

    def prepare(self) -> str:
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.public_key = public.decode()
        claims = {"tenant": str(uuid.uuid4()), "exp": int(time.time()) + 3600}
        return jwt.encode(claims, key, algorithm="EdDSA")

    def command(self) -> list[str]:
        return _uvicorn("tests.bench.peers.floor:app", self.port)


class WithFastAPI(Peer):
    name = "fastapi"

    def prepare(self) -> str:
        return jwt.encode({"sub": "bench", "exp": int(time.time()) + 3600}, self.secret)

    def command(self) -> list[str]:
        return _uvicorn("tests.bench.peers.with_fastapi:app", self.port)


class WithDRF(Peer):
    name = "drf"

    def prepare(self) -> str:
        made = subprocess.run(
            [sys.executable, "-m", "tests.bench.peers.with_drf.prepare"],
            cwd=ROOT,
            env=self.env,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        claims = {
            "user_id": made.stdout.strip(),
            "token_type": "access",
            "jti": secrets.token_hex(8),
            "exp": int(time.time()) + 3600,
        }
        return jwt.encode(claims, self.secret)

    def command(self) -> list[str]:
        where = f"127.0.0.1:{self.port}"
        workers = ["-w", "1", "-k", "gthread", "--threads", "8", "--keep-alive", "30"]
        return ["gunicorn", *workers, "-b", where, "tests.bench.peers.with_drf.wsgi:application"]


PEERS: tuple[type[Peer], ...] = (Floor, WithFastAPI, WithDRF)


def _uvicorn(app: str, port: int) -> list[str]:
    return ["uvicorn", app, "--port", str(port), "--no-access-log", "--log-level", "warning"]


def _own_database(url: str, name: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def cost(contender: Contender, servers: dict[str, Child]) -> dict[str, float]:
    """CPU seconds so far, of the web process and of both servers."""
    processes = {"web": contender.web(), **servers}
    return {name: cpu_seconds(child.pid) for name, child in processes.items()}


def memory_mb(contender: Contender) -> float:
    return resident_mb(contender.web().pid)
