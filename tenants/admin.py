"""The pages of staff about tenants and people, and Django's lists of what belongs to them."""

from django.contrib import admin

from config.admin import ReadOnlyAdmin
from tenants.models import ApiKey, ApiSession, Invitation, OAuthClient
from tenants.staff import audit, people, records  # noqa: F401  (each puts its pages in place)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Never the secret, nor its digest."""

    exclude = ("digest", "previous_digest")
    list_display = ("name", "client_id", "tenant", "created_at", "last_used_at", "revoked_at")
    list_select_related = ("tenant",)
    search_fields = ("client_id", "name", "tenant__slug")


@admin.register(ApiSession)
class ApiSessionAdmin(ReadOnlyAdmin):
    exclude = ("code_digest", "password_digest")
    list_display = ("id", "tenant", "user", "client_id", "last_used_at", "revoked_at", "reason")
    list_select_related = ("tenant", "user")
    list_filter = ("reason",)
    search_fields = ("=id", "tenant__slug", "user__email")


@admin.register(OAuthClient)
class OAuthClientAdmin(ReadOnlyAdmin):
    """Registered by `manage.py register_client`."""

    list_display = ("name", "client_id", "redirect_uris", "is_active", "created_at")


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    exclude = ("digest",)
    list_display = ("email", "role", "tenant", "created_at", "expires_at", "accepted_at")
    list_select_related = ("tenant",)
    search_fields = ("email", "tenant__slug")
