"""Takes a person out of the audit log, where the law asks for it, without breaking its chains.

Of each entry that names them all personal fields go at once: actor, on behalf of, address, before
and after, and the salt, without which the digest in the chain tells nobody whom it was of. What
was done to which object, when, and in which place of the chain stays. Each batch is an entry of
its own that lists what it erased; an erased entry that is in no such list is a finding.
"""

import json

from django.db import connection, transaction

from tenants.audit import record

BATCH = 500

# The tables' own role runs this, as a command: no role of the product may change an entry.
NEXT = """
WITH chosen AS (
    SELECT tenant_id, array_agg(id ORDER BY id) AS ids FROM (
        SELECT id, tenant_id FROM tenants_auditentry
        WHERE salt IS NOT NULL AND action <> 'audit.erased' AND id > %(after)s AND (
            actor = %(who)s OR on_behalf_of = %(who)s
            OR jsonb_path_exists(before, '$.** ? (@ == $who)', %(json)s::jsonb)
            OR jsonb_path_exists(after, '$.** ? (@ == $who)', %(json)s::jsonb)
        )
        ORDER BY id LIMIT %(limit)s
    ) AS batch
    GROUP BY tenant_id
), erased AS (
    UPDATE tenants_auditentry SET salt = NULL, actor = '', on_behalf_of = '', address = '',
        before = NULL, after = NULL
    WHERE id IN (SELECT unnest(ids) FROM chosen)
)
SELECT tenant_id, ids FROM chosen
"""


def erase(who: str, *, reason: str) -> int:
    """Returns the number of entries that named `who`, an e-mail address as it stands there."""
    erased = last = 0
    while batch := _erase_batch(who, reason, last):
        erased += len(batch)
        last = max(batch)
    return erased


@transaction.atomic
def _erase_batch(who: str, reason: str, after: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")  # it reads the whole log
        named = {"who": who, "json": json.dumps({"who": who})}
        cursor.execute(NEXT, {**named, "after": after, "limit": BATCH})
        rows = cursor.fetchall()
    for tenant_id, ids in rows:
        said = {"entries": ids, "reason": reason}
        record("audit.erased", tenant_id=tenant_id, of=("audit", "entries"), after=said)
    return [entry for _, ids in rows for entry in ids]
