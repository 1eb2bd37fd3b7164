"""Anchors: the heads of all chains, written each hour to a file outside the database.

Whoever can change every row can also compute a new chain, or cut the end off with its seals. Then
the chain alone looks whole, but no longer goes through the points that were anchored. A line holds
the heads that have moved since the line before (tenant, seq, hash; chains have no gaps, so `seq`
is also the number of entries), the digest of the line before, and a signature by a key that is not
in the database: HMAC-SHA-256 with AUDIT_ANCHOR_KEY. The same goes to the log as `audit_anchor`.
Ship the log, or the file, to where the database's administrators cannot write.
"""

import hmac
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from config.isolation import DatabaseRole, acting_as

logger = logging.getLogger(__name__)

EVERY = timedelta(hours=1)
RETRY_AFTER = timedelta(minutes=1)
NOTHING_BEFORE = "0" * 64

# The row is also the sealer's lock: if it is held, the next second will do.
DUE = """
SELECT FROM tenants_auditwatermark WHERE anchored_at <= clock_timestamp() - %s * interval '1 second'
FOR UPDATE SKIP LOCKED
"""
HOLD = "SELECT FROM tenants_auditwatermark FOR UPDATE"
ANCHORED = (
    "UPDATE tenants_auditwatermark SET anchored_at = clock_timestamp() - %s * interval '1 second'"
)
HEADS = """
SELECT tenant.id::text, head.seq, encode(head.hash, 'hex') FROM tenants_tenant AS tenant
CROSS JOIN LATERAL (
    SELECT seq, hash FROM tenants_auditseal AS seal
    WHERE seal.tenant_id = tenant.id ORDER BY seq DESC LIMIT 1
) AS head
UNION ALL
(SELECT NULL, seq, encode(hash, 'hex') FROM tenants_auditseal
WHERE tenant_id IS NULL ORDER BY seq DESC LIMIT 1)
"""


class AnchorsAreOff(Exception):
    """AUDIT_ANCHOR_FILE or AUDIT_ANCHOR_KEY is not set."""


def work() -> None:
    """Anchors if it is time. An anchor that cannot be written is logged and tried again."""
    if not settings.AUDIT_ANCHOR_FILE:
        return
    with acting_as(DatabaseRole.WORKER), connection.cursor() as cursor:
        cursor.execute(DUE, [EVERY.total_seconds()])
        if cursor.fetchone() is None:
            return
        try:
            _append()
            cursor.execute(ANCHORED, [0])
        except OSError as error:
            logger.error("audit_anchor_failed", extra={"reason": str(error)})
            cursor.execute(ANCHORED, [(EVERY - RETRY_AFTER).total_seconds()])


def anchor() -> dict[str, Any]:
    """Anchors now. Raises AnchorsAreOff, or OSError."""
    if not settings.AUDIT_ANCHOR_FILE or not settings.AUDIT_ANCHOR_KEY:
        raise AnchorsAreOff
    with acting_as(DatabaseRole.WORKER), connection.cursor() as cursor:
        cursor.execute(HOLD)
        line = _append()
        cursor.execute(ANCHORED, [0])
    return line


def _append() -> dict[str, Any]:
    path = Path(settings.AUDIT_ANCHOR_FILE)
    number, previous, known = 0, NOTHING_BEFORE, dict[str | None, int]()
    for anchored in read(path):
        number, previous = anchored.number, anchored.sha256
        known |= {head["tenant"]: head["seq"] for head in anchored.heads}
    with connection.cursor() as cursor:
        cursor.execute(HEADS)
        heads = [
            {"tenant": tenant, "seq": seq, "hash": digest}
            for tenant, seq, digest in cursor.fetchall()
            if known.get(tenant) != seq
        ]
    line: dict[str, Any] = {
        "number": number + 1,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "previous": previous,
        "heads": heads,
    }
    line["signature"] = signature(line, settings.AUDIT_ANCHOR_KEY)
    _write(path, json.dumps(line) + "\n")
    logger.info("audit_anchor", extra={"anchor": line})
    return line


def _write(path: Path, line: str) -> None:
    """Down to the disk, and for our eyes only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def signature(line: dict[str, Any], key: str) -> str:
    signed = {name: value for name, value in line.items() if name != "signature"}
    text = json.dumps(signed, sort_keys=True, separators=(",", ":"))
    return hmac.new(key.encode(), text.encode(), sha256).hexdigest()


# --- Reading ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Anchored:
    """A line of the file. `wrong` says what does not hold; heads of such a line prove nothing."""

    number: int
    sha256: str
    heads: list[dict[str, Any]]
    wrong: str = ""


def read(path: Path) -> Iterator[Anchored]:
    """Each line, checked: signed by one of our keys, and following the line before."""
    if not path.exists():
        return
    number, previous = 0, NOTHING_BEFORE
    with path.open("rb") as file:
        for raw in file:
            number += 1
            line, wrong = _checked(raw, number, previous)
            previous = sha256(raw).hexdigest()
            yield Anchored(number, previous, [] if wrong else line["heads"], wrong)


def _checked(raw: bytes, number: int, previous: str) -> tuple[dict[str, Any], str]:
    keys = [settings.AUDIT_ANCHOR_KEY, *settings.AUDIT_ANCHOR_OLD_KEYS]
    try:
        line = json.loads(raw)
        signed = str(line["signature"]).encode()
    except (ValueError, KeyError, TypeError):
        return {}, "cannot be read"
    if not any(hmac.compare_digest(signature(line, key).encode(), signed) for key in keys if key):
        return {}, "is not signed by AUDIT_ANCHOR_KEY"
    if (line["number"], line["previous"]) != (number, previous):
        return {}, "does not follow the line before it"
    return line, ""
