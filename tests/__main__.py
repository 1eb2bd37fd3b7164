"""python -m tests [pytest's options]: all tests in four processes, each with servers of its own.

Some of them compute and some of them wait, so together they take little longer than the processors
need. Prints one part as it goes and then the next; exits 1 if any failed.
"""

import subprocess
import sys

WITHOUT = ["-m", "not chaos and not proof and not faults"]
# Folders, so that each part costs the processors about as much as another.
LIVE = ["tests/live", "tests/e2e"]
MODEL = ["tests/llm", "tests/grounding", "tests/eval", "tests/chaos", "tests/deploy"]
JOBS = ["tests/jobs"]
PARTS = {
    "live": LIVE,
    "model": MODEL,
    "jobs": JOBS,
    "other": ["tests", *(f"--ignore={folder}" for folder in [*LIVE, *MODEL, *JOBS])],
}


def main(options: list[str]) -> int:
    running = {name: start(name, where, options) for name, where in PARTS.items()}
    for name, process in running.items():
        assert process.stdout is not None
        print(f"--- part of the tests: {name}", flush=True)
        for line in process.stdout:
            print(line, end="", flush=True)
    # 5: nothing was selected, as with --last-failed where one part is well.
    return max(process.wait() not in (0, 5) for process in running.values())


def start(name: str, where: list[str], options: list[str]) -> "subprocess.Popen[str]":
    # A cache for each, or one would forget what failed in the others.
    cache = ["-o", f"cache_dir=.pytest_cache/{name}"]
    command = [sys.executable, "-m", "pytest", *where, *WITHOUT, *cache, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
