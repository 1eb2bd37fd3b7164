"""Child processes: started, watched, started again, stopped; none is left behind."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

TAIL_LINES = 25
START_SECONDS, SILENT_SECONDS = 10.0, 12.0  # a worker that does not consume is started again
RESTARTS, WITHIN = 5, 30.0  # more restarts than this, in so many seconds: something is broken
BACKLOG = 2048  # connections that wait for a server that is just starting, as gunicorn has it


class StartFailed(Exception):
    """Something did not start. Shows the end of `log`, where there is one."""

    def __init__(self, message: str, log: Path | None = None):
        super().__init__(message + (f"\n{tail(log)}" if log else ""))


def tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:] if log.exists() else []
    return "\n".join([f"--- the end of {log}:", *lines, "---"])


def listen(preferred: int = 0) -> socket.socket:
    """A socket that listens on 127.0.0.1, on the preferred port if it can be had.

    For a server that is given the socket: a port that is only looked up may be somebody else's by
    the time the server asks for it.
    """
    for port in (preferred, 0):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            continue
        return listening
    raise StartFailed("No TCP port is free on 127.0.0.1.")


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with listen() as listening:
        return int(listening.getsockname()[1])


def _die_with_parent() -> None:
    """Runs in the child before exec: if the supervisor is killed, the child gets SIGTERM."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """One process in a session of its own, its output in a log file.

    patient  it is started again however often it dies: somebody kills it on purpose
    """

    patient = False

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        popen: Mapping[str, object] | None = None,
        stop_signal: str = "SIGTERM",
        alive_file: Path | None = None,
    ):
        self.name, self.command, self.log = name, list(command), log
        self.cwd, self.env, self.popen = cwd, env, dict(popen or {})
        self.stop_signal = getattr(signal, stop_signal)
        self.alive_file = alive_file
        self.process: subprocess.Popen[bytes] | None = None
        self._starts: list[float] = []
        self._wanted = False

    def start(self) -> None:
        self._starts.append(time.monotonic())
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.cwd,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  (one call, no locks)
                **self.popen,  # type: ignore[call-overload]
            )
        self._wanted = True  # not before: a watcher in another thread would start a second one

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError(f"{self.name} was never started.")
        return self.process.pid

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def restart_if_dead(self) -> int | None:
        """Its exit status if it had died unasked, or was stuck, and was started again, else None.

        Raises StartFailed if it does nothing but die.
        """
        if not self._wanted or self.process is None:
            return None
        if self.is_alive():
            if not self._is_stuck():
                return None
            self.process.kill()
            self.process.wait()
        status = self.process.returncode
        self._kill_group()  # a master's orphaned workers
        recent = [at for at in self._starts if at > time.monotonic() - WITHIN]
        if len(recent) > RESTARTS and not self.patient:
            raise StartFailed(f"{self.name} keeps dying (exit status {status}).", self.log)
        self.start()
        return status

    def _is_stuck(self) -> bool:
        """Alive, but it has not touched its file for too long, or not at all since its start."""
        if self.alive_file is None:
            return False
        silent_since = self._starts[-1] + START_SECONDS
        if self.alive_file.exists():
            age = time.time() - self.alive_file.stat().st_mtime
            silent_since = max(silent_since, time.monotonic() - age)
        return time.monotonic() - silent_since > SILENT_SECONDS

    def ask_to_stop(self) -> None:
        self._wanted = False
        if self.is_alive():
            os.kill(self.pid, self.stop_signal)

    def wait_stopped(self, seconds: float) -> None:
        """Waits for the end it was asked for; kills it, and whatever it started, after that."""
        if self.process is None:
            return
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._kill_group()

    def _kill_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # nobody was left
        except PermissionError:
            pass  # macOS says so of a group whose processes have all ended
