"""The prompts there are: versions, hashes, labels, and which jobs run with them."""

from collections import Counter
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Count
from django.utils import timezone

from jobs.models import Job
from llm import prompts

DAYS = 30


class Command(BaseCommand):
    help = "Lists the prompts with their hashes and labels; --show prints one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--show", metavar="summarize.v1", help="print this prompt's text")
        parser.add_argument(
            "--jobs",
            action="store_true",
            help=f"count the jobs of the last {DAYS} days by prompt: reads all of them",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["show"]:
            self.stdout.write(_find(options["show"]).text, ending="")
            return
        jobs = _jobs() if options["jobs"] else None
        for prompt in prompts.every():
            self.stdout.write(_line(prompt, jobs))


def _find(label: str) -> prompts.Prompt:
    for prompt in prompts.every():
        if prompt.label == label:
            return prompt
    known = ", ".join(prompt.label for prompt in prompts.every())
    raise CommandError(f"There is no prompt {label}. There are: {known}.")


def _line(prompt: prompts.Prompt, jobs: Counter[str] | None) -> str:
    labels = [label for label, versions in prompts.labels().items() if _is(prompt, versions)] or [
        "-"
    ]
    line = f"{prompt.label:<16} {prompt.sha256}  {_state(prompt):<8}  {', '.join(labels)}"
    return line if jobs is None else f"{line}  jobs {jobs[prompt.label]}"


def _is(prompt: prompts.Prompt, versions: dict[str, int]) -> bool:
    return versions.get(prompt.name) == prompt.version


def _state(prompt: prompts.Prompt) -> str:
    known = prompts.released().get(prompt.label)
    if known is None:
        return "draft"
    return "released" if known == prompt.sha256 else "CHANGED"


def _jobs() -> Counter[str]:
    """Jobs of the last DAYS days by the prompts that they are pinned to."""
    since = timezone.now() - timedelta(days=DAYS)
    pinned = (
        Job.objects.across_tenants()
        .filter(created_at__gte=since)
        .order_by()
        .values_list("prompts")
        .annotate(jobs=Count("id"))
    )
    counts: Counter[str] = Counter()
    for versions, jobs in pinned:
        for name, version in versions.items():
            counts[f"{name}.v{version}"] += jobs
    return counts
