"""The sealer: gives each committed entry of the audit log its place in a hash chain.

Acts insert their entries without a lock, so that a tenant's requests do not queue behind the head
of its chain. The sealer follows about a second later. It must not miss an entry whose transaction
commits late, and ids cannot tell: they are handed out when a row is written, not when it is
committed, so number 7 may appear after 8 has been sealed. Transaction ids can. Each entry has the
id of its transaction (`xid`), and PostgreSQL knows the oldest transaction that is still running
(`pg_snapshot_xmin`): all below it have ended, and none can appear there later. So everything below
is sealed in the order (xid, id), and the watermark says how far.

Any number of sealers may run: the watermark's row is the lock, and who does not get it leaves.
"""

import logging
import time
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.backends.utils import CursorWrapper

from config.isolation import DatabaseRole, acting_as
from tenants.sealing import chain
from tenants.sealing.chain import GENESIS, Entry

logger = logging.getLogger(__name__)

BATCH = 2000

# A watermark that is not below the oldest running transaction can only have come from another
# server, by a dump: here transaction ids count from elsewhere.
HOLD = """
SELECT xid::text, entry_id, pg_snapshot_xmin(pg_current_snapshot())::text,
    xid >= pg_snapshot_xmin(pg_current_snapshot())
FROM tenants_auditwatermark FOR UPDATE SKIP LOCKED
"""
NEXT = """
SELECT entry.xid::text, {columns} FROM tenants_auditentry AS entry
WHERE (entry.xid, entry.id) > (%(xid)s::xid8, %(id)s)
    AND entry.xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY entry.xid, entry.id LIMIT %(limit)s
""".replace("{columns}", chain.COLUMNS)
NEXT_AFTER_A_RESTORE = """
SELECT entry.xid::text, {columns} FROM tenants_auditentry AS entry
WHERE NOT EXISTS (SELECT FROM tenants_auditseal AS seal WHERE seal.entry_id = entry.id)
ORDER BY entry.xid, entry.id LIMIT %(limit)s
""".replace("{columns}", chain.COLUMNS)
HOLD_ALWAYS = "SELECT FROM tenants_auditwatermark FOR UPDATE"
OF_TENANT = """
SELECT {columns} FROM tenants_auditentry AS entry WHERE entry.tenant_id = %s ORDER BY entry.id
""".replace("{columns}", chain.COLUMNS)
SEALED = "SELECT entry_id FROM tenants_auditseal WHERE entry_id = ANY(%s)"
HEADS = """
SELECT wanted.tenant_id, head.seq, head.hash FROM unnest(%s::uuid[]) AS wanted (tenant_id)
CROSS JOIN LATERAL (
    SELECT seq, hash FROM tenants_auditseal AS seal
    WHERE seal.tenant_id = wanted.tenant_id ORDER BY seq DESC LIMIT 1
) AS head
UNION ALL
(SELECT NULL, seq, hash FROM tenants_auditseal WHERE tenant_id IS NULL ORDER BY seq DESC LIMIT 1)
"""
SEAL = """
INSERT INTO tenants_auditseal (entry_id, tenant_id, seq, hash, personal)
SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::bigint[], %s::bytea[], %s::bytea[])
"""
MOVE = "UPDATE tenants_auditwatermark SET xid = %s::xid8, entry_id = %s"

Head = tuple[int, bytes]


def work(seconds: float = 0.5) -> int:
    """Seals what there is, for about so long. Returns the number of entries sealed."""
    until = time.monotonic() + seconds
    sealed = 0
    while batch := seal_batch():
        sealed += batch
        if batch < BATCH or time.monotonic() > until:
            break
    return sealed


def seal_batch() -> int:
    """Returns how many entries it took up; 0 if there are none, or if another sealer is at it."""
    with acting_as(DatabaseRole.WORKER), connection.cursor() as cursor:
        cursor.execute(HOLD)
        held = cursor.fetchone()
        if held is None:
            return 0
        xid, entry_id, oldest_running, restored = held
        cursor.execute(
            NEXT_AFTER_A_RESTORE if restored else NEXT,
            {"xid": xid, "id": entry_id, "limit": BATCH},
        )
        rows = cursor.fetchall()
        _seal(cursor, [Entry(*row[1:]) for row in rows])
        if restored and len(rows) < BATCH:
            logger.warning("audit_sealing_restored", extra={"watermark": xid})
            cursor.execute(MOVE, [oldest_running, 0])
        elif rows and not restored:
            cursor.execute(MOVE, [rows[-1][0], rows[-1][1]])
        return len(rows)


def seal_tenant(tenant_id: UUID) -> None:
    """Seals what the caller's own transaction has written of a tenant that is made in it: nobody
    else can have written of it. Other sealers leave until that transaction ends."""
    with acting_as(DatabaseRole.WORKER), connection.cursor() as cursor:
        cursor.execute(HOLD_ALWAYS)
        cursor.execute(OF_TENANT, [tenant_id])
        _seal(cursor, [Entry(*row) for row in cursor.fetchall()])


def _seal(cursor: CursorWrapper, entries: list[Entry]) -> None:
    entries = _unsealed(cursor, entries)
    heads = _heads(cursor, {entry.tenant_id for entry in entries})
    seals = []
    for entry in entries:
        seq, previous = heads.get(entry.tenant_id, (0, GENESIS))
        personal = chain.personal_digest(entry)
        head = (seq + 1, chain.link(previous, seq + 1, entry, personal))
        heads[entry.tenant_id] = head
        seals.append((entry.id, entry.tenant_id, *head, personal))
    if seals:
        cursor.execute(SEAL, [list(column) for column in zip(*seals, strict=True)])


def _unsealed(cursor: CursorWrapper, entries: list[Entry]) -> list[Entry]:
    """Sealed ones above the watermark are left by `seal_tenant`, and by a restore: those with ids
    of its future."""
    cursor.execute(SEALED, [[entry.id for entry in entries]])
    sealed = {row[0] for row in cursor.fetchall()}
    return [entry for entry in entries if entry.id not in sealed]


def _heads(cursor: CursorWrapper, tenants: Iterable[UUID | None]) -> dict[Any, Head]:
    cursor.execute(HEADS, [[tenant for tenant in tenants if tenant is not None]])
    return {tenant: (seq, bytes(digest)) for tenant, seq, digest in cursor.fetchall()}
