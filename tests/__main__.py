"""python -m tests [pytest's options]: all tests in two processes, each with servers of its own.

Half of them compute and half of them wait, so together they take little longer than one half
would. Prints the first half as it goes and then the second; exits 1 if either failed.
"""

import subprocess
import sys

WITHOUT = ["-m", "not chaos and not proof and not faults"]
FIRST = ["tests/live", "tests/deploy", "tests/llm", "tests/grounding", "tests/eval", "tests/chaos"]
HALVES = {"first": FIRST, "second": ["tests", *(f"--ignore={folder}" for folder in FIRST)]}


def main(options: list[str]) -> int:
    running = {name: start(name, where, options) for name, where in HALVES.items()}
    for name, process in running.items():
        assert process.stdout is not None
        print(f"--- the {name} half of the tests", flush=True)
        for line in process.stdout:
            print(line, end="", flush=True)
    # 5: nothing was selected, as with --last-failed where one half is well.
    return max(process.wait() not in (0, 5) for process in running.values())


def start(name: str, where: list[str], options: list[str]) -> "subprocess.Popen[str]":
    # A cache for each, or one would forget what failed in the other.
    cache = ["-o", f"cache_dir=.pytest_cache/{name}"]
    command = [sys.executable, "-m", "pytest", *where, *WITHOUT, *cache, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
