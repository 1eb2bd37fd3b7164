"""Waits for what comes about in another thread or process."""

import time


def until(condition, seconds=10):
    """What the condition returns, once that is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "It did not come about in time."
        time.sleep(0.02)
    return value
