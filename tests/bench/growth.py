"""How long a page, a job and a status cost among ten thousand jobs and among ten million: `make
bench-growth`.

A PostgreSQL of its own with a database for each size, filled by SQL: a hundred tenants, nineteen of
twenty jobs completed. Asked is what GET /jobs and GET /jobs/{event_id} ask, in the role of the API,
one size after the other, round after round.
"""

import argparse
import os
import random
import statistics
import time
from typing import TYPE_CHECKING, Any

from tests.bench.claims import MAKE_DOCUMENTS, MAKE_QUEUES, MAKE_TENANTS, database

if TYPE_CHECKING:
    import psycopg

SIZES = (10_000, 1_000_000, 10_000_000)
TENANTS = 100
ROUNDS, ASKED = 7, 60
GOAL = 1.5
MAKE_JOBS = """
INSERT INTO jobs_job (event_id, tenant_id, document_id, submitted_by, title, metadata, priority,
    status, step, ready, run, attempt, crashes, failures, event_seq, worker, error_code,
    error_detail, llm_calls, prompt_tokens, completion_tokens, unknown_calls, sealed_result,
    started_at, ended_at)
SELECT uuidv7(), document.tenant_id, document.id, 'bench', 'Guideline ' || n, '{}', 0,
    CASE WHEN mod(n, 20) = 0 THEN 'PENDING' ELSE 'COMPLETED' END, 'summarize', mod(n, 20) = 0, 1,
    sign(mod(n, 20)), 0, 0, 1, '', '', '', 2, 20, 10, 0,
    CASE WHEN mod(n, 20) <> 0 THEN decode(repeat('00', 64), 'hex') END,
    CASE WHEN mod(n, 20) <> 0 THEN now() END, CASE WHEN mod(n, 20) <> 0 THEN now() END
FROM generate_series(%(first)s, %(last)s) AS n
JOIN jobs_document AS document ON document.id = 1 + mod(n / 20, %(tenants)s)
"""
BATCH = 1_000_000
ROLE = (
    "SELECT set_config('role', 'guidepost_api', true),"
    " set_config('guidepost.tenant', '{tenant}', true); "
)
QUESTIONS = {
    "first page": "SELECT * FROM jobs_page('{tenant}', NULL, NULL, 21)",
    "a page in the middle": "SELECT * FROM jobs_page('{tenant}', NULL, '{event_id}', 21)",
    "first page of a status": "SELECT * FROM jobs_page('{tenant}', 'PENDING', NULL, 21)",
    "one job": "SELECT * FROM jobs_show('{tenant}', '{event_id}')",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    chosen = parser.parse_args()
    with database():
        bases = {size: seed(size) for size in chosen.sizes}
        times: dict[tuple[str, int], list[float]] = {}
        for _ in range(ROUNDS):
            for name in QUESTIONS:
                for size, base in bases.items():
                    times.setdefault((name, size), []).append(base.ask(name))
    fewest, most = min(bases), max(bases)
    worst = 0.0
    for name in QUESTIONS:
        medians = {size: statistics.median(times[name, size]) for size in bases}
        shown = "  ".join(f"{size:,}: {ms:.2f} ms" for size, ms in medians.items())
        print(f"{name:<24} {shown}  ratio {medians[most] / medians[fewest]:.2f}")
        worst = max(worst, medians[most] / medians[fewest])
    print(f"bench-growth: jobs={most} worst_ratio={worst:.2f} (goal <= {GOAL:g})")


class Base:
    """A database of one size, and some of its jobs to ask for."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self.connection = connection
        self.jobs = connection.execute(
            "SELECT tenant_id, event_id FROM jobs_job TABLESAMPLE system_rows(400)"
        ).fetchall()

    def ask(self, name: str) -> float:
        """Milliseconds of each, of jobs and tenants by chance: the median."""
        times = []
        for tenant, event_id in random.sample(self.jobs, ASKED):
            question = (ROLE + QUESTIONS[name]).format(tenant=tenant, event_id=event_id)
            started = time.perf_counter()
            self.connection.execute(question)
            times.append((time.perf_counter() - started) * 1000)
        return statistics.median(times)


def seed(size: int) -> Base:
    import psycopg

    server, _, migrated = os.environ["DATABASE_URL"].rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE size_{size} TEMPLATE {migrated}")
    connection = psycopg.connect(
        f"{server}/size_{size}", autocommit=True, cursor_factory=psycopg.ClientCursor
    )
    connection.execute("CREATE EXTENSION tsm_system_rows")
    # What triggers and foreign keys would do for each row is not what is measured.
    connection.execute("SET session_replication_role = replica")
    for statement in (MAKE_TENANTS, MAKE_DOCUMENTS, MAKE_QUEUES):
        connection.execute(statement, {"tenants": TENANTS})
    started = time.monotonic()
    for first in range(1, size + 1, BATCH):
        last = min(first + BATCH - 1, size)
        connection.execute(MAKE_JOBS, {"first": first, "last": last, "tenants": TENANTS})
    connection.execute("VACUUM ANALYZE jobs_job")
    print(f"{size:,} jobs made in {time.monotonic() - started:.0f} s", flush=True)
    return Base(connection)


if __name__ == "__main__":
    main()
