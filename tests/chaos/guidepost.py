"""Guidepost as the world of a run: the local stack with short leases and tenants of its own."""

import json
import subprocess
import sys
from pathlib import Path

import psycopg

from deploy.local.demo import DemoFailed, get_token
from deploy.local.prepared import prepare
from deploy.local.processes import Child
from deploy.local.stack import ROOT, Stack
from tests.chaos.harness import LEASE_SECONDS, STEP_SECONDS, TENANTS, WORKERS

MAX_RUNNING = 6  # of each tenant: fewer than there are slots, so that the cap is reached
UNFINISHED = "SELECT count(*) FROM jobs_job WHERE status IN ('PENDING', 'PROCESSING')"
SETTINGS = {
    "JOB_LEASE_SECONDS": str(LEASE_SECONDS),
    "JOB_STEP_SECONDS": str(STEP_SECONDS),
    "PUMP_SECONDS": "0.5",
    "TOKEN_RATE": "100000/m",
    "TOKEN_ATTEMPT_RATE": "100000/m",
    "OPENAI_API_KEY": "",
    "OPENAI_BASE_URL": "",
}


class Guidepost:
    """A `tests.chaos.harness.World`; `with` starts and stops it."""

    def __init__(self, home: Path):
        self.deaths: list[str] = []
        # Not durable: processes are killed here, not the machine, and what they have handed to
        # its cache stays. With fsync, a recovery on a busy disk takes longer than all leases.
        prepare(home)
        self.stack = Stack(
            home,
            settings=SETTINGS,
            durable=False,
            workers=WORKERS,
            patient=True,
            report=self._note,
        )
        self._tokens: dict[int, str] = {}

    def __enter__(self) -> "Guidepost":
        self.stack.start()
        try:
            self.clients = self._make_tenants()
        except BaseException:
            self.stack.stop()
            raise
        self.url, self.redis_url = self.stack.url, self.stack.redis_url
        self.database_url = self.stack.database_url
        self.model_url = self.stack.env["OFFLINE_MODEL_URL"].removesuffix("/v1")
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.stop()

    @property
    def children(self) -> dict[str, Child]:
        return self.stack.children

    def watch(self) -> None:
        self.stack.watch()

    def authorization(self, tenant: int, renew: bool) -> dict[str, str]:
        if renew or tenant not in self._tokens:
            try:
                self._tokens[tenant] = get_token(self.url, self.clients[tenant])
            except DemoFailed as error:
                raise ConnectionError(str(error)) from None
        return {"Authorization": f"Bearer {self._tokens[tenant]}"}

    def count_unfinished(self) -> int:
        with psycopg.connect(self.database_url, connect_timeout=2) as connection:
            return connection.execute(UNFINISHED).fetchone()[0]

    def logged(self, event: str) -> int:
        """Lines of the workers' logs with this event."""
        needle = f'"event": "{event}"'
        logs = (self.stack.home / "log").glob("worker*.log")
        return sum(needle in line for log in logs for line in log.open(errors="replace"))

    def _make_tenants(self) -> list[dict[str, str]]:
        command = [sys.executable, "-m", "tests.chaos.tenants", str(TENANTS), str(MAX_RUNNING)]
        made = subprocess.run(
            command, cwd=ROOT, env=self.stack.env, check=True, stdout=subprocess.PIPE, text=True
        )
        return json.loads(made.stdout.splitlines()[-1])

    def _note(self, what: str) -> None:
        if " died " in what:
            self.deaths.append(what)
