"""What is killed, when and how: a schedule made from a seed, and what carries it out."""

import contextlib
import heapq
import math
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import redis

from deploy.local.processes import Child

MEAN_GAP = 0.9  # seconds between kills
# How often, who, and how. Frozen is SIGSTOP, and SIGCONT some seconds later.
KINDS = (
    (31, "worker", "killed"),
    (7, "worker", "frozen"),
    (7, "worker", "stopped"),  # SIGTERM, as in a deployment
    (10, "maintenance", "killed"),
    (5, "beat", "killed"),
    (7, "web", "killed"),
    (8, "web", "child killed"),
    (4, "redis", "killed"),
    (4, "redis", "flushed"),
    (4, "redis", "restarted"),
    (3, "redis", "frozen"),
    (10, "postgresql", "restarted"),  # at once: no checkpoint, recovery from its log
)
FREEZE_SECONDS = {"worker": (2.0, 6.0), "redis": (0.5, 3.0)}  # a lease lasts 3
PATIENCE = 5.0  # seconds to wait for a victim that is just being started again


@dataclass(frozen=True)
class Kill:
    """after: seconds since the one before; pick: which of several, from 0 to 1."""

    number: int
    after: float
    target: str
    how: str
    pick: float
    seconds: float


@dataclass(frozen=True)
class Strike:
    """A kill that was carried out. `victim` is the child's name, empty if there was none."""

    kill: Kill
    at: float  # seconds since the epoch
    victim: str


def schedule(count: int, seed: int) -> list[Kill]:
    """The same seed, the same kills; a shorter schedule is the beginning of a longer one."""
    dice = random.Random(f"kills {seed}")
    weights = [weight for weight, _, _ in KINDS]
    kills = []
    for number in range(1, count + 1):
        [(_, target, how)] = dice.choices(KINDS, weights)
        after = dice.uniform(0.4, 1.6) * MEAN_GAP
        pick, share = dice.random(), dice.random()
        low, high = FREEZE_SECONDS.get(target, (0.0, 0.0))
        seconds = low + share * (high - low) if how == "frozen" else 0.0
        pick = math.floor(pick * 1000) / 1000  # below 1: it picks one of several
        kills.append(Kill(number, round(after, 3), target, how, pick, round(seconds, 3)))
    return kills


class Killer:
    """Strikes at the children of a supervisor, which starts them again.

    children  looked at anew for each kill; names that begin with "worker" are workers
    """

    def __init__(self, children: Mapping[str, Child], redis_url: str):
        self._children, self._redis_url = children, redis_url
        self._frozen: list[tuple[float, int, Child, int]] = []  # thawed at, tie-break, who, pid

    def run(self, kills: Sequence[Kill], ended: threading.Event) -> list[Strike]:
        """Carries the schedule out; everything is thawed when it returns."""
        strikes = []
        try:
            for kill in kills:
                self._wait(kill.after)
                if ended.is_set():
                    break
                strikes.append(self._strike(kill))
        finally:
            self._thaw(float("inf"))
        return strikes

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            self._thaw(now)
            time.sleep(min(0.05, until - now))

    def _strike(self, kill: Kill) -> Strike:
        child = self._victim(kill)
        acts: dict[str, Callable[[Child], bool]] = {
            "killed": lambda child: _signal(child, signal.SIGKILL),
            "stopped": lambda child: _signal(child, signal.SIGTERM),
            "frozen": lambda child: self._freeze(child, kill),
            "flushed": lambda child: self._flush(),
            "child killed": lambda child: _kill_a_child_of(child, kill.pick),
            # SIGQUIT ends PostgreSQL at once; SIGTERM ends Redis in good order.
            "restarted": lambda child: _signal(
                child, signal.SIGQUIT if kill.target == "postgresql" else signal.SIGTERM
            ),
        }
        at = time.time()
        struck = child is not None and acts[kill.how](child)
        return Strike(kill, at, child.name if child is not None and struck else "")

    def _victim(self, kill: Kill) -> Child | None:
        """Waits for one that is just being started again; None if there is none of the kind."""
        name = {"redis": "valkey"}.get(kill.target, kill.target)
        names = sorted(n for n in self._children if n == name or n.startswith(f"{name}-"))
        if not names:
            return None
        child = self._children[names[int(kill.pick * len(names))]]
        until = time.monotonic() + PATIENCE
        while not child.is_alive() and time.monotonic() < until:
            time.sleep(0.02)
        return child

    def _freeze(self, child: Child, kill: Kill) -> bool:
        frozen = _signal(child, signal.SIGSTOP)
        if frozen:
            thawed_at = time.monotonic() + kill.seconds
            heapq.heappush(self._frozen, (thawed_at, kill.number, child, child.pid))
        return frozen

    def _thaw(self, now: float) -> None:
        while self._frozen and self._frozen[0][0] <= now:
            _, _, child, pid = heapq.heappop(self._frozen)
            if child.pid == pid:  # else it was killed meanwhile
                _signal(child, signal.SIGCONT)

    def _flush(self) -> bool:
        try:
            with redis.Redis.from_url(
                self._redis_url, socket_timeout=1, socket_connect_timeout=1
            ) as client:
                return bool(client.flushall())
        except redis.RedisError:
            return False  # it hangs or is just being started again


def _signal(child: Child, number: signal.Signals) -> bool:
    """To all processes of a worker: its container is lost, not only its master."""
    if not child.is_alive():
        return False
    with contextlib.suppress(ProcessLookupError):
        if child.name.startswith("worker") and number != signal.SIGTERM:
            os.killpg(child.pid, number)
        else:
            os.kill(child.pid, number)
    return True


def _kill_a_child_of(child: Child, pick: float) -> bool:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, check=True)
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    pids = sorted(pid for pid, parent in pairs if parent == child.pid)
    if not pids:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pids[int(pick * len(pids))], signal.SIGKILL)
    return True
