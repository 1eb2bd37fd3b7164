"""Named points in our own code at which a test makes a process die, wait or fail.

No-ops unless the environment names some: FAILPOINTS="after_claim=kill;heartbeat=sleep:5". With
FAILPOINTS_DIR, each fires once for all processes together: the first to make a file there wins.
Where the file is there from the start, the point is passed until somebody takes the file away.
"""

import os
import signal
import time
from pathlib import Path

_ACTIONS = dict(
    entry.split("=", 1) for entry in os.environ.get("FAILPOINTS", "").split(";") if "=" in entry
)
_ONCE = os.environ.get("FAILPOINTS_DIR", "")


class FailpointReached(Exception):
    """What the action `raise` raises."""


def failpoint(name: str) -> None:
    """Does what the environment says of this point: `kill`, `exit`, `raise` or `sleep:seconds`."""
    if name in _ACTIONS and _is_first(name):
        _act(name, _ACTIONS[name])


def _is_first(name: str) -> bool:
    if not _ONCE:
        return True
    try:
        (Path(_ONCE) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _act(name: str, action: str) -> None:
    kind, _, argument = action.partition(":")
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "exit":
        os._exit(1)
    elif kind == "sleep":
        time.sleep(float(argument))
    elif kind == "raise":
        raise FailpointReached(name)
    else:
        raise ValueError(f"{name} has the unknown action {action!r}.")
