"""Tenants, their members and credentials (see config/isolation.py)."""

from config import rotation
from config.isolation import FOR_EVERYBODY, Access, declare
from config.rotation import SealedColumn
from tenants.vault import WRAPPED

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
    # Only who handles content opens it. Keys are sealed anew by operators' commands.
    Access("tenants_datakey", api="SELECT", worker="SELECT", staff="SELECT, INSERT"),
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

rotation.declare(SealedColumn("tenants_datakey", "wrapped", ("tenant_id", "version"), WRAPPED))
