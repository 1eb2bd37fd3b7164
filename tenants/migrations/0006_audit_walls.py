"""Columns and triggers of the audit log, and the sealer's watermark.

What PostgreSQL refuses here, for every role and the owner too, and with ENABLE ALWAYS also while
`session_replication_role` is set: changing, deleting or truncating entries and seals. One change
is possible: to empty all of an entry's personal fields at once (`manage.py audit_erase`).
`manage.py audit_verify` compares triggers and functions with what they are here.
"""

from django.db import migrations

COLUMNS = """
ALTER TABLE tenants_auditentry
    ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    ADD COLUMN salt uuid DEFAULT gen_random_uuid();
CREATE INDEX audit_unsealed ON tenants_auditentry (xid, id);
"""

WATERMARK = """
CREATE TABLE tenants_auditwatermark (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    xid xid8 NOT NULL DEFAULT '0',
    entry_id bigint NOT NULL DEFAULT 0,
    anchored_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO tenants_auditwatermark DEFAULT VALUES;
"""

WALLS = """
CREATE FUNCTION tenants_audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_is_never_changed: % of %', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'audit_is_never_changed';
END $$;

CREATE FUNCTION tenants_audit_entry_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    erased tenants_auditentry := OLD;
BEGIN
    erased.salt := NULL;
    erased.actor := '';
    erased.on_behalf_of := '';
    erased.address := '';
    erased.before := NULL;
    erased.after := NULL;
    IF TG_OP = 'UPDATE' AND NEW IS NOT DISTINCT FROM erased THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit_is_never_changed: % of %', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'audit_is_never_changed';
END $$;

CREATE TRIGGER audit_entry_is_kept BEFORE UPDATE OR DELETE ON tenants_auditentry
    FOR EACH ROW EXECUTE FUNCTION tenants_audit_entry_is_kept();
CREATE TRIGGER audit_entries_are_kept BEFORE TRUNCATE ON tenants_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION tenants_audit_is_kept();
CREATE TRIGGER audit_seal_is_kept BEFORE UPDATE OR DELETE ON tenants_auditseal
    FOR EACH ROW EXECUTE FUNCTION tenants_audit_is_kept();
CREATE TRIGGER audit_seals_are_kept BEFORE TRUNCATE ON tenants_auditseal
    FOR EACH STATEMENT EXECUTE FUNCTION tenants_audit_is_kept();
ALTER TABLE tenants_auditentry
    ENABLE ALWAYS TRIGGER audit_entry_is_kept, ENABLE ALWAYS TRIGGER audit_entries_are_kept;
ALTER TABLE tenants_auditseal
    ENABLE ALWAYS TRIGGER audit_seal_is_kept, ENABLE ALWAYS TRIGGER audit_seals_are_kept;
"""

NO_WALLS = """
DROP TRIGGER audit_entry_is_kept ON tenants_auditentry;
DROP TRIGGER audit_entries_are_kept ON tenants_auditentry;
DROP TRIGGER audit_seal_is_kept ON tenants_auditseal;
DROP TRIGGER audit_seals_are_kept ON tenants_auditseal;
DROP FUNCTION tenants_audit_entry_is_kept();
DROP FUNCTION tenants_audit_is_kept();
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0005_audit_seals")]

    operations = [
        migrations.RunSQL(
            COLUMNS,
            "ALTER TABLE tenants_auditentry DROP COLUMN xid, DROP COLUMN salt;",
        ),
        migrations.RunSQL(WATERMARK, "DROP TABLE tenants_auditwatermark;"),
        migrations.RunSQL(WALLS, NO_WALLS),
    ]
