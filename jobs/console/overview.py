"""What a tenant sees first: its jobs, its budgets, and what wants attention."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from jobs import queue, shares, usage
from jobs.console.job_list import described
from jobs.console.job_page import WAITS
from jobs.console.limits import filled
from jobs.models import Job, JobStatus, first_id_of
from jobs.shown import Row, Wanted
from tenants.console.page import ConsolePage, console_page
from tenants.models import ApiKey, Scope

NEWEST = 10
FAILED_WITHIN, FAILED_COUNTED = timedelta(days=7), 99
ENDS_WITHIN, ENDING_SHOWN = timedelta(days=14), 5
BUDGETS = {"tokens_per_day": "Tokens today", "money_per_month": "Money this month"}


@console_page("", name="overview", label="Overview", place=10)
class OverviewPage(ConsolePage):
    scope = None
    title = "Overview"
    template = "overview.html"

    def context(self) -> dict[str, Any]:
        jobs = self._newest() if self.may(Scope.JOBS_READ) else []
        return {
            **described(jobs),
            **(self._limits() if self.may(Scope.USAGE_READ) else {}),
            "held": self._held(jobs),
            "failed": self._failed() if jobs else 0,
            "failed_counted": FAILED_COUNTED,
            "ending": self._ending() if self.may(Scope.KEYS_MANAGE) else [],
            "steps": [] if jobs else self._steps(),
            "has_second_factor": self.member.has_second_factor,
        }

    def _newest(self) -> Sequence[Job | Row]:
        return shares.page(self.caller, Wanted(most=NEWEST))

    def _limits(self) -> dict[str, Any]:
        tenant_id = self.caller.tenant_id
        running, waiting = usage.caps(tenant_id)
        budgets = [
            {**filled(each), "label": BUDGETS[each["name"]]} for each in usage.budgets(tenant_id)
        ]
        return {"running": running, "waiting": waiting, "budgets": budgets}

    def _held(self, jobs: Sequence[Job | Row]) -> str:
        """What the newest waiting job waits for, where that is none of the tenant's doing."""
        pending = next((job for job in jobs if job.status == JobStatus.PENDING), None)
        if pending is None:
            return ""
        found = queue.waiting(Job(pk=pending.id, tenant_id=self.caller.tenant_id))
        reason = found.waiting_on if found else ""
        return WAITS[reason] if reason in ("paused", "provider") else ""

    def _failed(self) -> int:
        """How many of the jobs of the last days, up to one more than is counted."""
        since = first_id_of(timezone.now() - FAILED_WITHIN)
        jobs = Job.objects.visible_to(self.caller).filter(
            status=JobStatus.FAILED, deleted_at=None, event_id__gte=since
        )
        return jobs.order_by("-event_id")[: FAILED_COUNTED + 1].count()

    def _ending(self) -> list[tuple[str, datetime | None]]:
        """Keys that end soon, the first of them first."""
        now = timezone.now()
        mine = ApiKey.objects.for_tenant(self.caller.tenant_id)
        soon = mine.filter(revoked_at=None, expires_at__range=(now, now + ENDS_WITHIN))
        return list(soon.order_by("expires_at").values_list("name", "expires_at")[:ENDING_SHOWN])

    def _steps(self) -> list[dict[str, str]]:
        """What to begin with, as far as whoever asks may do it."""
        known = [
            ("job-new", Scope.JOBS_SUBMIT, "Submit a guideline", "as a file or as text, here."),
            ("key-new", Scope.KEYS_MANAGE, "Make a key", "for a program that submits guidelines."),
            ("member-invite", Scope.MEMBERS_MANAGE, "Invite people", "who work with checklists."),
        ]
        return [
            {"url": self.url(name), "does": does, "more": more}
            for name, scope, does, more in known
            if self.may(scope)
        ]
