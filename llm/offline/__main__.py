"""python -m llm.offline --port 8090"""

import argparse
import signal
import sys
from types import FrameType

from llm.offline.server import MODEL, OfflineServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m llm.offline", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument(
        "--no-control", action="store_true", help="do not offer /_control/, which scripts faults"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    server = OfflineServer(options.host, options.port, control=not options.no_control)
    sys.stdout.write(f"{MODEL} ready on {server.url}\n")
    sys.stdout.flush()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        _stop()


def _stop(signum: int = 0, frame: FrameType | None = None) -> None:
    sys.exit(0)  # the threads that hold or delay a call are daemons and die with us


if __name__ == "__main__":
    main()
