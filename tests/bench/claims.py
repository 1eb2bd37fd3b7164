"""How long a claim takes, by how much is waiting: `make bench-claims`.

Starts its own durable PostgreSQL with a database for each size, filled by SQL, and claims and
completes jobs as workers do. Measured is `claims.claim_next` alone, from Python to Python, commit
to disk included. Sizes take turns, so that a busy machine is slow for all of them.
"""

import argparse
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.stack import ROOT, Stack, new_secrets

if TYPE_CHECKING:
    import psycopg

WAITING = (1_000, 100_000, 1_000_000)
TENANTS = (1, 1_000)
CLAIMERS = (1, 4)
WARM_UP, ROUNDS, CLAIMS = 40, 7, 100  # claims before each round, rounds, claims of each
GOAL = 3.0
USAGE = {"calls": 2, "prompt_tokens": 20, "completion_tokens": 10}

# What triggers and foreign keys would do for each row is done at once, afterwards.
MAKE_TENANTS = """
INSERT INTO tenants_tenant (id, name, slug, is_active, created_at, plan_id)
SELECT gen_random_uuid(), 'Tenant ' || n, 'tenant-' || n, true, now(), 'standard'
FROM generate_series(1, %(tenants)s) AS n
"""
MAKE_DOCUMENTS = """
INSERT INTO jobs_document (uid, tenant_id, sealed_text, digest)
SELECT uuidv7(), id, decode(repeat('00', 64), 'hex'), repeat('0', 64) FROM tenants_tenant
"""
MAKE_KEY = """
INSERT INTO tenants_datakey (tenant_id, version, wrapped, created_at) VALUES (%s, 1, %s, now())
"""
MAKE_QUEUES = """
INSERT INTO jobs_tenantqueue (tenant_id, max_running, max_waiting, is_active)
SELECT id, 10000, 10000000, true FROM tenants_tenant
"""
MAKE_JOBS = """
INSERT INTO jobs_job (event_id, tenant_id, document_id, submitted_by, title, metadata, priority,
    status, step, ready, run, attempt, crashes, failures, event_seq, worker, error_code,
    error_detail, llm_calls, prompt_tokens, completion_tokens, unknown_calls)
SELECT uuidv7(), document.tenant_id, document.id, 'bench', '', '{}', mod(n, 3) - 1,
    'PENDING', 'summarize', true, 1, 0, 0, 0, 1, '', '', '', 0, 0, 0, 0
FROM generate_series(1, %(jobs)s) AS n
JOIN jobs_document AS document ON document.id = 1 + mod(n, %(tenants)s)
"""
MAKE_EVENTS = """
INSERT INTO jobs_jobevent (tenant_id, job_id, seq, from_status, to_status, run, attempt, actor,
    note)
SELECT tenant_id, id, 1, '', 'PENDING', 1, 0, 'bench', '' FROM jobs_job
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, nargs="+", default=WAITING)
    parser.add_argument("--tenants", type=int, nargs="+", default=TENANTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    with database():
        import django

        django.setup()
        logging.disable()
        print(machine(), flush=True)
        sizes = [(waiting, tenants) for tenants in chosen.tenants for waiting in chosen.waiting]
        for size in sizes:
            seed(*size)
        times = take_turns(sizes, chosen.rounds)
        for (waiting, tenants, claimers), rounds in times.items():
            print(
                f"waiting={waiting:<9,} tenants={tenants:<5,} claimers={claimers}"
                f"  p50={typical(rounds, 50):6.2f} ms  p99={typical(rounds, 99):6.2f} ms"
            )
        for waiting, tenants in sizes:
            use(waiting, tenants)
            print(f"waiting={waiting:<9,} tenants={tenants:<5,} pump:  {pump()}")
    fewest, most = min(chosen.waiting), max(chosen.waiting)
    worst = max(
        typical(times[most, tenants, claimers], 99) / typical(times[fewest, tenants, claimers], 99)
        for tenants in chosen.tenants
        for claimers in CLAIMERS
    )
    print(f"bench-claims: p99_ratio={worst:.2f} (goal < {GOAL:g})")


@contextmanager
def database() -> Iterator[None]:
    """A PostgreSQL that keeps what it has committed, migrated; the environment leads there."""
    home = Path(tempfile.mkdtemp(prefix="guidepost-bench-"))
    home.chmod(0o711)  # PostgreSQL does not run as root and has to pass through
    servers = Stack(home, durable=True)
    try:
        servers.start_servers()
        keys = new_secrets()
        for name in ("SECRET_KEY", "API_KEY_PEPPER", "ENCRYPTION_KEYS"):
            os.environ[name] = keys[name]
        os.environ["DATABASE_URL"] = servers.database_url
        os.environ["REDIS_URL"] = servers.redis_url
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, cwd=ROOT, check=True)
        yield
    finally:
        servers.stop()
        shutil.rmtree(home, ignore_errors=True)


def name_of(waiting: int, tenants: int) -> str:
    return f"waiting_{waiting}_of_{tenants}"


def seed(waiting: int, tenants: int) -> None:
    """A database with so many waiting jobs, as it would be some time after they came."""
    import psycopg

    server, _, migrated = os.environ["DATABASE_URL"].rpartition("/")
    name, numbers = name_of(waiting, tenants), {"jobs": waiting, "tenants": tenants}
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {migrated}")
    with psycopg.connect(
        f"{server}/{name}", autocommit=True, cursor_factory=psycopg.ClientCursor
    ) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in (MAKE_TENANTS, MAKE_DOCUMENTS, MAKE_QUEUES, MAKE_JOBS, MAKE_EVENTS):
            connection.execute(statement, numbers)
        seal_keys(connection)
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


def seal_keys(connection: "psycopg.Connection") -> None:
    """A data key for each tenant: results are sealed with it."""
    from config import crypto
    from tenants.vault import WRAPPED

    tenants = connection.execute("SELECT id FROM tenants_tenant").fetchall()
    keys = [
        (tenant, crypto.seal(os.urandom(crypto.KEY_BYTES), WRAPPED.format(tenant, 1)))
        for (tenant,) in tenants
    ]
    connection.cursor().executemany(MAKE_KEY, keys)


def use(waiting: int, tenants: int) -> None:
    """From here on Django talks to this database."""
    from django.db import connection

    connection.close()
    connection.close_pool()
    connection.settings_dict["NAME"] = name_of(waiting, tenants)


def take_turns(
    sizes: list[tuple[int, int]], rounds: int
) -> dict[tuple[int, int, int], list[list[float]]]:
    """Milliseconds of claims: by waiting jobs, tenants and claimers, a list for each round."""
    times: dict[tuple[int, int, int], list[list[float]]] = {}
    for _ in range(rounds):
        for size in sizes:
            use(*size)
            for claimers in CLAIMERS:
                claim_with(claimers, WARM_UP)
                times.setdefault((*size, claimers), []).append(claim_with(claimers, CLAIMS))
    return times


def typical(rounds: list[list[float]], percent: int) -> float:
    """The median round's percentile."""
    return statistics.median(
        statistics.quantiles(times, n=100, method="inclusive")[percent - 1] for times in rounds
    )


def claim_with(claimers: int, count: int) -> list[float]:
    """Claims `count` jobs, each worker one after another; returns milliseconds.

    Outside the clock each is completed, and another one comes in its place.
    """
    from django.db import connection

    from jobs import claims, services
    from jobs.models import Job

    times: list[float] = []
    barrier = threading.Barrier(claimers)

    def work() -> None:
        connection.ensure_connection()
        barrier.wait()
        for _ in range(count // claimers):
            start = time.perf_counter()
            claim = claims.claim_next("bench", circuits=["bench"])
            times.append((time.perf_counter() - start) * 1000)
            assert claim is not None
            services.complete_job(claim, {"checklist": []}, USAGE)
            Job.objects.create(
                tenant_id=claim.tenant_id, document_id=claim.document_id, submitted_by="bench"
            )
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(claimers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def pump() -> str:
    """The statements that run every second, in milliseconds: the median of some."""
    from jobs import claims, dispatch

    acts = {
        "reap": lambda: claims.reap("lost"),
        "sweep": claims.sweep,
        "count_claimable": lambda: claims.count_claimable(dispatch.SHIFTS),
    }
    return "  ".join(f"{name}={median_of(act):.2f} ms" for name, act in acts.items())


def median_of(act) -> float:
    times = []
    for _ in range(15):
        start = time.perf_counter()
        act()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def machine() -> str:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        version = cursor.fetchone()[0]
    connection.close()
    connection.close_pool()  # a template must be in nobody's use
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"PostgreSQL {version}, fsync on; {os.cpu_count()} cores, {memory:.0f} GB"


if __name__ == "__main__":
    main()
