"""One document is parsed here, in a process that has nothing to lose and may do little.

    python -m jobs.documents.child FORMAT SECONDS MEMORY_BYTES TEXT_BYTES < document

It first gives up what a parser does not need, then reads the document from standard input, and
writes one JSON object: {"text", "page_starts"} or {"code", "detail"}. It may also be killed by one
of its limits at any moment: `sandbox` knows what that means. See docs/adr/0021.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from importlib import import_module
from typing import Any

from jobs.documents.formats import TOO_LARGE, UNREADABLE, UNSAFE, Format, Reading, Unreadable

READERS = {
    Format.PDF: "jobs.documents.pdf",
    Format.DOCX: "jobs.documents.docx",
    Format.HTML: "jobs.documents.html",
}
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
MAX_FILES = 32
# What a parser never does; `open` is looked at more closely.
REFUSED_EVENTS = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system",
    "os.kill", "os.remove", "os.rename", "os.mkdir", "os.symlink", "os.link", "ctypes.", "ftplib.",
    "urllib.", "http.", "webbrowser.", "shutil.", "tempfile.")  # fmt: skip


def main() -> None:
    name, seconds, memory, text_bytes = sys.argv[1:]
    limit(int(seconds), int(memory))
    leave_network()
    read = import_module(READERS[Format(name)]).read
    forbid()
    answer = reading_or_reason(read, sys.stdin.buffer.read(), int(text_bytes))
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # taking a large heap apart would only cost time


def reading_or_reason(read: Any, content: bytes, text_bytes: int) -> dict[str, Any]:
    try:
        reading: Reading = read(content)
    except Unreadable as reason:
        return {"code": reason.code, "detail": reason.detail}
    except MemoryError:
        return {
            "code": UNSAFE,
            "detail": "Reading the document takes more memory than it may."
            " Print it to a new PDF, or send its text.",
        }
    except Exception as error:  # hostile input: whatever a parser raises, it could not read it
        return {
            "code": UNREADABLE,
            "detail": "The document could not be read. Open it in the program it comes from, save"
            " it anew, and send the new file.",
            "kind": type(error).__name__,
        }
    size = len(reading.text.encode("utf-8", "replace"))
    if size > text_bytes:
        return {
            "code": TOO_LARGE,
            "detail": f"The document holds {size:,} bytes of text; a guideline may have up to"
            f" {text_bytes:,}. Send it in parts.",
        }
    text = reading.text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return {"text": text, "page_starts": reading.page_starts}


def limit(seconds: int, memory: int) -> None:
    """The kernel's own limits; each only ever gets smaller."""
    for kind, value in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 0),  # writes no files; pipes are none
        (resource.RLIMIT_NOFILE, MAX_FILES),
        (resource.RLIMIT_CORE, 0),  # a core dump would hold the document
    ):
        resource.setrlimit(kind, (value, value))
    signal.alarm(2 * seconds)  # by the clock on the wall, should whoever started us be gone


def leave_network() -> None:
    """A network namespace of its own, with no way out, where the kernel lets us."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        libc.unshare(CLONE_NEWNET)


def forbid() -> None:
    """From here Python code opens no socket, starts no process and reads no file but its own
    libraries. No wall against machine code; there the limits and the kernel are."""
    own = tuple(f"{os.path.realpath(prefix)}/lib" for prefix in (sys.prefix, sys.base_prefix))

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(REFUSED_EVENTS):
            raise PermissionError(event)
        if event == "open":
            path, mode = arguments[0], arguments[1]
            if not isinstance(path, str) or (mode and mode not in ("r", "rb")):
                raise PermissionError(event)
            if not os.path.realpath(path).startswith(own):
                raise PermissionError(event)

    sys.addaudithook(hook)


if __name__ == "__main__":
    main()
