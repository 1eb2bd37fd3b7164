"""Failed jobs: how many of which kind, and the latest with what went wrong."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import Count, Max

from jobs.models import Job, JobStatus


class Command(BaseCommand):
    help = "Shows failed jobs by error code; with a code, the latest of them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("error_code", nargs="?", default="")
        parser.add_argument("--limit", type=int, default=20)

    def handle(self, *args: Any, **options: Any) -> None:
        failed = Job.objects.across_tenants().filter(status=JobStatus.FAILED, deleted_at=None)
        if options["error_code"]:
            self._latest(failed.filter(error_code=options["error_code"]), options["limit"])
            return
        counted = failed.values("error_code").annotate(jobs=Count("id"), last=Max("ended_at"))
        groups = list(counted.order_by("-jobs"))
        if not groups:
            self.stdout.write("No failed jobs.")
        for group in groups:
            last = group["last"].isoformat(timespec="seconds")
            self.stdout.write(f"{group['jobs']:7}  {group['error_code']:24}  last {last}")

    def _latest(self, failed: Any, limit: int) -> None:
        found = failed.select_related("tenant").prefetch_related("attempts").order_by("-ended_at")
        jobs = list(found[:limit])
        if not jobs:
            self.stdout.write("No failed jobs with this error code.")
        for job in jobs:
            last = list(job.attempts.all())[-1]
            raw = " ".join(last.error.split())[:200]
            self.stdout.write(f"{job.event_id}  {job.tenant.slug}  attempt {job.attempt}  {raw}")
