"""`manage.py prompts`: what an operator sees of the prompts."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from jobs.models import Job
from llm import prompts
from tests.factories import JobFactory, TenantFactory


def run(*arguments):
    out = StringIO()
    call_command("prompts", *arguments, stdout=out)
    return out.getvalue()


def test_each_prompt_is_listed_with_its_hash_and_its_labels():
    lines = run().splitlines()

    assert [line.split()[0] for line in lines] == [p.label for p in prompts.every()]
    version = prompts.labelled("production")["summarize"]
    [summarize] = [line for line in lines if line.startswith(f"summarize.v{version} ")]
    assert prompts.load("summarize", version).sha256 in summarize
    assert summarize.split()[2:] == ["released", "production"]


def test_a_file_that_has_changed_since_its_release_is_named(monkeypatch):
    monkeypatch.setattr(prompts, "released", lambda: {"summarize.v1": "another"})

    states = {line.split()[0]: line.split()[2] for line in run().splitlines()}

    assert (states["summarize.v1"], states["checklist.v1"]) == ("CHANGED", "draft")


def test_one_prompt_is_printed_byte_for_byte():
    assert run("--show", "checklist.v1") == prompts.load("checklist", 1).text


def test_a_prompt_that_does_not_exist_is_an_error_that_names_those_that_do():
    with pytest.raises(CommandError, match=r"no prompt checklist\.v99.*checklist\.v1"):
        run("--show", "checklist.v99")


@pytest.mark.django_db
def test_jobs_of_the_last_thirty_days_are_counted_by_the_prompts_they_are_pinned_to():
    for _ in range(3):
        old = JobFactory(tenant=TenantFactory())
    long_ago = timezone.now() - timedelta(days=31)
    Job.objects.across_tenants().filter(pk=old.pk).update(created_at=long_ago)

    counts = {line.split()[0]: line.split()[-2:] for line in run("--jobs").splitlines()}

    for name, version in prompts.labelled("production").items():
        assert counts[f"{name}.v{version}"] == ["jobs", "2"]
