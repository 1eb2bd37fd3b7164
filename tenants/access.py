"""Tenants, their members and credentials (see config/isolation.py)."""

from config.catalogue import accept_unique
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
    # Grants on tenants, given to groups: looked up where a token is issued.
    Access(
        "guardian_groupobjectpermission",
        FOR_EVERYBODY,
        door="SELECT, INSERT",
        staff="SELECT, INSERT, DELETE",
    ),
    Access("guardian_userobjectpermission", FOR_EVERYBODY, door="SELECT"),
)

accept_unique(
    {
        "tenants_apikey (client_id)": "96 random bits, made by us",
        "tenants_tenant (slug)": "only staff make tenants; a tenant's own requests cannot write it",
    }
)
