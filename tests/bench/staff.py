"""python -m tests.bench.staff: how long staff wait for each page, among a million jobs.

Its own PostgreSQL, filled by `manage.py seed_jobs`; each page is asked for through Django, with
middleware, session and templates, by one reader, some dozens of times in turns. Printed are the
median, the 95th percentile and the number of statements of each.
"""

import argparse
import logging
import statistics
import time
from collections.abc import Callable

from tests.bench.claims import database, machine

GOAL = 400.0  # ms, of the 95th percentile of each page
SPAN = "since=2000-01-01+00%3A00"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--tenants", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=30)
    chosen = parser.parse_args()
    with database():
        import django

        django.setup()
        logging.disable()
        from django.conf import settings
        from django.core.management import call_command

        settings.ALLOWED_HOSTS = ["*"]
        print(machine(), flush=True)
        call_command("seed_jobs", jobs=chosen.jobs, tenants=chosen.tenants)
        from jobs import error_groups

        error_groups.count()
        times, statements = measure(pages(), chosen.rounds)
    worst = 0.0
    print("| page | p50 ms | p95 ms | statements |\n| --- | ---: | ---: | ---: |")
    for name, took in times.items():
        p95 = statistics.quantiles(took, n=20)[-1]
        worst = max(worst, p95)
        print(f"| {name} | {statistics.median(took):.0f} | {p95:.0f} | {statements[name]} |")
    print(
        f"bench-staff: jobs={chosen.jobs} tenants={chosen.tenants} worst_p95_ms={worst:.0f}"
        f" (goal < {GOAL:g})"
    )


def pages() -> dict[str, str]:
    """What is asked for, by name: every page, filter and search that reads many rows."""
    from jobs.models import ErrorGroup, Job
    from tenants.models import AuditEntry, Tenant

    jobs = Job.objects.across_tenants().without_content().order_by("-event_id")
    middle = jobs[Job.objects.across_tenants().count() // 2]
    large, small = Tenant.objects.get(slug="seeded-1"), Tenant.objects.get(slug="seeded-999")
    group = ErrorGroup.objects.first()
    done = jobs.filter(status="COMPLETED").first()
    with_metadata = jobs.exclude(metadata={}).first()
    entry = AuditEntry.objects.across_tenants().filter(action="job.cancelled").first()
    listed = "/admin/jobs/job/"
    week = f"{middle.created_at:%Y-%m-%d}+00%3A00"
    return {
        "overview": "/admin/",
        "jobs": listed,
        "jobs, an older page": f"{listed}?before={middle.event_id}",
        "jobs, the page before": f"{listed}?after={middle.event_id}",
        **{f"state {s}": f"{listed}?status={s}" for s in ("FAILED", "PENDING", "PROCESSING")},
        "state COMPLETED": f"{listed}?status=COMPLETED",
        "state EXPIRED, older": f"{listed}?status=EXPIRED&before={middle.event_id}",
        "tenant, large": f"{listed}?tenant={large.slug}",
        "tenant, small": f"{listed}?tenant={small.slug}",
        "tenant and state": f"{listed}?tenant={small.slug}&status=FAILED",
        "error class": f"{listed}?error_code=poison",
        "error class and tenant": f"{listed}?error_code=poison&tenant={small.slug}",
        "model, common": f"{listed}?model=seeded-small",
        "model, rare": f"{listed}?model=seeded-large",
        "model, none": f"{listed}?model=nobody",
        "attempts": f"{listed}?attempts=2",
        "worker": f"{listed}?worker=worker-7%40seeded",
        "worker and state": f"{listed}?worker=worker-7%40seeded&status=FAILED",
        "worker, none": f"{listed}?worker=nobody",
        "age": f"{listed}?until={week}",
        "age and state": f"{listed}?until={week}&status=CANCELLED",
        "metadata, one job": f"{listed}?metadata=case%3D{with_metadata.metadata['case']}",
        "metadata, many jobs": f"{listed}?metadata=site%3Dsite-10",
        "metadata, any key": f"{listed}?metadata={with_metadata.metadata['case']}",
        "metadata, none": f"{listed}?metadata=nobody",
        "search, event_id": f"{listed}?q={middle.event_id}",
        "search, its beginning": f"{listed}?q={str(middle.event_id)[:13]}",
        "search, a slug": f"{listed}?q={large.slug}",
        "job": f"/admin/jobs/job/{done.event_id}/",
        "error groups": "/admin/jobs/errors/",
        "error group": f"/admin/jobs/errors/{group.pk}/",
        "bulk, preview of failed": "/admin/jobs/bulk/new/?status=FAILED",
        "bulk, preview of one class": "/admin/jobs/bulk/new/?error_code=poison",
        "tenants": "/admin/tenants/",
        "tenant": f"/admin/tenants/tenant/{large.pk}/",
        "plans": "/admin/plans/",
        "people": "/admin/people/",
        "audit": "/admin/tenants/audit/",
        "audit, actor": f"/admin/tenants/audit/?actor={entry.actor}",
        "audit, action": "/admin/tenants/audit/?action=job.cancelled",
        "audit, submissions": f"/admin/tenants/audit/?action=job.submitted&tenant={large.slug}",
        "audit, object": f"/admin/tenants/audit/?object_id={entry.object_id}",
        "audit, tenant": f"/admin/tenants/audit/?tenant={large.slug}",
        "audit, time": f"/admin/tenants/audit/?{SPAN}",
        "audit, none": "/admin/tenants/audit/?actor=nobody",
    }


def measure(wanted: dict[str, str], rounds: int) -> tuple[dict[str, list[float]], dict[str, int]]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    get = reader()
    times: dict[str, list[float]] = {name: [] for name in wanted}
    statements = {}
    for name, path in wanted.items():
        with CaptureQueriesContext(connection) as asked:
            get(path)
        statements[name] = len(asked)
    for _ in range(rounds):
        for name, path in wanted.items():
            began = time.perf_counter()
            get(path)
            times[name].append((time.perf_counter() - began) * 1000)
    return times, statements


def reader() -> Callable[[str], None]:
    """Asks for a page as an operator; raises AssertionError unless it is there, and in time."""
    from django.test import Client

    from accounts.services import register_person
    from tests.accounts.acts import sign_in

    person = register_person(
        email="bench@example.com", name="", password=None, staff_role="operator"
    )
    browser = sign_in(Client(), person)

    def get(path: str) -> None:
        page = browser.get(path)
        assert page.status_code in (200, 302), (path, page.status_code)
        assert "takes too long" not in page.text, path

    return get


if __name__ == "__main__":
    main()
