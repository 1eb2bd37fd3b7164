"""One run: a system under load, kills at random points, then quiet until everything has ended."""

import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psycopg

from deploy.local.processes import Child
from tests.chaos.kills import Killer, Strike, schedule
from tests.chaos.load import Load, plans

TENANTS = 4
RATE = 5.0  # submissions per second
WARM_UP = 2.0  # seconds under load before the first kill
LEASE_SECONDS = 3
STEP_SECONDS = 5  # a model that hangs is given up after that
MODEL_SLOTS = 8  # jobs that one worker works on at a time
WORKERS = 3


class World(Protocol):
    """A whole system in processes of its own."""

    url: str
    model_url: str
    redis_url: str
    database_url: str
    children: Mapping[str, Child]
    deaths: list[str]  # a line for each child that was started again

    def watch(self) -> None:
        """Starts again what has died."""

    def authorization(self, tenant: int, renew: bool) -> dict[str, str]:
        """Headers of a request for the tenant."""

    def count_unfinished(self) -> int:
        """Jobs that have not ended. Raises psycopg.OperationalError."""


@dataclass
class Run:
    """What was done to a world, and what its clients saw of it."""

    seed: int
    started_at: float  # seconds since the epoch
    strikes: list[Strike] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    settle_seconds: float = 0.0


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder that PostgreSQL can pass through: it does not run as root. Not one of pytest's: each
    process of the tests closes the folder above those to everybody else, whoever works in it."""
    home = Path(tempfile.mkdtemp(prefix="guidepost-home-"))
    home.chmod(0o711)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def run(world: World, failed: threading.Event, *, kills: int, seed: int, settle: float) -> Run:
    """Returns once no job is unfinished, or `settle` seconds after the last kill.

    failed  ends the run early: see `watched`, which has to last until the evidence is read
    """
    killer = Killer(world.children, world.redis_url)
    load = Load(world.url, world.model_url, world.authorization, plans(seed, TENANTS, RATE))
    result = Run(seed, time.time())
    load.start()
    try:
        time.sleep(WARM_UP)
        result.strikes = killer.run(schedule(kills, seed), failed)
    finally:
        load.stop()
    ended_at = time.time()
    result.seconds = ended_at - result.started_at
    _wait_until_settled(world, settle, failed)
    result.settle_seconds = time.time() - ended_at
    time.sleep(LEASE_SECONDS)  # whoever still believes to hold a job finds out
    result.accepted, result.cancelled = load.accepted, load.cancelled
    result.answers = load.answers
    return result


@contextmanager
def watched(world: World) -> Iterator[threading.Event]:
    """Keeps the world's children alive; the event is set if that fails. Raises the reason.

    What it has started gets SIGTERM when it ends: Linux tells children of their thread's death.
    """
    ended, failed = threading.Event(), threading.Event()
    reasons: list[Exception] = []

    def watch() -> None:
        try:
            while not ended.wait(0.1):
                world.watch()
        except Exception as error:
            reasons.append(error)
            failed.set()
            ended.wait()

    thread = threading.Thread(target=watch, name="watcher")
    thread.start()
    try:
        yield failed
    finally:
        ended.set()
        thread.join()
    if reasons:
        raise reasons[0]


def _wait_until_settled(world: World, seconds: float, failed: threading.Event) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not failed.is_set():
        try:
            if not world.count_unfinished():
                return
        except psycopg.OperationalError:
            pass  # it is just being started again
        time.sleep(0.2)


def say(what: str) -> None:
    print(f"chaos: {what}", file=sys.stderr, flush=True)
