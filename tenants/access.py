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
    # A person's own sessions through the API: seen and ended in the tenant they belong to. Codes
    # and refresh tokens are for the door alone.
    Access(
        "tenants_apisession",
        api="SELECT, UPDATE (revoked_at, reason)",
        door="SELECT, INSERT, UPDATE (address, last_used_at, revoked_at, reason), DELETE",
    ),
    Access("tenants_refreshtoken", FOR_EVERYBODY, door="SELECT, INSERT, UPDATE (used_at), DELETE"),
    Access("tenants_authorizationcode", door="SELECT, INSERT, DELETE", staff=""),
    Access("tenants_revokedtoken", FOR_EVERYBODY, door="SELECT, INSERT, DELETE"),
    Access("tenants_oauthclient", FOR_EVERYBODY, door="SELECT"),
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
