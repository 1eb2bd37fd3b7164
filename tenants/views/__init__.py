"""The HTTP doors of tenants; one module a subject."""
