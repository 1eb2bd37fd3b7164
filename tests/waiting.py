"""Waits for what comes about in another thread or process."""

import time

SHORTEST, LONGEST = 0.02, 0.2  # seconds between two looks: what takes long is looked at less often


def until(condition, seconds=10):
    """What the condition returns, once that is true."""
    started, pause = time.monotonic(), SHORTEST
    while not (value := condition()):
        waited = time.monotonic() - started
        assert waited < seconds, "It did not come about in time."
        time.sleep(pause)
        pause = min(max(SHORTEST, waited / 10), LONGEST)
    return value
