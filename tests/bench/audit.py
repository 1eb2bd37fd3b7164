"""How fast the audit log is sealed and checked: `python -m tests.bench.audit [entries]`.

A durable PostgreSQL of its own; a hundred tenants. What came of it stands in docs/performance.md.
"""

import logging
import resource
import sys
import time

from tests.bench.claims import MAKE_TENANTS, database

TENANTS = 100
FILL = """
INSERT INTO tenants_auditentry (tenant_id, actor_kind, actor, on_behalf_of, address, request_id,
    action, outcome, object_type, object_id, after)
SELECT tenant.id, 'key', 'gpc_5f1c0de2a9b34c6d8e7f9012', '', '203.0.113.7', md5(n::text),
    'job.submitted', 'done', 'job', gen_random_uuid()::text,
    jsonb_build_object('sha256', md5(n::text) || md5(n::text), 'bytes', n, 'priority', 'normal')
FROM generate_series(1, %s) AS n CROSS JOIN tenants_tenant AS tenant
"""


def main(entries: int) -> None:
    with database():
        import django

        django.setup()
        logging.disable()
        measure(entries)


def measure(entries: int) -> None:
    from django.db import connection

    from tenants.sealing import sealer
    from tenants.sealing.verification import Verification

    with connection.cursor() as cursor:
        cursor.execute(MAKE_TENANTS, {"tenants": TENANTS})
        for _ in range(0, entries, 100 * TENANTS):
            cursor.execute(FILL, [100])
        began = time.perf_counter()
        sealed = sealer.work(seconds=3600)
        seconds = time.perf_counter() - began
        print(f"sealed {sealed:,} in {seconds:.1f} s: {sealed / seconds:,.0f} a second")

        cursor.execute(FILL, [20])
        cursor.execute("VACUUM ANALYZE tenants_auditentry")
        cursor.execute("SELECT xid::text, entry_id FROM tenants_auditwatermark")
        xid, last = cursor.fetchone()
        place = {"xid": xid, "id": last, "limit": sealer.BATCH}
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {sealer.NEXT}", place)
        print("\n".join(row[0] for row in cursor.fetchall()))
    sealer.work()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run, began = Verification(), time.perf_counter()
    findings = list(run.findings())
    seconds = time.perf_counter() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"checked {run.entries:,} in {seconds:.1f} s: {run.entries / seconds:,.0f} a second,"
        f" {grown:.0f} MB more memory, {len(findings)} findings"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
