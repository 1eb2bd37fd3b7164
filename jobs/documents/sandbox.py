"""Starts the child that parses a document, and makes sure that it ends."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from jobs.documents.formats import UNREADABLE, UNSAFE, Format, Reading, Unreadable

ROOT = Path(__file__).resolve().parent.parent.parent
CPU_SECONDS = 10
WALL_SECONDS = 20.0  # the child ends itself by then too, if it can
MEMORY_BYTES = 512 * 1024 * 1024
JSON_BYTES = 6  # of a byte of text, at most


def read_document(content: bytes, kind: Format, *, text_bytes: int) -> Reading:
    """The document as Markdown, at most `text_bytes` of it. Raises Unreadable."""
    process = subprocess.Popen(
        [
            sys.executable,
            *("-E", "-s", "-B", "-m", "jobs.documents.child"),
            *(kind.value, str(CPU_SECONDS), str(MEMORY_BYTES), str(text_bytes)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # its words may be the document's
        cwd=ROOT,
        env={"PYTHONHASHSEED": "random"},
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: S101
    late = threading.Event()

    def end() -> None:
        late.set()
        _kill(process)

    clock = threading.Timer(WALL_SECONDS, end)
    clock.start()
    feeder = threading.Thread(target=_feed, args=(process.stdin, content), daemon=True)
    feeder.start()
    limit = JSON_BYTES * text_bytes + 1_000_000
    try:
        with process.stdout as pipe:
            output = pipe.read(limit + 1)
    finally:
        clock.cancel()
        _kill(process)
        status = process.wait()
        feeder.join()
    return _reading(output if len(output) <= limit else b"", status, late=late.is_set())


def _feed(pipe: IO[bytes], content: bytes) -> None:
    try:
        with pipe:
            pipe.write(content)
    except OSError:  # it has ended already, or was ended
        pass


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With everything it may have started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _reading(output: bytes, status: int, *, late: bool) -> Reading:
    try:
        answer: dict[str, Any] = json.loads(output)
    except ValueError:
        raise _ended(status, late=late) from None
    if "text" in answer:
        return Reading(answer["text"], answer["page_starts"])
    raise Unreadable(answer["code"], answer["detail"])


def _ended(status: int, *, late: bool) -> Unreadable:
    """Without an answer: a limit was met, as far as one can tell."""
    if late or status in (-signal.SIGXCPU, -signal.SIGALRM, -signal.SIGKILL):
        return Unreadable(
            UNSAFE,
            f"Reading the document takes more than {CPU_SECONDS} seconds of work. Print it to a new"
            " PDF, or send its text.",
        )
    return Unreadable(
        UNREADABLE,
        "The document could not be read: its reader broke off. Save it anew, or send its text.",
    )
