"""How long and how large an export of many items is, in each format: `make bench-exports`."""

import argparse
import hashlib
import os
import time
from datetime import UTC, datetime

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from jobs.exports import FORMATS  # noqa: E402
from jobs.exports.checklist import Checklist  # noqa: E402
from jobs.models import Job  # noqa: E402
from llm.offline import OfflineServer  # noqa: E402
from tests.jobs.exported import chain_result  # noqa: E402

REPEAT = 5


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2_000)
    items = parser.parse_args().items

    with OfflineServer() as url:
        result = long_result(chain_result(url), items)
    now = datetime.now(UTC)
    job = Job(title="Hand hygiene", created_at=now, ended_at=now)
    print(f"{items:,} items, best of {REPEAT}")
    print("| format | milliseconds | KB |\n| --- | --- | --- |")
    for ending, kind in FORMATS.items():
        seconds, content = best_of(lambda kind=kind: kind.write(Checklist.of(job, result)))
        print(f"| {ending} | {seconds * 1000:.0f} | {len(content) / 1000:,.0f} |")


def long_result(result, items):
    """The chain's items again and again, each with an id of its own."""
    made = result["checklist"]
    checklist = [
        {**made[number % len(made)], "id": hashlib.sha256(b"%d" % number).hexdigest()[:12]}
        for number in range(items)
    ]
    return {**result, "checklist": checklist}


def best_of(act):
    """(seconds of the fastest run, what it gave)."""
    fastest, given = float("inf"), b""
    for _ in range(REPEAT):
        started = time.perf_counter()
        given = act()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest, given


if __name__ == "__main__":
    main()
