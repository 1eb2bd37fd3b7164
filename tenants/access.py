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
    Access(
        "tenants_invitation",
        api="SELECT, INSERT, UPDATE",
        door="SELECT, UPDATE (accepted_at)",
    ),
    # Nobody changes or deletes an entry. Acts on the installation (no tenant) are for staff.
    Access(
        "tenants_auditentry",
        api="SELECT, INSERT",
        door="INSERT, SELECT (id, at)",
        worker="INSERT, SELECT (id, at)",
        staff="SELECT, INSERT",
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
