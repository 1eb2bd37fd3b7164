"""python -m tests.tenants.hammer KEY QUOTA WINDOW SECONDS THREADS: asks as fast as it can.

Prints when each request that passed did so, in microseconds of Redis's clock, as JSON.
"""

import json
import sys
import threading
import time

import django

django.setup()

from tenants import throttling  # noqa: E402


def main(key: str, quota: int, window: float, seconds: float, threads: int) -> None:
    throttling.TIMEOUT = 10  # a slow machine is not what is looked at here
    passed: list[int] = []
    ends = time.monotonic() + seconds

    def ask() -> None:
        while time.monotonic() < ends:
            now, admitted, _ = throttling.sliding_window([key], [quota], 1, window)
            if admitted:
                passed.append(now)

    askers = [threading.Thread(target=ask) for _ in range(threads)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    print(json.dumps(passed))


if __name__ == "__main__":
    name, *numbers = sys.argv[1:]
    main(name, int(numbers[0]), float(numbers[1]), float(numbers[2]), int(numbers[3]))
