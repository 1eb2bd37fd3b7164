"""What a link of a chain is computed from. Plain functions, used by the sealer and the check.

hash = SHA-256(hash before, the first of a chain has zeros || each field, length first || seq)

Who it was, and whatever else may be personal, is in the hash by a digest only:
personal = SHA-256(salt || each personal field, length first). The salt is random, one for each
entry, and stands beside the fields. So fields and salt can be erased, and the chain still holds
while nobody can confirm a guess at what stood there.
"""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

FORMAT = b"guidepost-audit-1"
GENESIS = bytes(32)

# The columns of an entry in the order of the tuple below; JSON as PostgreSQL writes it, which
# is one text for one value.
COLUMNS = (
    "entry.id, entry.tenant_id, entry.at, entry.actor_kind, entry.action, entry.outcome,"
    " entry.object_type, entry.object_id, entry.request_id, entry.salt::text, entry.actor,"
    " entry.on_behalf_of, entry.address, entry.before::text, entry.after::text"
)


class Entry(NamedTuple):
    id: int
    tenant_id: UUID | None
    at: datetime
    actor_kind: str
    action: str
    outcome: str
    object_type: str
    object_id: str
    request_id: str
    salt: str | None  # None: erased
    actor: str
    on_behalf_of: str
    address: str
    before: str | None
    after: str | None

    @property
    def is_erased(self) -> bool:
        return self.salt is None


def personal_digest(entry: Entry) -> bytes:
    salt = (entry.salt or "").encode()
    return sha256(salt + _fields(entry[10:])).digest()


def link(previous: bytes, seq: int, entry: Entry, personal: bytes) -> bytes:
    """The hash of the entry that follows `previous`. Equal only if nothing at all differs."""
    fixed = (entry.id, entry.tenant_id, entry.at.astimezone(UTC).isoformat(), *entry[3:9])
    return sha256(FORMAT + previous + _fields((*fixed, personal.hex(), seq))).digest()


def _fields(values: tuple[Any, ...]) -> bytes:
    """Each value as its length and text: no two rows of values make the same bytes."""
    parts = []
    for value in values:
        # Nothing, and a text of no characters, are two values.
        text = b"-" if value is None else b"+" + str(value).encode()
        parts.append(len(text).to_bytes(4, "big") + text)
    return b"".join(parts)
