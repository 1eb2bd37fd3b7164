"""The check of the audit log: every chain anew, against its seals, the anchors and the walls.

Reads in batches along indexes, so the memory it takes does not grow with the log. What is found is
named by tenant, seq and entry. After a finding the check goes on from the stored hash, so that one
changed entry is one finding and not all that follow.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from config.isolation import DatabaseRole, acting_as
from tenants.models import Tenant
from tenants.sealing import anchors, chain, walls
from tenants.sealing.chain import GENESIS, Entry

BATCH = 2000
MAY_BE_UNSEALED = timedelta(minutes=1)
MAY_BE_UNANCHORED = 2 * anchors.EVERY
INSTALLATION = "(installation)"

SEALED = """
SELECT seal.seq, seal.hash, seal.personal, seal.entry_id, {columns}
FROM tenants_auditseal AS seal LEFT JOIN tenants_auditentry AS entry ON entry.id = seal.entry_id
WHERE seal.{whose} AND seal.seq > %(after)s
ORDER BY seal.seq LIMIT %(limit)s
"""
# One batch: how many entries, which of them have no place in this chain although they should by
# now, and the last one.
ENTRIES = """
SELECT count(*), array_agg(id ORDER BY at, id) FILTER (WHERE is_late),
    (array_agg(id ORDER BY at DESC, id DESC))[1], max(at)
FROM (
    SELECT entry.id, entry.at,
        seal.tenant_id IS DISTINCT FROM entry.tenant_id AND seal.entry_id IS NOT NULL
        OR seal.entry_id IS NULL AND entry.at < clock_timestamp() - %(patience)s AS is_late
    FROM tenants_auditentry AS entry
    LEFT JOIN tenants_auditseal AS seal ON seal.entry_id = entry.id
    WHERE entry.{whose} AND (entry.at, entry.id) > (%(at)s, %(id)s)
    ORDER BY entry.at, entry.id LIMIT %(limit)s
) AS batch
"""
ERASED = """
SELECT jsonb_array_elements(after->'entries')::bigint FROM tenants_auditentry
WHERE {whose} AND object_type = 'audit' AND action = 'audit.erased'
"""
STORED = "SELECT encode(hash, 'hex') FROM tenants_auditseal WHERE {whose} AND seq = %(seq)s"
LATE_FOR_ANCHORS = """
SELECT seq FROM tenants_auditseal
WHERE {whose} AND seq = %(seq)s AND sealed_at < clock_timestamp() - %(patience)s
"""


@dataclass(frozen=True)
class Finding:
    what: str
    tenant: str = ""  # a slug, or INSTALLATION
    seq: int | None = None
    entry: int | None = None

    def __str__(self) -> str:
        names = {"tenant": self.tenant, "seq": self.seq, "entry": self.entry}
        where = [f"{name}={value}" for name, value in names.items() if value]
        return f"{' '.join(where) or 'everywhere'}: {self.what}"


@dataclass(frozen=True)
class Chain:
    """Whose chain it is: a tenant's, or with None the installation's."""

    tenant_id: UUID | None
    name: str

    def ask(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        whose = "tenant_id IS NULL" if self.tenant_id is None else "tenant_id = %(tenant)s"
        statement = query.replace("{whose}", whose).replace("{columns}", chain.COLUMNS)
        with connection.cursor() as cursor:
            cursor.execute(statement, {"tenant": self.tenant_id, **parameters})
            return cursor.fetchall()


class Verification:
    """One run. `findings` does the work; afterwards `tenants` and `entries` say how much it was.

    slug  this tenant's chain alone, but with the walls; without it all chains
    role  that reads it: staff can, but have no anchors to compare with
    """

    def __init__(self, slug: str = "", role: DatabaseRole = DatabaseRole.WORKER):
        self.slug, self.role = slug, role
        self.chains: list[Chain] = []
        self.tenants = self.entries = 0

    def findings(self) -> Iterator[Finding]:
        """Raises Tenant.DoesNotExist."""
        # As the role that may read all of it: an owner of the tables whom row-level security
        # binds would see nothing and find it in order.
        with acting_as(self.role):
            self.chains = _chains(self.slug)
            yield from map(Finding, walls.breaches())
            for each in self.chains:
                yield from _links(each)
                entries = 0
                for count, unsealed in _batches_of_entries(each):
                    entries += count
                    for entry in unsealed:
                        yield Finding("has no seal in this chain", each.name, entry=entry)
                self.entries += entries
                self.tenants += bool(entries and each.tenant_id)
            if settings.AUDIT_ANCHOR_FILE and self.role is DatabaseRole.WORKER:
                yield from self._against_anchors(Path(settings.AUDIT_ANCHOR_FILE))

    def _against_anchors(self, file: Path) -> Iterator[Finding]:
        """Takes memory for one number of each tenant."""
        chains = {each.tenant_id: each for each in self.chains}
        anchored = dict.fromkeys(chains, 0)
        broken: set[UUID | None] = set()
        for line in anchors.read(file):
            if line.wrong:
                yield Finding(f"line {line.number} of {file.name} {line.wrong}")
            for head in line.heads:
                whose, seq = head["tenant"] and UUID(head["tenant"]), head["seq"]
                if whose in broken or (self.slug and whose not in chains):
                    continue
                each = chains.get(whose) or Chain(whose, str(whose))
                anchored[whose] = seq
                stored = each.ask(STORED, seq=seq)
                if stored != [(head["hash"],)]:
                    broken.add(whose)
                    what = "was rewritten" if stored else "was cut off before here"
                    known = f"line {line.number} of {file.name}"
                    yield Finding(f"the chain {what}: it differs from {known}", each.name, seq)
        for each in self.chains:
            beyond = anchored[each.tenant_id] + 1
            for (seq,) in each.ask(LATE_FOR_ANCHORS, seq=beyond, patience=MAY_BE_UNANCHORED):
                yield Finding("stands in no anchor, nor does what follows", each.name, seq)


def _chains(slug: str) -> list[Chain]:
    if slug:
        tenant = Tenant.objects.get(slug=slug)
        return [Chain(tenant.id, tenant.slug)]
    slugs = Tenant.objects.order_by("slug").values_list("id", "slug")
    return [*(Chain(*row) for row in slugs), Chain(None, INSTALLATION)]


def _links(each: Chain) -> Iterator[Finding]:
    erased: set[int] | None = None
    last, previous = 0, GENESIS
    while rows := each.ask(SEALED, after=last, limit=BATCH):
        for seq, digest, personal, entry_id, *columns in rows:
            wrong = ""
            if seq != last + 1:
                yield Finding("is missing", each.name, last + 1)
            elif columns[0] is None:
                wrong = "the entry was deleted"
            else:
                entry = Entry(*columns)
                if entry.is_erased and erased is None:
                    erased = {row[0] for row in each.ask(ERASED)}
                known = entry.is_erased and entry.id in (erased or set())
                wrong = _wrong(entry, known, seq, previous, bytes(personal), bytes(digest))
            if wrong:
                yield Finding(wrong, each.name, seq, entry_id)
            last, previous = seq, bytes(digest)


def _wrong(
    entry: Entry, known: bool, seq: int, previous: bytes, personal: bytes, digest: bytes
) -> str:
    if entry.is_erased and not known:
        return "who it was is erased, and no entry says so"
    if not entry.is_erased and chain.personal_digest(entry) != personal:
        return "who it was, or what it changed, is not what was sealed"
    if chain.link(previous, seq, entry, personal) != digest:
        return "is not what was sealed here: changed, moved, or the chain rewritten"
    return ""


def _batches_of_entries(each: Chain) -> Iterator[tuple[int, list[int]]]:
    at, last = datetime(1, 1, 1, tzinfo=UTC), 0
    while True:
        [(count, late, last, at)] = each.ask(
            ENTRIES, at=at, id=last, limit=BATCH, patience=MAY_BE_UNSEALED
        )
        yield count, late or []
        if count < BATCH:
            return
