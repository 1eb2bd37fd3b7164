"""The same run as `make chaos`, short: what is accepted ends, once, whoever is killed."""

import pytest

from tests.chaos.__main__ import run_chaos


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_forty_kills_lose_double_and_break_nothing(tmp_path):
    line, violations = run_chaos(kills=40, seed=2, settle=120, folder=tmp_path)

    assert violations == []
    assert line.startswith("chaos: kills=40 accepted=")
