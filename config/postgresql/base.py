"""Django's PostgreSQL, whose pool looks at a connection instead of asking it whether it lives."""

import select
from typing import Any

from django.db.backends.postgresql.base import DatabaseWrapper as PostgreSQL
from psycopg import AsyncConnection, Connection


class DatabaseWrapper(PostgreSQL):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A connection of the pool whose server has not left: a restarted one costs nobody an
        error, and no request a round trip, which CONN_HEALTH_CHECKS would."""
        while True:
            connection = super().get_new_connection(conn_params)
            if not self.pool or is_quiet(connection):
                return connection
            connection.close()
            self.pool.putconn(connection)  # which makes another in its place


def is_quiet(connection: "Connection[Any] | AsyncConnection[Any]") -> bool:
    """Between two statements a server says nothing, except that it leaves."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLRDHUP)
    return not poll.poll(0)
