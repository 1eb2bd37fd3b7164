"""What staff's pages make of values and numbers."""

import pytest

from config.templatetags.values import dollars, grouped, measured, plain


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "none"),
        ("", "none"),
        ([], "none"),
        ({}, "none"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (100_000_000, "100,000,000"),
        (["audit:read", "jobs:read"], "audit:read, jobs:read"),
        ({"rate": 1000, "kept": [None]}, "rate: 1,000, kept: none"),
        ("1000", "1000"),
        (0.5, "0.5"),
    ],
)
def test_a_value_is_said_in_words(value, said):
    assert plain(value) == said


def test_numbers_are_grouped():
    assert [grouped(1234567), grouped(0), grouped(None)] == ["1,234,567", "0", "–"]


def test_money_that_is_nothing_and_money_that_is_nearly_nothing_look_different():
    assert [dollars(0), dollars(90), dollars(1_500_000), dollars(None)] == [
        "$0.00",
        "$0.0001",
        "$1.50",
        "–",
    ]


def test_a_number_is_said_with_what_it_counts():
    assert [measured(81234, "tokens"), measured(2_000_000, "micro_usd")] == [
        "81,234 tokens",
        "$2.00",
    ]
