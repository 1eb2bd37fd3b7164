"""Tenants, their members and credentials (see config/isolation.py)."""

from config import rotation
from config.catalogue import accept_unique
from config.isolation import FOR_EVERYBODY, Access, declare
from config.rotation import SealedColumn
from tenants.vault import WRAPPED

AUDIT_WRITTEN = (
    "tenant_id, actor_kind, actor, on_behalf_of, address, request_id, action, outcome,"
    " object_type, object_id, before, after"
)
AUDIT_READ = f"id, at, {AUDIT_WRITTEN}"
RECORD = f"INSERT ({AUDIT_WRITTEN})"

declare(
    Access(
        "tenants_tenant",
        rows="id = guidepost_tenant()",
        api="SELECT, UPDATE (on_doubt, language, preferred_models, retention_days)",
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
    # Only who handles content opens it. Keys are sealed anew by operators' commands.
    Access("tenants_datakey", api="SELECT", worker="SELECT", staff="SELECT, INSERT"),
    # Requests write a provider's key and never read it; the door learns whether there is one.
    Access(
        "tenants_providerkey",
        api="SELECT (tenant_id, provider, last4, set_at, set_by_id), INSERT,"
        " UPDATE (provider, sealed_key, last4, set_at, set_by_id), DELETE",
        door="SELECT (tenant_id)",
        worker="SELECT (tenant_id, provider, sealed_key)",
        staff="SELECT (tenant_id, provider, last4, set_at, set_by_id)",
    ),
    # A person's own sessions through the API: seen and ended in the tenant they belong to, ended
    # where somebody is shut out. Codes and refresh tokens are for the door alone.
    Access(
        "tenants_apisession",
        api="SELECT, UPDATE (revoked_at, reason)",
        door="SELECT, INSERT, UPDATE (address, last_used_at, revoked_at, reason), DELETE",
        staff="SELECT, UPDATE (revoked_at, reason)",
    ),
    Access("tenants_refreshtoken", FOR_EVERYBODY, door="SELECT, INSERT, UPDATE (used_at), DELETE"),
    Access("tenants_authorizationcode", door="SELECT, INSERT, DELETE", staff=""),
    Access("tenants_revokedtoken", FOR_EVERYBODY, door="SELECT, INSERT, DELETE"),
    Access("tenants_oauthclient", FOR_EVERYBODY, door="SELECT"),
    # Accepted at the door, by people who are nobody's members yet.
    Access(
        "tenants_invitation",
        api="SELECT, INSERT, UPDATE (revoked_at)",
        door="SELECT, UPDATE (accepted_at)",
    ),
    # Nobody changes or deletes an entry, nor chooses its id, time or transaction: triggers say so
    # too. Only workers seal. Acts on the installation (no tenant) are for staff.
    Access(
        "tenants_auditentry",
        api=f"SELECT ({AUDIT_READ}), {RECORD}",
        door=RECORD,
        worker=f"SELECT, {RECORD}",
        staff=f"SELECT, {RECORD}",
    ),
    Access(
        "tenants_auditseal",
        api="SELECT",
        worker="SELECT, INSERT (entry_id, tenant_id, seq, hash, personal)",
    ),
    Access("tenants_auditwatermark", FOR_EVERYBODY, worker="SELECT, UPDATE"),
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
    ),
    Access("tenants_ratebucket", api="SELECT, INSERT, UPDATE"),
    Access(
        "tenants_idempotencyrecord",
        api="SELECT, INSERT, UPDATE, DELETE",
        worker="SELECT (tenant_id, route, key, about, expires_at), DELETE",
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

rotation.declare(SealedColumn("tenants_datakey", "wrapped", ("tenant_id", "version"), WRAPPED))
accept_unique(
    {
        "tenants_apikey (client_id)": "96 random bits, made by us",
        "tenants_authorizationcode (digest)": "a keyed digest of 256 random bits, made by us",
        "tenants_invitation (digest)": "a keyed digest of 256 random bits, made by us",
        "tenants_tenant (slug)": "only staff make tenants; a tenant's own requests cannot write it",
    }
)
