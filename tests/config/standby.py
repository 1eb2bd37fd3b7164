"""A real hot standby of the tests' own PostgreSQL: a copy of its files that follows its log."""

import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from deploy.local.servers import PostgreSQL, wait_for_postgresql


class Standby:
    """Of the server that a URL leads to, and there of the URL's database."""

    def __init__(self, home: Path, first: str):
        parts = urlsplit(first)
        self.first = first
        self.server = PostgreSQL(home / "standby", home / "log", parts.password, durable=False)
        account = self.server.account
        copy = [
            *(str(self.server.binaries / "pg_basebackup"), "--dbname", first),
            *("--pgdata", str(self.server.data), "--checkpoint", "fast"),
            *("--no-sync", "--write-recovery-conf"),
        ]
        subprocess.run(
            copy,
            check=True,
            capture_output=True,
            cwd=self.server.home,
            **(account.popen() if account else {}),
        )
        there = f"{parts.username}:{parts.password}@127.0.0.1:{self.server.port}"
        self.url = urlunsplit(parts._replace(netloc=there))
        self.child = self.server.child()

    @property
    def port(self) -> int:
        return self.server.port

    def start(self) -> None:
        if not self.child.is_alive():
            self.child.start()
            wait_for_postgresql(self.url, self.child)

    def stop(self) -> None:
        self.child.ask_to_stop()
        self.child.wait_stopped(10)

    def pause(self) -> None:
        """It answers, and stays as it is."""
        self.catch_up()
        self._ask("SELECT pg_wal_replay_pause()")
        while self._ask("SELECT pg_get_wal_replay_pause_state()") != "paused":
            time.sleep(0.01)

    def resume(self) -> None:
        self._ask("SELECT pg_wal_replay_resume()")

    def cut(self, pid: int) -> None:
        """Ends one connection."""
        self._ask("SELECT pg_terminate_backend(%s, 5000)", pid)

    def catch_up(self) -> None:
        """Until it has what the first has now, and one commit more."""
        with psycopg.connect(self.first, autocommit=True) as first:
            first.execute("SELECT pg_logical_emit_message(true, '', '')")
            [there] = first.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
        while not self._ask("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", there):
            time.sleep(0.01)

    def _ask(self, question: str, *parameters: object) -> object:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(question, parameters).fetchone()[0]
