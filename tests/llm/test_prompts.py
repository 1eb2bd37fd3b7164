"""The released prompts never change, and every label names prompts that there are."""

from pathlib import Path

import pytest

from jobs.options import current_prompts
from llm import prompts
from tests.eval.measure import Versions

FOLDER = Path(prompts.__file__).parent


def test_every_prompt_file_is_released_with_the_text_it_has():
    assert {prompt.label: prompt.sha256 for prompt in prompts.every()} == prompts.released()


def test_no_file_hides_from_the_list():
    assert {prompt.label for prompt in prompts.every()} == {
        path.name.removesuffix(".txt") for path in FOLDER.glob("*.txt")
    }


def test_a_label_names_one_version_of_each_prompt_that_it_has():
    for label, versions in prompts.labels().items():
        for name, version in versions.items():
            assert f"{name}.v{version}" in prompts.released(), label
    assert set(prompts.labelled("production")) == {prompt.name for prompt in prompts.every()}


def test_jobs_are_pinned_to_production():
    assert current_prompts() == prompts.labelled("production")


def test_who_gets_the_versions_of_a_label_cannot_change_them_for_others():
    prompts.labelled("production")["summarize"] = 99

    assert prompts.labelled("production")["summarize"] != 99


def test_an_unknown_label_is_an_error():
    with pytest.raises(KeyError):
        prompts.labelled("nightly")


def test_a_label_may_be_compared_by_the_evaluation():
    production = prompts.labelled("production")

    assert Versions.parse("production") == Versions(
        production["summarize"], production["checklist"]
    )
