"""What a million changes of status leave behind: `make bench-bloat`.

Jobs are claimed and handed back, over and over, two changes of status each time, in a database
with PostgreSQL's own settings of autovacuum and in one with others (SETTINGS), side by side. Said
are the sizes of the hot tables before and after, and what it costs then.
"""

import argparse
import threading
import time

import psycopg

from tests.bench import claims

JOBS, TENANTS = 20_000, 100
SETTINGS = """
ALTER TABLE jobs_job
    SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE jobs_tenantqueue
    SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
"""
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
SIZES = """
SELECT relname, pg_table_size(oid) / 1e6, pg_indexes_size(oid) / 1e6, n_dead_tup, autovacuum_count
FROM pg_class JOIN pg_stat_user_tables USING (relname)
WHERE relname IN ('jobs_job', 'jobs_tenantqueue') ORDER BY relname
"""
CLAIMS = 500  # of which the cost of one is reported, before and after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=1_000_000)
    changes = parser.parse_args().changes
    with claims.database():
        import django

        django.setup()
        runs = [Run("theirs", "", 1), Run("ours", SETTINGS, 2)]
        threads = [threading.Thread(target=run.go, args=(changes // 2,)) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for run in runs:
            run.report()
    grown = {run.name: run.grown for run in runs}
    print(
        f"bench-bloat: changes={changes} grown_theirs={grown['theirs']:.2f}"
        f" grown_ours={grown['ours']:.2f}"
    )


class Run:
    """A database of its own, with these settings."""

    def __init__(self, name: str, settings: str, number: int) -> None:
        self.name = name
        # Sizes differ, since databases are named by them.
        claims.seed(JOBS + number, TENANTS)
        server = claims.os.environ["DATABASE_URL"].rpartition("/")[0]
        self.url = f"{server}/{claims.name_of(JOBS + number, TENANTS)}"
        with self.connected() as connection:
            connection.execute(CHURN)
            if settings:
                connection.execute(settings)
            connection.execute("VACUUM ANALYZE")

    def connected(self) -> "psycopg.Connection[tuple[object, ...]]":
        connection = psycopg.connect(self.url, autocommit=True)
        connection.execute("SET synchronous_commit = off")
        return connection

    def go(self, cycles: int) -> None:
        with self.connected() as connection:
            self.before, self.ms_before = self.sizes(connection), self.cost(connection)
            connection.execute(f"CALL bench_churn({cycles})")
            self.after, self.ms_after = self.sizes(connection), self.cost(connection)

    def sizes(
        self, connection: "psycopg.Connection[tuple[object, ...]]"
    ) -> list[tuple[object, ...]]:
        return connection.execute(SIZES).fetchall()

    def cost(self, connection: "psycopg.Connection[tuple[object, ...]]") -> float:
        started = time.perf_counter()
        connection.execute(f"CALL bench_churn({CLAIMS})")
        return (time.perf_counter() - started) / CLAIMS * 1000

    @property
    def grown(self) -> float:
        """How much larger the jobs' table and its indexes are than before."""
        (_, table, indexes, *_), (_, table_now, indexes_now, *_) = self.before[0], self.after[0]
        return float(table_now + indexes_now) / float(table + indexes)

    def report(self) -> None:
        for before, after in zip(self.before, self.after, strict=True):
            print(
                f"{self.name:<7} {after[0]:<17} table {before[1]:6.1f} -> {after[1]:6.1f} MB"
                f"  indexes {before[2]:6.1f} -> {after[2]:6.1f} MB"
                f"  dead {after[3]:>7,}  vacuumed {after[4]} times"
            )
        print(f"{self.name:<7} there and back in {self.ms_before:.2f} -> {self.ms_after:.2f} ms")


if __name__ == "__main__":
    main()
