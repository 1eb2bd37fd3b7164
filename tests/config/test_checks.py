"""A wrong deployment says so at its start."""

import pytest

from config.checks import models_have_prices

PRICES = {"gpt-4.1-mini": {"prompt": 0.4, "completion": 1.6}}


@pytest.mark.parametrize(
    ("key", "prices", "found"),
    [
        ("", {}, []),
        ("sk-x", PRICES, []),
        ("sk-x", {"another": {"prompt": 1}}, ["guidepost.W001"]),
        ("", [], ["guidepost.E005"]),
        ("", {"m": 0.4}, ["guidepost.E005"]),
        ("", {"m": {"prompt": "0.4"}}, ["guidepost.E005"]),
        ("", {"m": {"prompt": -1}}, ["guidepost.E005"]),
        ("", {"m": {"input": 1}}, ["guidepost.E005"]),
    ],
)
def test_prices_are_a_table_and_a_paid_model_has_one(settings, key, prices, found):
    settings.OPENAI_API_KEY, settings.OPENAI_MODEL = key, "gpt-4.1-mini"
    settings.MODEL_PRICES = prices

    assert [message.id for message in models_have_prices(None)] == found
