"""Proof that a worker does what it is for: the time of a file, for a supervisor to look at.

A worker process may be alive and never take a message again. So its file is touched when it takes
one, and while it renews the leases of jobs it works on; the pump sends a wake-up every second even
if there is no work. A file that grows old means: restart the process.
"""

import os
from pathlib import Path

_file = Path(os.environ["ALIVE_FILE"]) if os.environ.get("ALIVE_FILE") else None


def touch() -> None:
    if _file is not None:
        _file.touch()
