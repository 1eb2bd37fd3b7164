"""The child that parses, with the door left out: whatever it is given, it ends within its limits
and says why, and the process that started it lives on."""

import os
import resource
import socket
import threading
import time
from pathlib import Path

import pytest

from jobs.documents import child, sandbox
from jobs.documents.formats import TOO_LARGE, UNREADABLE, UNSAFE, Format, Unreadable
from tests.jobs import files

TEXT_BYTES = 1_048_576


def read(content, kind):
    return sandbox.read_document(content, kind, text_bytes=TEXT_BYTES)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: files.pdf(files.lines((files.TEXT, 11, 72, 700))), Format.PDF),
        (files.docx, Format.DOCX),
        (files.HTML.encode, Format.HTML),
    ],
)
def test_an_ordinary_document_comes_back_as_text(make, kind):
    assert files.TEXT in read(make(), kind).text


HOSTILE = {
    "a stream of 400 MB in a PDF": (files.flate_bomb, Format.PDF, {UNSAFE}),
    "a stream packed twice": (files.nested_flate, Format.PDF, {UNSAFE}),
    "a PDF of a million pages": (files.many_pages, Format.PDF, {TOO_LARGE, UNSAFE}),
    "a PDF of 5,000 pages": (lambda: files.many_pages(5_000), Format.PDF, {TOO_LARGE}),
    "a million pages that say they are one": (
        lambda: files.many_pages(announced=False),
        Format.PDF,
        {TOO_LARGE, UNSAFE, UNREADABLE},
    ),
    "a protected PDF": (files.encrypted_pdf, Format.PDF, {UNREADABLE}),
    "half of a PDF": (lambda: files.pdf(b"BT ET" * 900)[:700], Format.PDF, {UNREADABLE}),
    "no PDF at all": (lambda: b"\x00\xff" * 10_000, Format.PDF, {UNREADABLE}),
    "a part of 300 MB": (files.zip_bomb, Format.DOCX, {TOO_LARGE, UNSAFE}),
    "an entity bomb": (files.entity_bomb, Format.DOCX, {UNSAFE}),
    "an external entity": (files.external_entity, Format.DOCX, {UNSAFE}),
    "a DTD behind a tag in a comment": (
        lambda: files.with_doctype("<!-- <a --><!DOCTYPE x [<!ENTITY x 'y'>]>"),
        Format.DOCX,
        {UNSAFE},
    ),
    "an entity in UTF-16": (files.hidden_entity, Format.DOCX, {UNSAFE}),
    "half of a Word document": (lambda: files.docx()[:400], Format.DOCX, {UNREADABLE}),
    "a million tables": (
        lambda: files.docx("<w:tbl>" * 1_000_000 + "</w:tbl>" * 1_000_000),
        Format.DOCX,
        {UNSAFE},
    ),
    "a page of endless depth": (lambda: b"<div>" * 1_000_000, Format.HTML, {UNREADABLE, UNSAFE}),
    "a cell of a million columns": (
        lambda: b"<table>" + b"<tr><td rowspan=99 colspan=99>x" * 9_000,
        Format.HTML,
        {TOO_LARGE},
    ),
    "more text than a guideline may have": (
        lambda: b"<p>" + b"Wash hands. " * 100_000,
        Format.HTML,
        {TOO_LARGE},
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_ends_its_reader_within_limits_and_says_why(name):
    make, kind, codes = HOSTILE[name]
    content = make()
    started = time.monotonic()

    with pytest.raises(Unreadable) as refused:
        read(content, kind)

    assert refused.value.code in codes
    assert "\n" not in refused.value.detail
    assert time.monotonic() - started < sandbox.WALL_SECONDS + 5
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert peak < sandbox.MEMORY_BYTES
    assert files.TEXT in read(files.docx(), Format.DOCX).text


def test_an_external_entity_brings_in_no_file():
    with pytest.raises(Unreadable) as refused:
        read(files.external_entity("file:///etc/passwd"), Format.DOCX)

    assert "root:" not in refused.value.detail


# --- The limits themselves ----------------------------------------------------------------------


def run_in_child(monkeypatch, tmp_path, body, *, hook=True):
    """Lets the child run `body` in the place of a parser; what it returns is the text."""
    module = tmp_path / "hostile_parser.py"
    module.write_text(
        f"from jobs.documents.formats import Reading\ndef read(content):\n    {body}\n"
    )
    start = (
        f"import sys; sys.path[:0] = [{str(sandbox.ROOT)!r}, {str(tmp_path)!r}];"
        "from jobs.documents import child; from jobs.documents.formats import Format;"
        "child.READERS[Format.HTML] = 'hostile_parser';"
        f"{'' if hook else 'child.forbid = lambda: None;'} child.main()"
    )
    original = sandbox.subprocess.Popen

    def popen(command, **kwargs):
        module = command.index("-m")
        return original([*command[:module], "-c", start, *command[module + 2 :]], **kwargs)

    monkeypatch.setattr(sandbox.subprocess, "Popen", popen)
    return read(b"<p>x", Format.HTML).text


def test_the_child_that_works_too_long_is_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "CPU_SECONDS", 1)

    with pytest.raises(Unreadable, match="1 seconds of work") as refused:
        run_in_child(monkeypatch, tmp_path, "while True: pass")

    assert refused.value.code == UNSAFE


def test_the_child_that_waits_too_long_is_ended_with_all_that_it_started(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "WALL_SECONDS", 1.0)
    started = time.monotonic()

    with pytest.raises(Unreadable) as refused:
        run_in_child(monkeypatch, tmp_path, "import time; time.sleep(60)")

    assert refused.value.code == UNSAFE
    assert time.monotonic() - started < 5


def test_the_child_that_takes_too_much_memory_is_refused_it(monkeypatch, tmp_path):
    with pytest.raises(Unreadable, match="more memory") as refused:
        run_in_child(monkeypatch, tmp_path, "return Reading('x' * 600_000_000)")

    assert refused.value.code == UNSAFE


def test_the_child_that_never_stops_talking_is_not_listened_to(monkeypatch, tmp_path):
    body = "import os\n    while True: os.write(1, b'x' * 65536)"

    with pytest.raises(Unreadable):
        run_in_child(monkeypatch, tmp_path, body)


@pytest.mark.parametrize(
    "act",
    [
        "import socket; socket.socket()",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.fork()",
        "import os; os.system('true')",
        "open('/etc/passwd').read()",
        "open('/tmp/x', 'w')",
        "import ctypes; ctypes.CDLL(None)",
    ],
)
def test_the_child_may_not_act_on_the_world(monkeypatch, tmp_path, act):
    body = (
        f"try:\n        {act}\n    except PermissionError as error:\n"
        "        return Reading('refused ' + str(error))\n    return Reading('done')"
    )

    assert run_in_child(monkeypatch, tmp_path, body).startswith("refused")


def test_the_kernel_shows_the_child_no_network(monkeypatch, tmp_path):
    """Past the hook, in its own namespace: there is no way to anybody who listens."""
    if not can_leave_network():
        pytest.skip("This kernel gives nobody a network namespace: only the hook refuses sockets.")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        body = (
            "import socket\n    try:\n"
            f"        socket.create_connection(('127.0.0.1', {port}), timeout=2)\n"
            "    except OSError as error:\n        return Reading(type(error).__name__)\n"
            "    return Reading('connected')"
        )

        text = run_in_child(monkeypatch, tmp_path, body, hook=False)

    assert text == "OSError"


def can_leave_network():
    pid = os.fork()
    if pid == 0:
        child.leave_network()
        alone = len(Path("/proc/net/dev").read_text().splitlines()) <= 3  # two heads and lo
        os._exit(0 if alone else 1)
    return os.waitpid(pid, 0)[1] == 0


def test_nothing_is_left_of_a_child():
    before = set(threading.enumerate())

    read(files.docx(), Format.DOCX)

    everybody = (p / "cmdline" for p in Path("/proc").iterdir() if p.name.isdigit())
    mine = [p for p in everybody if parent_of(p.parent) == os.getpid()]
    assert not [p for p in mine if b"jobs.documents.child" in p.read_bytes()]
    assert not set(threading.enumerate()) - before


def parent_of(process):
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended meanwhile
        return 0
