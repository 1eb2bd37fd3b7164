"""The pool's connections after the server has left and come back."""

import psycopg
import pytest
from django.db import connection


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_the_server_has_cut_is_given_to_nobody():
    ask("SELECT 1")
    connection.close()  # back to the pool
    parameters = connection.get_connection_params()
    with psycopg.connect(**parameters, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )

    for _ in range(connection.pool.max_size):
        assert ask("SELECT 1") == 1
        connection.close()


def ask(question):
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()[0]
