"""The first page: is anything wrong, and what is going on."""

from typing import Any

from config.staff import StaffPage, staff_page
from jobs.staff import numbers
from jobs.staff.alarms import alarms


@staff_page("", name="overview", label="Overview", place=0)
class OverviewPage(StaffPage):
    title = "Overview"
    may_lag = True
    template = "overview.html"

    def context(self) -> dict[str, Any]:
        workers, circuits = numbers.workers(), numbers.circuits()
        oldest, ended = numbers.longest_waiting(), numbers.ended_in_the_last_hour()
        return {
            "alarms": alarms(
                workers=workers,
                circuits=circuits,
                oldest=oldest,
                ended=ended,
                paused=numbers.paused(),
                bulk_running=numbers.bulk_actions_running(),
                sealing_is_late=numbers.sealing_is_late(),
            ),
            "workers": workers,
            "circuits": circuits,
            "oldest": oldest,
            "ended": ended,
            "queues": numbers.queues(),
            "waiting": numbers.waiting(),
            "running": sum(len(busy.jobs) for busy in workers),
            "running_shown": numbers.RUNNING_SHOWN,
            "failures": numbers.failures(),
            "models": numbers.models_in_the_last_hour(),
            "plot": numbers.throughput(),
            "sample": numbers.SAMPLE,
        }
