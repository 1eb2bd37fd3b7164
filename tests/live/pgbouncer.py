"""A real PgBouncer in transaction mode, before the database of the stack."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from deploy.local.processes import Child, free_port
from deploy.local.servers import postgres_account, wait_for_postgresql

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


class PgBouncer:
    """size: how many sessions all clients of a login share."""

    def __init__(self, home: Path, database_url: str, *, size: int):
        self.parts, self.size = urlsplit(database_url), size
        self.port = free_port()
        account = postgres_account()  # it does not run as root either
        home.mkdir(mode=0o700)
        (home / "users").write_text(f'"{self.parts.username}" "{self.parts.password}"\n')
        (home / "ini").write_text(
            f"[databases]\n* = host={self.parts.hostname} port={self.parts.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\n"
            f"unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {home / 'users'}\n"
            f"stats_users = {self.parts.username}\n"
            f"pool_mode = transaction\ndefault_pool_size = {size}\nmax_client_conn = 200\n"
        )
        if account:
            for path in (home, *home.iterdir()):
                shutil.chown(path, account.uid, account.gid)
        command = [str(PROGRAM), str(home / "ini")]
        popen = account.popen() if account else {}
        self.child = Child(
            "pgbouncer", command, home.parent / "pgbouncer.log", cwd=home, popen=popen
        )

    @property
    def url(self) -> str:
        netloc = f"{self.parts.username}:{self.parts.password}@127.0.0.1:{self.port}"
        return urlunsplit(self.parts._replace(netloc=netloc))

    def start(self) -> None:
        self.child.start()
        wait_for_postgresql(self.url, self.child)

    def stop(self) -> None:
        self.child.ask_to_stop()
        self.child.wait_stopped(5)

    def sessions(self) -> int:
        """How many it holds with PostgreSQL now, by its own books."""
        console = urlunsplit(urlsplit(self.url)._replace(path="/pgbouncer"))
        # The console speaks the simple protocol only.
        with psycopg.connect(
            console, autocommit=True, cursor_factory=psycopg.ClientCursor
        ) as connection:
            return len(connection.execute("SHOW SERVERS").fetchall())
