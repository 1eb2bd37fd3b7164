"""Bounded load on a server of this machine: as fast as it answers, or at a fixed rate.

wrk drives the first where it is installed, a client of ours where it is not. It runs in one thread
and keeps its connections open.
"""

import asyncio
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

REPORT = """
wrk.method = "{method}"
wrk.body = {body}
{headers}
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        "RESULT {{\\"requests\\": %d, \\"seconds\\": %.6f, \\"p50\\": %.3f, \\"p95\\": %.3f,"
        .. " \\"p99\\": %.3f, \\"refused\\": %d, \\"broken\\": %d}}\\n",
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
        latency:percentile(95) / 1e3, latency:percentile(99) / 1e3, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
"""


class Failed(Exception):
    """The server refused or broke off what it should have answered."""


@dataclass(frozen=True)
class Request:
    """What is asked again and again."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Result:
    """Times in milliseconds."""

    requests: int
    rate: float
    p50: float
    p95: float
    p99: float


def flat_out(request: Request, *, connections: int, seconds: float) -> Result:
    """Each connection asks again as soon as it is answered. Raises Failed."""
    if shutil.which("wrk"):
        return _with_wrk(request, connections, seconds)
    return asyncio.run(_together(request, connections, seconds, every=None))


def paced(request: Request, *, rate: float, connections: int, seconds: float) -> Result:
    """So many requests a second, whether or not the server keeps up: a request that has to wait for
    a connection has waited since it was due. Raises Failed."""
    return asyncio.run(_together(request, connections, seconds, every=1 / rate))


def _with_wrk(request: Request, connections: int, seconds: float) -> Result:
    headers = "\n".join(
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}"
        for name, value in request.headers.items()
    )
    script = REPORT.format(
        method=request.method, body=json.dumps(request.body.decode()), headers=headers
    )
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "20s"]
        done = subprocess.run(
            [*command, "-s", file.name, request.url], capture_output=True, text=True, check=False
        )
    said = re.search(r"RESULT (\{.*\})", done.stdout)
    if not said:
        raise Failed(done.stdout + done.stderr)
    found: dict[str, Any] = json.loads(said[1])
    if found["refused"] or found["broken"]:
        raise Failed(f"{request.method} {request.url}: {found}")
    return Result(
        found["requests"],
        found["requests"] / found["seconds"],
        *(found[name] for name in ("p50", "p95", "p99")),
    )


# --- A client of ours -----------------------------------------------------------------------


async def _together(
    request: Request, connections: int, seconds: float, every: float | None
) -> Result:
    """every  seconds between two requests; None: as fast as they are answered"""
    address = urlsplit(request.url)
    head = [
        f"{request.method} {address.path or '/'}{'?' + address.query if address.query else ''}"
        " HTTP/1.1",
        f"Host: {address.netloc}",
        f"Content-Length: {len(request.body)}",
        *(f"{name}: {value}" for name, value in request.headers.items()),
    ]
    raw = "\r\n".join(head).encode() + b"\r\n\r\n" + request.body
    started, taken, times = time.perf_counter(), 0, list[float]()

    async def one() -> None:
        nonlocal taken
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        while True:
            due = started + taken * every if every else time.perf_counter()
            taken += 1
            if due - started >= seconds:
                break
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            writer.write(raw)
            await _answered(reader)
            times.append((time.perf_counter() - due) * 1000)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    took = time.perf_counter() - started
    cuts = statistics.quantiles(times, n=100)
    return Result(len(times), len(times) / took, cuts[49], cuts[94], cuts[98])


async def _answered(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    length = re.search(rb"content-length: (\d+)", head)
    if length:
        body = await reader.readexactly(int(length[1]))
    else:
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):  # chunks, as uvicorn sends them
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
    if status >= 400:
        raise Failed(f"{status} {body[:500]!r}")
