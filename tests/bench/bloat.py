"""What a million changes of status leave behind: `make bench-bloat`.

Jobs are claimed and handed back, over and over, two changes of status each time: with PostgreSQL's
own settings of autovacuum, and then, in a database of the same size, with ours (migration 0025) and
what docs/operations.md asks of the server. Said are the sizes of the hot tables before and after,
and what a claim with its way back costs meanwhile.
"""

import argparse
import statistics
import time
from typing import Any

import psycopg

from tests.bench import claims

JOBS, TENANTS = 20_000, 100
# (of the server, of the database)
SETTINGS = {
    "postgresql": (
        "RESET autovacuum_naptime",
        "ALTER TABLE jobs_job RESET (autovacuum_vacuum_scale_factor);"
        " ALTER TABLE jobs_tenantqueue"
        " RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold)",
    ),
    "guidepost": ("SET autovacuum_naptime = '5s'", "SELECT"),
}
CHURN = """
CREATE PROCEDURE bench_churn(cycles integer) LANGUAGE plpgsql AS $$
DECLARE
    held record;
BEGIN
    FOR _ IN 1..cycles LOOP
        SELECT * INTO STRICT held
        FROM jobs_claim('bench', interval '1 h', ARRAY[]::text[], 0, false, false);
        UPDATE jobs_job SET status = 'PENDING', ready = true, due_at = now(), worker = '',
            lease_expires_at = NULL
        WHERE id = held.id;
        UPDATE jobs_jobattempt SET outcome = 'handed_back', ended_at = now()
        WHERE job_id = held.id AND number = held.attempt;
        COMMIT;
    END LOOP;
END $$
"""
AT_ONCE = 500  # cycles; what a session has changed is counted when it waits for the next command
SIZES = """
SELECT relname, pg_table_size(oid) / 1e6, pg_indexes_size(oid) / 1e6, n_dead_tup, autovacuum_count
FROM pg_class JOIN pg_stat_user_tables USING (relname)
WHERE relname IN ('jobs_job', 'jobs_tenantqueue') ORDER BY relname
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=1_000_000)
    changes = parser.parse_args().changes
    with claims.database():
        import django

        django.setup()
        # Sizes differ, since databases are named by them.
        found = [
            f"{name}_ms={churn(name, JOBS + number, changes):.2f}"
            for number, name in enumerate(SETTINGS)
        ]
    print(f"bench-bloat: changes={changes} {' '.join(found)}")


def churn(name: str, jobs: int, changes: int) -> float:
    """Makes the changes and tells of them; what a claim and its way back cost in the end, in ms."""
    claims.seed(jobs, TENANTS)
    server = claims.os.environ["DATABASE_URL"].rpartition("/")[0]
    of_server, of_database = SETTINGS[name]
    with psycopg.connect(
        f"{server}/{claims.name_of(jobs, TENANTS)}", autocommit=True
    ) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute(f"ALTER SYSTEM {of_server}")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(CHURN)
        connection.execute(of_database)
        connection.execute("VACUUM ANALYZE")
        before = connection.execute(SIZES).fetchall()
        costs = [cost(connection) for _ in range(changes // 2 // AT_ONCE)]
        after = connection.execute(SIZES).fetchall()
    report(name, before, after, costs)
    return statistics.median(costs[-len(costs) // 5 :])


def cost(connection: "psycopg.Connection[Any]") -> float:
    started = time.perf_counter()
    connection.execute(f"CALL bench_churn({AT_ONCE})")
    return (time.perf_counter() - started) / AT_ONCE * 1000


def report(name: str, before: list[Any], after: list[Any], costs: list[float]) -> None:
    for was, now in zip(before, after, strict=True):
        print(
            f"{name:<11} {now[0]:<17} table {was[1]:6.1f} -> {now[1]:6.1f} MB"
            f"  indexes {was[2]:6.1f} -> {now[2]:6.1f} MB"
            f"  dead {now[3]:>7,}  vacuumed {now[4]} times"
        )
    print(
        f"{name:<11} there and back: first {costs[0]:.2f} ms, median"
        f" {statistics.median(costs):.2f}, worst {max(costs):.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
