"""`make prove-isolation`: manage.py prove_isolation against a stack of its own."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.local.prepared import prepare
from deploy.local.processes import StartFailed
from deploy.local.stack import ROOT, Stack

# What the proof asks is more than a tenant may.
LIMITS = {
    "TOKEN_RATE": "100000/m",
    "TOKEN_ATTEMPT_RATE": "100000/m",
    "INVITATION_RATE": "100000/m",
}


def main() -> int:
    """The proof's own exit status; 1 as well if the stack does not start."""
    home = Path(tempfile.mkdtemp(prefix="guidepost-proof-"))
    home.chmod(0o711)  # PostgreSQL does not run as root and has to pass through
    if not os.environ.get("DATABASE_URL"):
        prepare(home)
    stack = Stack(
        home,
        database_url=os.environ.get("DATABASE_URL", ""),
        redis_url=os.environ.get("REDIS_URL", ""),
        settings=LIMITS,
        durable=False,
        report=lambda what: print(f"guidepost: {what}", file=sys.stderr, flush=True),
    )
    try:
        stack.start()
        command = [sys.executable, "manage.py", "prove_isolation", "--url", stack.url]
        return subprocess.call([*command, *sys.argv[1:]], cwd=ROOT, env=stack.env)
    except StartFailed as error:
        print(f"guidepost: {error}", file=sys.stderr)
        return 1
    finally:
        stack.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
