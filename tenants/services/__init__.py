"""Every change of a tenant, its members, keys and tokens; one module a subject."""
