"""Tenants, their members and credentials (see config/isolation.py)."""

from config.isolation import FOR_EVERYBODY, Access, declare

declare(
    Access(
        "tenants_tenant",
        rows="id = guidepost_tenant()",
        api="SELECT",
        door="SELECT",
        worker="SELECT",
        staff="SELECT, INSERT, UPDATE",
    ),
    Access(
        "tenants_membership",
        api="SELECT, INSERT, UPDATE, DELETE",
        door="SELECT, INSERT",
        worker="SELECT",
        staff="SELECT, INSERT, UPDATE, DELETE",
    ),
    Access(
        "tenants_apikey",
        api="SELECT, INSERT, UPDATE",
        door="SELECT, UPDATE",
        worker="SELECT",
        staff="SELECT, INSERT, UPDATE",
    ),
    # Nobody changes or deletes an entry. Acts on the installation (no tenant) are for staff.
    Access(
        "tenants_auditentry",
        api="SELECT, INSERT",
        door="INSERT, SELECT (id, at)",
        worker="INSERT, SELECT (id, at)",
        staff="SELECT, INSERT",
    ),
    Access(
        "tenants_plan",
        FOR_EVERYBODY,
        api="SELECT",
        door="SELECT",
        worker="SELECT",
        staff="SELECT, INSERT, UPDATE",
    ),
    # What was spent is written by workers alone; requests promise and give back.
    Access(
        "tenants_usage",
        api="SELECT, INSERT (tenant_id, kind, starts_on, reserved), UPDATE (reserved)",
        worker="SELECT, INSERT, UPDATE",
        staff="SELECT, INSERT (tenant_id, kind, starts_on, reserved), UPDATE (reserved)",
    ),
    Access("tenants_ratebucket", api="SELECT, INSERT, UPDATE"),
    Access(
        "tenants_idempotencyrecord",
        api="SELECT, INSERT, UPDATE, DELETE",
        worker="SELECT (tenant_id, route, key, expires_at), DELETE",
        staff="",
    ),
    # Grants on tenants, given to groups: looked up where a token is issued.
    Access(
        "guardian_groupobjectpermission",
        FOR_EVERYBODY,
        door="SELECT, INSERT",
        staff="SELECT, INSERT, DELETE",
    ),
    Access("guardian_userobjectpermission", FOR_EVERYBODY, door="SELECT"),
)
