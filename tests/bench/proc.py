"""What processes have cost, from /proc: processor time is stable where wall-clock time is not."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> Iterator[int]:
    """The process and whatever descends from it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in task.read_text().split():
                yield from family(int(child))


def cpu_seconds(pid: int) -> float:
    """Of the process, its descendants, and of those that have ended and were waited for."""
    return sum(_ticks(each, 4) for each in family(pid)) / TICKS


def own_cpu_seconds(pid: int) -> float:
    """Of the process alone."""
    return _ticks(pid, 2) / TICKS


def _ticks(pid: int, fields: int) -> int:
    """utime, stime, cutime, cstime of proc(5): the first so many of them."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(field) for field in stat.rpartition(")")[2].split()[11 : 11 + fields])


def resident_mb(pid: int) -> float:
    """Memory of the process and its descendants, what they share counted once for each half."""
    total = 0
    for each in family(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024
