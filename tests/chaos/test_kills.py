from itertools import islice

from tests.chaos.kills import KINDS, schedule
from tests.chaos.load import plans


def test_the_same_seed_gives_the_same_kills():
    assert schedule(200, seed=3) == schedule(200, seed=3)
    assert schedule(200, seed=3) != schedule(200, seed=4)


def test_a_shorter_schedule_is_the_beginning_of_a_longer_one():
    assert schedule(500, seed=3)[:40] == schedule(40, seed=3)


def test_every_kind_of_kill_has_its_share():
    kills = schedule(10_000, seed=3)
    shares = {(target, how): share for share, target, how in KINDS}

    assert sum(shares.values()) == 100
    for kind, share in shares.items():
        count = sum((kill.target, kill.how) == kind for kill in kills)
        assert abs(count / 100 - share) < 1.5


def test_the_same_seed_gives_the_same_load():
    first, second = (list(islice(plans(3, tenants=4, rate=5), 50)) for _ in range(2))

    assert first == second
    assert len({plan.text for plan in first}) == 50


def test_each_kill_picks_one_of_those_that_are_there():
    picks = [kill.pick for kill in schedule(10_000, seed=3)]

    assert min(picks) >= 0
    assert max(picks) < 1
