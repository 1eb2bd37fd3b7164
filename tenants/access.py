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
        api="SELECT, UPDATE (role, sees_own_only), DELETE",
        door="SELECT, INSERT",
        worker="SELECT",
        staff="SELECT, INSERT, UPDATE, DELETE",
    ),
    # A worker learns when a key expires, and no digest.
    Access(
        "tenants_apikey",
        api="SELECT, INSERT, UPDATE (digest, previous_digest, previous_until, rotated_at, name,"
        " scopes, allowed_networks, expires_at, revoked_at, warned_days)",
        door="SELECT, UPDATE (last_used_at, last_used_address)",
        worker="SELECT (id, tenant_id, client_id, name, expires_at, revoked_at, warned_days),"
        " UPDATE (warned_days)",
        staff="SELECT, INSERT, UPDATE",
    ),
    # Accepted at the door, by people who are nobody's members yet.
    Access(
        "tenants_invitation",
        api="SELECT, INSERT, UPDATE (revoked_at)",
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
