"""Are the triggers and privileges that keep the audit log from being changed still there?"""

from collections.abc import Iterator
from hashlib import sha256

from django.db import connection

from config.isolation import DatabaseRole

# (table, trigger) -> (enabled, type, function, its source). A: also while
# session_replication_role is set. 27: before each row's UPDATE or DELETE; 34: before TRUNCATE.
# The sources are those of migration 0004.
KEEPS_ALL = (
    "tenants_audit_is_kept",
    "dd87303490ded2c1f59fc2eb45092a04f020f3249224f48b1dbfdcf6e657ea2c",
)
KEEPS_ENTRIES = (
    "tenants_audit_entry_is_kept",
    "b3965f82bbd6731e684b3624eeb82559ed5c8ebeb2f8c1999a276ebc4835b887",
)
TRIGGERS = {
    ("tenants_auditentry", "audit_entry_is_kept"): ("A", 27, *KEEPS_ENTRIES),
    ("tenants_auditentry", "audit_entries_are_kept"): ("A", 34, *KEEPS_ALL),
    ("tenants_auditseal", "audit_seal_is_kept"): ("A", 27, *KEEPS_ALL),
    ("tenants_auditseal", "audit_seals_are_kept"): ("A", 34, *KEEPS_ALL),
}
PRESENT = """
SELECT relname, tgname, tgenabled::text, tgtype, proname, prosrc
FROM pg_trigger
JOIN pg_class AS relation ON relation.oid = tgrelid
JOIN pg_proc AS function ON function.oid = tgfoid
WHERE tgrelid IN ('tenants_auditentry'::regclass, 'tenants_auditseal'::regclass)
    AND tgqual IS NULL AND tgattr = ''::int2vector
"""
FORBIDDEN = """
SELECT role, audited, privilege
FROM unnest(%s::text[]) AS role
CROSS JOIN (VALUES ('tenants_auditentry'), ('tenants_auditseal')) AS tables (audited)
CROSS JOIN (VALUES ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('TRIGGER')) AS acts (privilege)
WHERE has_table_privilege(role, audited, privilege)
    OR privilege = 'UPDATE' AND has_any_column_privilege(role, audited, 'UPDATE')
"""


def breaches() -> Iterator[str]:
    """What is missing, in words."""
    with connection.cursor() as cursor:
        cursor.execute(PRESENT)
        present = {
            (table, trigger): (enabled, kind, function, sha256(source.encode()).hexdigest())
            for table, trigger, enabled, kind, function, source in cursor.fetchall()
        }
        for (table, trigger), wanted in TRIGGERS.items():
            if present.get((table, trigger)) != wanted:
                yield f"the trigger {trigger} of {table} is missing, disabled or changed"
        cursor.execute(FORBIDDEN, [list(DatabaseRole)])
        for role, table, privilege in cursor.fetchall():
            yield f"{role} has the privilege {privilege} on {table}"
