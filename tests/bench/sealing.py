"""What sealing costs a processor: `python -m tests.bench.sealing`. No server is needed.

The text is English prose that every Python brings along: its own language reference.
"""

import os
import statistics
import time
import uuid
from collections.abc import Callable
from pydoc_data.topics import topics

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from tenants.vault import TenantKeys  # noqa: E402

SIZES = {"4 KB": 4_096, "1 MB": 1_048_576}
PLACE = "jobs_document.sealed_text:x"


def main() -> None:
    keys = TenantKeys(uuid.uuid4(), {1: os.urandom(32)})
    text = "\n".join(topics.values()).encode() * 2  # further apart than zlib looks back
    for name, size in SIZES.items():
        plaintext = text[:size]
        blob = keys.seal(plaintext, PLACE)
        print(
            f"{name}: seal {milliseconds(lambda p=plaintext: keys.seal(p, PLACE)):.3f} ms,"
            f" unseal {milliseconds(lambda b=blob: keys.unseal(b, PLACE)):.3f} ms,"
            f" digest {milliseconds(lambda p=plaintext: keys.index(p, PLACE)):.3f} ms,"
            f" stored {len(blob):,} of {size:,} bytes"
        )


def milliseconds(act: Callable[[], object], rounds: int = 50) -> float:
    """The median of some; processor time, so that a busy machine does not count."""
    times = []
    for _ in range(rounds):
        started = time.thread_time()
        act()
        times.append((time.thread_time() - started) * 1000)
    return statistics.median(times)


if __name__ == "__main__":
    main()
