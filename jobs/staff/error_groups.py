"""What keeps failing, of whom, since when; and whether somebody has looked at it."""

from datetime import timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Q, Sum
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone

from config import charts
from config.staff import Act, ActPage, StaffPage, StaffRole, declare, staff_page
from jobs import error_groups
from jobs.filters import JobFilter
from jobs.models import ErrorGroup, ErrorGroupCount, Job

SHOWN = 100
JOBS_SHOWN = 20
RESOLVE = declare(
    Act(
        "error_group.resolved",
        "Resolve",
        StaffRole.OPERATOR,
        "The cause is mended. Should it fail again, the group opens by itself and says so.",
    )
)
IGNORE = declare(
    Act(
        "error_group.ignored",
        "Ignore",
        StaffRole.OPERATOR,
        "The group goes on counting and stands below the others, whatever happens.",
    )
)
REOPEN = declare(
    Act(
        "error_group.reopened", "Open again", StaffRole.OPERATOR, "The group stands among the open."
    )
)


@staff_page("jobs/errors/", name="error_groups", label="Error groups", place=20)
class ErrorGroupsPage(StaffPage):
    title = "Error groups"
    may_lag = True
    template = "error_groups.html"

    def context(self) -> dict[str, Any]:
        states = list(ErrorGroup.State)
        groups = sorted(
            ErrorGroup.objects.order_by("-last_seen_at")[:SHOWN],
            key=lambda group: states.index(ErrorGroup.State(group.state)),
        )
        return {"rows": _with_counts(groups), "shown": SHOWN}


def _with_counts(groups: list[ErrorGroup]) -> list[dict[str, Any]]:
    """Each with its failures in the last hour, to ten minutes, and day, and its tenants."""
    now = timezone.now()
    hour, day = error_groups.bucket(now - timedelta(hours=1)), now - timedelta(days=1)
    counts = ErrorGroupCount.objects.across_tenants().filter(group__in=groups)
    summed = {
        row["group"]: row
        for row in counts.values("group").annotate(
            hour=Sum("count", filter=Q(since__gte=hour), default=0),
            day=Sum("count", filter=Q(since__gte=day), default=0),
            tenants=Count("tenant", distinct=True),
        )
    }
    nothing = {"hour": 0, "day": 0, "tenants": 0}
    return [{**summed.get(group.pk, nothing), "group": group} for group in groups]


class OneGroup:
    """Mixed into pages about the group of their address."""

    request: HttpRequest
    kwargs: dict[str, Any]

    @cached_property
    def group(self) -> ErrorGroup:
        return get_object_or_404(ErrorGroup, pk=self.kwargs["pk"])

    def back(self) -> str:
        return reverse("admin:error_group", args=[self.kwargs["pk"]])


@staff_page("jobs/errors/<int:pk>/", name="error_group")
class ErrorGroupPage(OneGroup, StaffPage):
    may_lag = True
    template = "error_group.html"

    def context(self) -> dict[str, Any]:
        group = self.group
        chosen = JobFilter(error_code=group.error_code, shape=group.shape)
        [row] = _with_counts([group])
        others = [
            (act, reverse(f"admin:{name}", args=[group.pk]))
            for name, act, state in STATES
            if state != group.state and self.may(act)
        ]
        return {
            **row,
            "title": group.error_code,
            "acts": others,
            "plot": charts.bars(self._by_hour(group), "failures", "Failures an hour, seven days"),
            "tenants": self._tenants(group),
            "jobs": self._newest(chosen),
            "retry_url": f"{reverse('admin:bulk_new')}?{urlencode(chosen.held())}",
            "jobs_url": f"{reverse('admin:jobs')}?{urlencode(chosen.held())}",
        }

    def _by_hour(self, group: ErrorGroup) -> list[charts.Point]:
        counts = ErrorGroupCount.objects.across_tenants().filter(group=group)
        return charts.by_hour(
            counts.values_list("since", "count"), hours=24 * 7, until=timezone.now()
        )

    def _tenants(self, group: ErrorGroup) -> list[tuple[str, int]]:
        counts = ErrorGroupCount.objects.across_tenants().filter(group=group)
        most = counts.values_list("tenant__slug").annotate(number=Sum("count"))
        return list(most.order_by("-number")[:20])

    def _newest(self, chosen: JobFilter) -> list[Job]:
        jobs = chosen.jobs().without_content().select_related("tenant")
        return list(jobs.order_by("-event_id")[:JOBS_SHOWN])


class StatePage(OneGroup, ActPage):
    state: ErrorGroup.State

    def about(self) -> str:
        group = self.group
        return f"{group.error_code}: {group.shape} ({group.count} failures)"

    def perform(self, form: Any) -> str:
        changed = error_groups.set_state(self.group, self.state)
        return f"The group is {self.state.label.lower()}." if changed else "It was so already."


@staff_page("jobs/errors/<int:pk>/resolve/", name="error_group_resolve")
class ResolvePage(StatePage):
    act, state = RESOLVE, ErrorGroup.State.RESOLVED


@staff_page("jobs/errors/<int:pk>/ignore/", name="error_group_ignore")
class IgnorePage(StatePage):
    act, state = IGNORE, ErrorGroup.State.IGNORED


@staff_page("jobs/errors/<int:pk>/reopen/", name="error_group_reopen")
class ReopenPage(StatePage):
    act, state = REOPEN, ErrorGroup.State.OPEN


STATES = [
    ("error_group_resolve", RESOLVE, ErrorGroup.State.RESOLVED),
    ("error_group_ignore", IGNORE, ErrorGroup.State.IGNORED),
    ("error_group_reopen", REOPEN, ErrorGroup.State.OPEN),
]
