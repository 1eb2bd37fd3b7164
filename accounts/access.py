"""People and what Django and its packages keep of them (see config/isolation.py)."""

from config import rotation
from config.catalogue import accept_unique
from config.isolation import ALL, FOR_EVERYBODY, Access, declare
from config.rotation import SealedColumn

declare(
    # A tenant's requests see the people who are its members, and no password's hash.
    Access(
        "accounts_user",
        rows="id IN (SELECT user_id FROM tenants_membership)",
        api="SELECT (id, public_id, email, name, is_active)",
        door="SELECT, INSERT, UPDATE (password, last_login, email, name)",
        worker="SELECT (id, email, name, is_active)",
        staff="SELECT, INSERT, UPDATE",
    ),
    Access("accounts_user_groups", FOR_EVERYBODY, api=ALL, door=ALL, staff=ALL),
    Access("accounts_user_user_permissions", FOR_EVERYBODY, door="SELECT", staff=ALL),
    # A tenant's groups are named after it: see tenants/permissions.py.
    Access(
        "auth_group",
        rows="name LIKE guidepost_tenant()::text || ':%'",
        api="SELECT",
        door="SELECT, INSERT",
        staff="SELECT, INSERT",
    ),
    Access("auth_group_permissions", FOR_EVERYBODY, door="SELECT", staff=ALL),
    Access("auth_permission", FOR_EVERYBODY, api="SELECT", door="SELECT"),
    Access("django_content_type", FOR_EVERYBODY, api="SELECT", door="SELECT"),
    # allauth's: addresses, second factors and sessions of people. Secrets in `data` are sealed.
    Access(
        "account_emailaddress",
        FOR_EVERYBODY,
        door=ALL,
        staff="SELECT, INSERT, UPDATE",
    ),
    # Empty, since our keys are signed and not kept; but it is looked into with each address.
    Access("account_emailconfirmation", FOR_EVERYBODY, door="SELECT (email_address_id), DELETE"),
    Access(
        "mfa_authenticator",
        FOR_EVERYBODY,
        door=ALL,
        staff="SELECT (id, user_id, type, created_at, last_used_at), DELETE",
    ),
    Access(
        "usersessions_usersession",
        FOR_EVERYBODY,
        door=ALL,
        staff="SELECT (id, user_id, created_at, last_seen_at, ip, user_agent)",
    ),
    # Read where tokens are made and checked; changed by the owner's commands alone.
    Access(
        "accounts_signingkey",
        FOR_EVERYBODY,
        door="SELECT",
        staff="SELECT (id, kid, public_key, created_at, signs_from, retired_at)",
    ),
    Access("django_session", FOR_EVERYBODY, door=ALL, staff=ALL),
    Access("django_admin_log", FOR_EVERYBODY, staff="SELECT, INSERT"),
    Access("django_migrations", FOR_EVERYBODY, api="SELECT", door="SELECT", worker="SELECT"),
)

rotation.declare(
    SealedColumn(
        "accounts_signingkey", "private_key", ("kid",), "accounts_signingkey.private_key:{}"
    )
)
# What MFAAdapter seals: the secret of an authenticator app, the seed of recovery codes.
for member in ("secret", "seed"):
    rotation.declare(
        SealedColumn("mfa_authenticator", "data", ("id",), "mfa_authenticator.data", member)
    )
accept_unique(
    {
        "accounts_user (lower(email::text))": "people belong to no tenant; a tenant's own requests"
        " cannot write it",
        "accounts_user (public_id)": "122 random bits, made by us",
        "auth_group (name)": "begins with the tenant's id",
    }
)
